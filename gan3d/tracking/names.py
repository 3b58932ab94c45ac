"""What metrics are called in MLflow: ``physics/shower_distance``, since its pages put charts together by what stands before a slash.

Studies of older versions have ``physics.shower_distance`` there, as everywhere else. A study keeps the names it began with; a tag of
its run says which.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Tag of a study's run, and its value where names have slashes.
NAMES_TAG, WITH_SLASHES = "metric_names", "group/field"


def logged_name(metric: str, tags: Mapping[str, str]) -> str:
    """The name that a study of these tags has for a metric."""
    return metric.replace(".", "/", 1) if tags.get(NAMES_TAG) == WITH_SLASHES else metric
