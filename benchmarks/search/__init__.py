"""Searches compared on a surface of trained GANs: `python -m benchmarks.search`."""
