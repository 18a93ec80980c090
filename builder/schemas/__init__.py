"""Declared schemas: JSON Schema for reference data, and for the attributes that rules may ask for."""
