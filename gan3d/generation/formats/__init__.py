"""The files that a generator is exported to: one module for each kind, all of them listed in ``catalog``."""
