"""Timings: never asserted in a test, always measured interleaved. ``make bench`` writes results.json and the table in README.md."""
