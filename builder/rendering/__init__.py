"""What runs beside Writ and is made from ``writ.yaml``: who may reach the store, and who keeps it fresh."""
