"""What a trial needs to know of its shower files: the sets, the response, conditions, and the Monte Carlo side of validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from gan3d.config.training import Data, Training
from gan3d.data.dataset import ShowerSet
from gan3d.data.loader import validation_shard
from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.models.response import ResponseCurve
from gan3d.physics.binning import Binning
from gan3d.physics.distance import monte_carlo_floor
from gan3d.physics.matching import matched_draws
from gan3d.physics.sums import ShowerSums
from gan3d.training.conditions import SeedConditions, TrainingSetConditions
from gan3d.training.ranks import Ranks

#: Showers added to sums at once: a few tens of megabytes of cells.
CHUNK = 64
#: Draws of the Monte-Carlo-against-Monte-Carlo floor: several where they are cheap, one where the validation set is large.
FLOOR_DRAWS, LARGE_VALIDATION_SET = 5, 2_000
#: The floor of a large validation set is drawn for so many of its showers, from all over it.
MOST_FLOOR_SHOWERS = 20_000


@dataclass(frozen=True, slots=True)
class TrialShowers:
    """Training and validation showers of a trial, and what is derived from them once; the same for every trial of a study."""

    train: ShowerSet
    polar_angles: torch.Tensor | None
    validation: Showers
    """This rank's shard of the validation set."""
    monte_carlo: ShowerSums
    """The whole validation set, merged over ranks."""
    floor: dict[str, float]
    """Monte Carlo training showers against the validation set."""
    counts: dict[str, int]
    """Showers of both sets, and how many were dropped for which reason."""
    pretrain: ShowerSet | None = None
    """Cheaper showers to begin with."""

    def cheaper(self) -> TrialShowers | None:
        """The same with the cheaper showers for training; None where there are none."""
        if self.pretrain is None:
            return None
        angles = None if self.polar_angles is None else torch.from_numpy(self.pretrain.polar_angles())
        return replace(self, train=self.pretrain, polar_angles=angles, pretrain=None)

    def conditions(self, training: Training) -> TrainingSetConditions | SeedConditions:
        """Where generated showers' conditions are drawn from."""
        angles = self.polar_angles if training.polar_angle else None
        if training.conditions == "seed":
            return SeedConditions(angles)
        return TrainingSetConditions(torch.from_numpy(self.train.incident_energies()), angles)

    def response(self, training: Training) -> ResponseCurve:
        """Deposited energy expected of generated showers."""
        if training.response == "seed":
            return ResponseCurve.seed()
        return ResponseCurve.fit(self.train.incident_energies(), self.train.deposited_energies())


#: What this worker has open, by world size, with what was asked for. By world size, because opening is collective: a rank that a
#: smaller trial did without would still have its share of the larger one's showers, and the others would wait for it.
_OPEN: dict[int, tuple[tuple[Data, Ranks, bool], TrialShowers]] = {}


def open_showers(data: Data, ranks: Ranks, *, polar_angle: bool) -> TrialShowers:
    """Open and look through the files (relative ones are found from here), each rank its share.

    Kept for the team's next trial of as many workers.

    Raises:
        DataError: a file cannot be used, or a polar angle is asked for and not there.
    """
    asked = (data, ranks, polar_angle)
    if ranks.world_size not in _OPEN or _OPEN[ranks.world_size][0] != asked:
        _OPEN.pop(ranks.world_size, None)
        _OPEN[ranks.world_size] = (asked, _opened(data, ranks, polar_angle=polar_angle))
    return _OPEN[ranks.world_size][1]


def _opened(data: Data, ranks: Ranks, *, polar_angle: bool) -> TrialShowers:
    train = _open(data.train, data.max_train_showers, data, ranks)
    validation = _open(data.validation, data.max_validation_showers, data, ranks)
    pretrain = None if data.pretrain is None else _open(data.pretrain, None, data, ranks)
    for showers in (train, validation, *(() if pretrain is None else (pretrain,))):
        if polar_angle and not showers.has_polar_angle:
            message = "training.polar_angle is true, these showers have no `theta`. Set training.polar_angle=false."
            raise DataError(message, file=str(showers.files[0].path))
    shard = validation.read(validation_shard(len(validation), ranks.rank, ranks.world_size))
    seen = validation.polar_angles() if polar_angle else None
    binning = binning_of(train, data, validation.incident_energies(), seen)
    monte_carlo = merged(sums_of(shard, binning, data.threshold_gev), ranks)
    angles = train.polar_angles() if polar_angle else None
    floor = floor_of(train, validation, monte_carlo, data.threshold_gev, ranks)
    counts = {"train": len(train), "validation": len(validation)}
    counts |= {f"dropped_{reason}": number + validation.dropped[reason] for reason, number in train.dropped.items()}
    return TrialShowers(train, None if angles is None else torch.from_numpy(angles), shard, monte_carlo, floor, counts, pretrain)


def _open(patterns: tuple[str, ...], most: int | None, data: Data, ranks: Ranks) -> ShowerSet:
    showers = ShowerSet.open(
        patterns, max_showers=most, grid=data.grid, crop=data.crop, node_cache=data.node_cache, threshold_gev=data.threshold_gev
    )
    if data.cells == "polar" and not showers.is_polar:
        message = "data.cells is polar, these showers have square cells. Set data.cells to square."
        raise DataError(message, file=str(showers.files[0].path))
    return showers.scan(ranks.rank, ranks.world_size, ranks.sum)


def binning_of(train: ShowerSet, data: Data, incident_energy: np.ndarray, polar_angle: np.ndarray | None) -> Binning:
    """Bins for validation showers of these incident energies [GeV] and, where they are a condition, polar angles [rad]."""
    return Binning.from_incident_energy(
        train.grid, incident_energy, threshold_gev=data.readout_threshold_gev, polar_angle=polar_angle, is_polar=train.is_polar
    )


def sums_of(showers: Showers, binning: Binning, threshold_gev: float) -> ShowerSums:
    """Sums of Monte Carlo showers, with the training's threshold applied as it is to generated ones."""
    sums = ShowerSums(binning)
    for start in range(0, len(showers), CHUNK):
        part = showers.take(slice(start, start + CHUNK))
        cells = torch.from_numpy(part.cells)
        sums.add(torch.where(cells >= threshold_gev, cells, 0.0), torch.from_numpy(part.incident_energy), angles_of(part))
    return sums


def angles_of(showers: Showers) -> torch.Tensor | None:
    """Their polar angles (B,) [rad]; None where they have none."""
    return None if showers.polar_angle is None else torch.from_numpy(showers.polar_angle)


def matched_showers(train: ShowerSet, incident_energy: np.ndarray, polar_angle: np.ndarray | None, num_draws: int) -> list[np.ndarray]:
    """`matched_draws` of training showers, in angle too where angles are given."""
    angles = train.polar_angles()
    pairs = None if angles is None or polar_angle is None else (angles, polar_angle)
    return matched_draws(train.incident_energies(), incident_energy, polar_angles=pairs, num_draws=num_draws)


def merged(sums: ShowerSums, ranks: Ranks) -> ShowerSums:
    """The sums of all ranks' showers, on every rank."""
    vector = ranks.sum(sums.vector.to(ranks.device, copy=True)).cpu()
    return ShowerSums.from_vector(sums.binning, vector)


def floor_of(
    train: ShowerSet,
    validation: ShowerSet,
    monte_carlo: ShowerSums,
    threshold_gev: float,
    ranks: Ranks,
    *,
    most: int = MOST_FLOOR_SHOWERS,
) -> dict[str, float]:
    """Distances of training showers with the conditions of at most so many validation showers, as they would be of as many as there are.

    The incident energy; the polar angle, where the sums are binned by it. Each rank reads its share of every draw.
    """
    number = min(len(validation), most)
    # Equally spaced: files may be sorted.
    rows = np.arange(number) * len(validation) // number
    num_draws = FLOOR_DRAWS if number <= LARGE_VALIDATION_SET else 1
    draws = []
    angles = validation.polar_angles() if monte_carlo.binning.angle_edges else None
    wanted = None if angles is None else angles[rows]
    for draw in matched_showers(train, validation.incident_energies()[rows], wanted, num_draws):
        # Sorted, so that neighbours are read together; sums do not mind.
        mine = np.sort(draw)[validation_shard(len(draw), ranks.rank, ranks.world_size)]
        sums = ShowerSums(monte_carlo.binning)
        for start in range(0, len(mine), CHUNK):
            sums += sums_of(train.read(mine[start : start + CHUNK]), monte_carlo.binning, threshold_gev)
        draws.append(merged(sums, ranks))
    return monte_carlo_floor(draws, monte_carlo)
