"""MLflow: one writer (``store``), one reader (``frames``), and with what a study was run (``provenance``)."""

from __future__ import annotations
