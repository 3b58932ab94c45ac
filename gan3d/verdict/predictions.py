"""Scaling curves that the cost model predicts, beside those that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from gan3d.verdict.documents import PredictedTeam, Prediction, read_document
from gan3d.verdict.teams import Curve, TeamSize


def read_predictions(paths: Sequence[Path]) -> list[Curve]:
    """Of files that `gan3d predict STUDY --fabric NAME --json` printed.

    Raises:
        DataError: a file is none.
    """
    return [_curve(read_document(path, Prediction, "gan3d predict --json prints")) for path in paths]


def _curve(found: Prediction) -> Curve:
    network = " through ".join(one.name for one in (found.wire, found.software) if one is not None)
    batch = found.global_batch if found.global_batch is not None else found.batch_per_worker
    sizes = tuple(_size(one, found) for one in sorted(found.curve, key=lambda one: one.world_size))
    return Curve(found.study, found.kind, int(batch or 0), 0, sizes, predicted_on=network or "a network")


def _size(team: PredictedTeam, found: Prediction) -> TeamSize:
    """Speed-up beside one worker; nodes are filled one after the other."""
    workers = team.world_size
    low, high = (math.nan if end is None else end for end in (team.efficiency_low, team.efficiency_high))
    speed_ups = (workers * team.efficiency, workers * low, workers * high)
    nodes = math.ceil(workers / found.workers_per_node)
    return TeamSize(workers, *speed_ups, team.efficiency, low, high, found.calibration.blocks, nodes)
