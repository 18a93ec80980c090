"""``writ demo``: the whole product in a minute, with real processes, and what it takes to leave nothing behind."""
