"""The ``writ-sidecar`` command line: each command parses, calls, prints."""
