"""Showers: files in every layout of the field, data sets of many files, and the batches of a rank."""

from __future__ import annotations
