"""What this host tells the fleet, as objects below its own folder of the fleet's records: who it is, and how it is."""
