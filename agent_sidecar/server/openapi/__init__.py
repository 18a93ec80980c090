"""The OpenAPI documents of both services: what each path takes and what it replies. Loaded when one is asked for."""
