"""Traces: whose trace a request belongs to, and the spans of decisions for a collector that wants them."""
