"""The HTTP server of the sidecar: a small protocol on httptools, its sockets, and the APIs behind them."""
