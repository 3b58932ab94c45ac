"""What training was worth, on Monte Carlo showers that no part of the study has seen.

Five sets of showers with the conditions of the held-out ones, each held against these:

    trained     the trial's generator, once per noise seed
    untrained   the generator of the same settings and seed before its first step, with the same noise seeds
    baseline    the mean training shower scaled by the incident energy (``gan3d.physics.baseline``)
    floor       Monte Carlo showers of the training files, matched in the conditions: what a perfect generator would get

Not covered: choosing the trial (``trained``), drawing (``analysis/held_out.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gan3d.config.training import Data, TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.data.paths import files_here
from gan3d.data.showers import Showers
from gan3d.errors import ConfigError, DataError
from gan3d.generation.estimates import Estimate
from gan3d.generation.resampling import resample_counts, resampled_sums
from gan3d.generation.trained import Trained
from gan3d.models.generator import GeneratorNetwork
from gan3d.physics.baseline import MeanShower
from gan3d.training.ranks import Ranks
from gan3d.training.showers import CHUNK, FLOOR_DRAWS, angles_of, binning_of, matched_showers
from gan3d.training.start import start_from
from gan3d.training.state import TrainState
from gan3d.training.validate import generate_like

#: Resamples of the held-out showers: a standard error from 50 is itself known to 10 %.
NUM_RESAMPLES = 50

Chunks = Iterator[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The distances of every source from the held-out Monte Carlo showers."""

    trained: Estimate
    untrained: Estimate
    baseline: Estimate
    floor: Estimate
    num_showers: int


def measure_held_out(
    trained: Trained, showers: Showers, *, noise_seeds: Sequence[int] = (1, 2, 3), num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> HeldOut:
    """Measure all sources on ``showers`` (of ``open_held_out``).

    Args:
        trained: the trial's generator; its settings name the training files.
        showers: the held-out Monte Carlo.
        noise_seeds: of the generated showers' noise.
        num_resamples: of the held-out showers, for the standard errors.
        seed: of the resamples.

    Raises:
        DataError: the training files are not there any more.
    """
    settings = trained.settings
    data = settings.data
    train = ShowerSet.open(data.train, max_showers=data.max_train_showers, grid=data.grid, crop=data.crop)
    angle = angles_of(showers) if settings.training.polar_angle else None
    binning = binning_of(train, data, showers.incident_energy, None if angle is None else showers.polar_angle)
    counts = resample_counts(len(showers), num_resamples, seed)
    monte_carlo = resampled_sums(monte_carlo_chunks(showers, data.threshold_gev), counts, binning, angle)

    def estimate(draws: Iterable[Chunks]) -> Estimate:
        return Estimate.of([resampled_sums(draw, counts, binning, angle) for draw in draws], monte_carlo)

    def floor() -> Estimate:
        wanted = None if angle is None else showers.polar_angle
        draws = (train.read(draw) for draw in matched_showers(train, showers.incident_energy, wanted, FLOOR_DRAWS))
        # Partners in the order of the held-out showers, so that they are resampled together.
        sums = [resampled_sums(monte_carlo_chunks(draw, data.threshold_gev), counts, binning, angles_of(draw)) for draw in draws]
        return Estimate.of(sums, monte_carlo)

    def generated(generator: GeneratorNetwork) -> Iterator[Chunks]:
        return (generate_like(generator, trained.transform, showers, noise_seed=one) for one in noise_seeds)

    return HeldOut(
        trained=estimate(generated(trained.generator)),
        untrained=estimate(generated(untrained_state(train, settings).generator)),
        baseline=estimate([baseline_chunks(fit_baseline(train, data.threshold_gev), showers, data.threshold_gev)]),
        floor=floor(),
        num_showers=len(showers),
    )


def untrained_state(train: ShowerSet, settings: TrialSettings) -> TrainState:
    """Where the trial began: its seed's weights, and what its generator takes from training showers before the first step."""
    state = TrainState(settings, Ranks())
    start_from(train, state, settings)
    return state


def open_held_out(files: Sequence[str], data: Data, max_showers: int | None = None, *, polar_angle: bool = False) -> Showers:
    """Held-out showers of ``files`` (paths, globs), all in memory.

    Raises:
        ConfigError: a file was used by the trial, for training or for validation.
        DataError: a file cannot be used, there are fewer than two showers, or a polar angle is asked for and not there.
    """
    held_out = ShowerSet.open(files, max_showers=max_showers, grid=data.grid, crop=data.crop)
    named = {"pretrain": data.pretrain or (), "train": data.train, "validation": data.validation}
    used = {path.resolve(): name for name, patterns in named.items() for path in files_here(patterns)}
    for file in held_out.files:
        if name := used.get(file.path.resolve()):
            message = f"{file.path} is a file of data.{name} of this trial, so it is not held out. Name files that the study has not seen."
            raise ConfigError(message, key="files")
    if polar_angle and not held_out.has_polar_angle:
        message = "the generator was trained with polar angles, these showers have no `theta`. Name files that have."
        raise DataError(message, file=str(held_out.files[0].path))
    if len(held_out) < 2:
        message = "a standard error needs two showers at least, this is one. Name files with more."
        raise DataError(message, file=str(held_out.files[0].path))
    return held_out.read(np.arange(len(held_out)))


def monte_carlo_chunks(showers: Showers, threshold_gev: float) -> Chunks:
    """Cells (B, X, Y, L), below the threshold 0, and incident energies (B,) [GeV] of Monte Carlo showers."""
    for start in range(0, len(showers), CHUNK):
        part = showers.take(slice(start, start + CHUNK))
        yield _above(torch.from_numpy(part.cells), threshold_gev), torch.from_numpy(part.incident_energy)


def baseline_chunks(baseline: MeanShower, showers: Showers, threshold_gev: float) -> Chunks:
    """The baseline's showers with the incident energies of ``showers``."""
    for start in range(0, len(showers), CHUNK):
        energy = torch.from_numpy(showers.incident_energy[start : start + CHUNK])
        yield _above(baseline(energy), threshold_gev), energy


def fit_baseline(train: ShowerSet, threshold_gev: float) -> MeanShower:
    """The mean training shower, of any number of showers."""
    total = torch.zeros(train.grid, dtype=torch.float64)
    for index in np.array_split(np.arange(len(train)), -(-len(train) // CHUNK)):
        for cells, energy in monte_carlo_chunks(train.read(index), threshold_gev):
            total += MeanShower.fit(cells, energy).cells_per_gev * len(energy)
    return MeanShower(total / len(train))


def _above(cells: Tensor, threshold_gev: float) -> Tensor:
    return torch.where(cells < threshold_gev, 0.0, cells)
