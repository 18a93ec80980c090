"""Benchmarks of the hot paths, each beside a peer in the same run; figures: docs/reference/performance.md."""
