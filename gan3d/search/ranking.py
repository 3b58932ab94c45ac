"""Which merits are better where a trial is worth several numbers: constraints first, then fronts, then what a front would lose."""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from gan3d.config.objective import Objective
from gan3d.records import TrialRecord
from gan3d.training.merit import Merit, losses, merit_of_record, order


def ranked(merits: Sequence[Merit], objective: Objective) -> list[int]:
    """Places of merits from the best to the worst, the earlier of equals first.

    With one metric as `gan3d.training.merit.order` has it. With trade-offs: those that keep all constraints before those that do not,
    which follow by their excess; among the former by Pareto rank (Goldberg 1989), and within a rank by the hypervolume that the rank
    would lose without it.
    """
    if not objective.trade_offs:
        return sorted(range(len(merits)), key=lambda place: order(merits[place], objective))
    kept = [place for place, merit in enumerate(merits) if merit.is_kept and merit.is_finite]
    points = np.array(losses([merits[place] for place in kept], objective)).reshape(len(kept), len(objective.goals))
    ranks, lost = _ranks(points), _lost_without(points)
    keys = {place: (0.0, float(rank), -float(share)) for place, rank, share in zip(kept, ranks, lost, strict=True)}
    keys |= {place: (1.0, max(one.excess, 0.0), 0.0) for place, one in enumerate(merits) if place not in keys}
    return sorted(keys, key=lambda place: (keys[place], place))


def front(merits: Sequence[Merit], objective: Objective) -> list[int]:
    """Places of the merits that no other one beats: of all that keep the constraints those of the first rank; equals are all there."""
    kept = [place for place, merit in enumerate(merits) if merit.is_kept and merit.is_finite]
    if not kept:
        return []
    points = np.array(losses([merits[place] for place in kept], objective))
    best = moocore.is_nondominated(points, keep_weakly=True)
    return [place for place, is_best in zip(kept, best, strict=True) if is_best]


def front_of(trials: Sequence[TrialRecord], objective: Objective) -> tuple[int, ...]:
    """Numbers of the complete trials on the front."""
    found = [(trial.number, merit) for trial in trials if trial.state == "complete" and (merit := merit_of_record(trial)) is not None]
    return tuple(found[place][0] for place in front([merit for _, merit in found], objective))


def _ranks(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pareto rank of each point, 0 the first front."""
    return np.asarray(moocore.pareto_rank(points)) if len(points) else np.zeros(0, dtype=np.int64)


def _lost_without(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The hypervolume that each point's front would lose without it, as a share of the box that all points span."""
    found = np.zeros(len(points))
    if not len(points):
        return found
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    unit = (points - low) / np.where(span > 0, span, 1.0)
    ranks = _ranks(points)
    for rank in np.unique(ranks):
        # The corner a little behind the worst, so that a front's ends count for something.
        found[ranks == rank] = moocore.hv_contributions(unit[ranks == rank], ref=np.full(points.shape[1], 1.1))
    return found
