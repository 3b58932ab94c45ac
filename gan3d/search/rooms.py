"""Room for workers on the nodes that a Ray cluster has now: nodes join and leave while a study runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gan3d.search.needs import Needs
from gan3d.search.resources import ray_cluster

#: Tune asks many times a second while a trial waits; a cluster changes seldom.
LOOK_SECONDS = 1.0


class Rooms:
    """Called, says how many workers have room on each node."""

    def __init__(self, needs: Needs) -> None:
        self._needs, self._looked = needs, float("-inf")
        self._found: Sequence[int] = ()

    def __call__(self) -> Sequence[int]:
        """Of the nodes that live, as of a second ago at most."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._found, self._looked = self._needs.rooms(ray_cluster()), now
        return self._found
