"""What a trial takes from training showers before its first step: where the generator starts, and what its showers should look like.

Whatever depends on the showers alone is computed once per process, so that the next trial of a team starts at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.config.training import TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.data.showers import Showers
from gan3d.models.cell_spectrum import numbers_above
from gan3d.models.layer_energies import LayerEnergies
from gan3d.models.observable_matching import ObservableDistributions, ObservableSet
from gan3d.models.rectified_normal import RectifiedNormal
from gan3d.physics.observables import READOUT_THRESHOLD_GEV
from gan3d.physics.readout import polar_centres
from gan3d.physics.transform import Transform
from gan3d.training.noise import stream
from gan3d.training.showers import CHUNK
from gan3d.training.state import TrainState, transform_of

#: Training showers that are looked at, from all over the set: every rank reads them, and keeps them for a moment only.
MOST_SHOWERS = 1_000
#: Training showers whose observables are looked at in the set `layers`: correlations of some 150 take more of them.
MOST_OBSERVED = 4_000
#: Training showers whose layer energies are looked at: only these are kept, and their tails count.
MOST_LAYER_ENERGIES = 10_000
#: So many neighbours are read at once: of a compressed chunk all showers are decoded for one.
RUN = 20
#: Showers generated to standardise the fluctuations.
NUM_GENERATED = 128


def start_from(train: ShowerSet, state: TrainState, settings: TrialSettings) -> None:
    """Let a fresh generator start from training showers where its settings say so; the same on every rank."""
    if state.step:
        return
    if state.generator.layer_energies is not None:
        state.generator.layer_energies.start_as_(
            fitted_layer_energies(train, transform_of(settings), has_polar_angle=settings.training.polar_angle)
        )
    if state.generator.cells is not None:
        start_cells(train, state, settings)


def start_cells(train: ShowerSet, state: TrainState, settings: TrialSettings) -> None:
    """Let a fresh generator's cells have the training showers' mean and spread, and where it has a curve for it, their spectrum."""
    generator, transform = state.generator, transform_of(settings)
    assert generator.cells is not None
    device = next(generator.parameters()).device
    generator.cells.start_as_(fitted_cells(train, transform, has_impact=generator.cells.impact is not None))
    random = stream(settings.training.seed, "start")
    seen = torch.from_numpy(rows_all_over(len(train), MOST_SHOWERS))
    rows = seen[torch.randint(len(seen), (NUM_GENERATED,), generator=random)]
    noise = torch.randn(NUM_GENERATED, settings.num_noise, generator=random)
    angles = train.polar_angles() if settings.training.polar_angle else None
    angle = None if angles is None else torch.from_numpy(angles)[rows].to(device)
    made_of = (noise.to(device), torch.from_numpy(train.incident_energies())[rows].to(device), angle)
    generator.standardise_(*made_of)
    if generator.layer_energies is not None and generator.layer_energies.spectrum is not None:
        with torch.no_grad():
            generated = transform.to_gev(generator.eval()(*made_of)).cpu()
        generator.train()
        numbers = numbers_of_cells(train, transform.threshold_gev)[torch.searchsorted(seen, rows)]
        generator.layer_energies.spectrum.fit_(generated, numbers.sum(dim=0))


def rows_all_over(num_showers: int, most: int) -> NDArray[np.int64]:
    """Rising positions of at most so many showers, in runs of `RUN` neighbours equally far apart: files may be sorted."""
    if num_showers <= most:
        return np.arange(num_showers)
    num_runs = max(1, most // RUN)
    starts = np.arange(num_runs) * (num_showers - RUN) // max(1, num_runs - 1)
    rows: NDArray[np.int64] = (starts[:, None] + np.arange(RUN)).ravel()
    return rows


def chunks(train: ShowerSet, most: int, threshold_gev: float) -> Iterator[Showers]:
    """At most so many showers from all over the set, `CHUNK` at a time."""
    rows = rows_all_over(len(train), most)
    for start in range(0, len(rows), CHUNK):
        yield read_out(train, rows[start : start + CHUNK], threshold_gev)


def read_out(train: ShowerSet, rows: NDArray[np.int64], threshold_gev: float) -> Showers:
    """Showers at these positions; cells below the threshold are 0, as in training."""
    showers = train.read(rows)
    return replace(showers, cells=np.where(showers.cells < threshold_gev, np.float32(0), showers.cells))


@lru_cache(maxsize=1)
def fitted_cells(train: ShowerSet, transform: Transform, *, has_impact: bool) -> RectifiedNormal:
    """Cells whose location and scale are those of training showers."""
    showers = read_out(train, rows_all_over(len(train), MOST_SHOWERS), transform.threshold_gev)
    cells = RectifiedNormal(1, train.grid, impact_at=0 if has_impact else None)
    cells.fit_(torch.from_numpy(showers.cells), torch.from_numpy(showers.incident_energy), transform)
    return cells


@lru_cache(maxsize=1)
def numbers_of_cells(train: ShowerSet, threshold_gev: float) -> torch.Tensor:
    """Of training showers, (N, J): see `numbers_above`."""
    return torch.cat([numbers_above(torch.from_numpy(part.cells)) for part in chunks(train, MOST_SHOWERS, threshold_gev)])


@lru_cache(maxsize=1)
def fitted_layer_energies(train: ShowerSet, transform: Transform, *, has_polar_angle: bool) -> LayerEnergies:
    """The distribution of training showers' layer energies."""
    layers, energies, angles = [], [], []
    for part in chunks(train, MOST_LAYER_ENERGIES, transform.threshold_gev):
        layers.append(torch.from_numpy(part.cells).sum(dim=(1, 2)))
        energies.append(torch.from_numpy(part.incident_energy))
        if has_polar_angle:
            assert part.polar_angle is not None
            angles.append(torch.from_numpy(part.polar_angle))
    layer_energy, energy = torch.cat(layers), torch.cat(energies)
    has_energy = layer_energy.sum(dim=1) > 0
    fitted = LayerEnergies(train.grid[2], has_polar_angle, transform)
    fitted.fit_(layer_energy[has_energy], energy[has_energy], torch.cat(angles)[has_energy] if angles else None)
    return fitted


def observable_distributions(train: ShowerSet, settings: TrialSettings, device: torch.device) -> ObservableDistributions | None:
    """What the loss on observables compares with; None where it has no weight."""
    training = settings.training
    if training.loss_weights.observables == 0:
        return None
    data = settings.data
    return fitted_distributions(train, training.matched_observables, data.threshold_gev, data.readout_threshold_gev).to(device)


@lru_cache(maxsize=1)
def fitted_distributions(
    train: ShowerSet, kind: ObservableSet, threshold_gev: float, readout_threshold_gev: float = READOUT_THRESHOLD_GEV
) -> ObservableDistributions:
    """Distributions of training showers."""
    parts = chunks(train, MOST_OBSERVED if kind == "layers" else MOST_SHOWERS, threshold_gev)
    showers = ((torch.from_numpy(part.cells), torch.from_numpy(part.incident_energy)) for part in parts)
    centres = polar_centres(*train.grid[:2]) if train.is_polar else None
    positions = None if centres is None else (torch.from_numpy(centres[0]).float(), torch.from_numpy(centres[1]).float())
    return ObservableDistributions.fit(showers, kind, positions, readout_threshold_gev)
