"""The enforcement host: polls, verifies, hot-swaps, answers decisions, keeps a way back (``writ-sidecar``)."""
