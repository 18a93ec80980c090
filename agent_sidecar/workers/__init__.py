"""Worker processes: they answer on the sockets of a sidecar, all from what its primary process has in force."""
