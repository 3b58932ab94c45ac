"""Arithmetic of curves: speed-up and efficiency with intervals, progress of a search. numpy, pandas and scipy only."""

from __future__ import annotations
