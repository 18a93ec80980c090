"""Who may ask: what proves a caller, whom it may speak as, and how much of the sidecar one caller can take up."""
