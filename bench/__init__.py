"""Benchmarks: `make bench`, or `fastcolor bench` (the package holds a link to this folder)."""
