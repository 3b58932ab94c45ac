"""What was learned: immutable rows, one per epoch and one per trial, and the metric names made from them.

A metric's name is ``<group>.<field>`` (``physics.shower_distance``). Every field states its unit and which way is better,
so that ``objective.metric`` can be checked, axes labelled and directions defaulted from here alone.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from math import nan
from typing import Any, Literal

Better = Literal["lower", "higher", "neither"]
#: Of a trial whose workers met an error, from the least bad: tried again by new ones, failed, or left for a later session of the study.
Fate = Literal["again", "fails", "stops"]


def measured(unit: str, better: Better, meaning: str, default: Any = MISSING) -> Any:
    """A record's field with its unit, the better direction and one sentence; a default where older records have none."""
    return field(default=default, metadata={"unit": unit, "better": better, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Losses:
    """Means over the epoch's steps and all ranks. Totals are weighted; parts are not."""

    discriminator_total: float = measured("", "neither", "weighted sum of the discriminator's losses, mean of its two batches")
    discriminator_validity: float = measured("", "neither", "binary cross-entropy of the discriminator")
    discriminator_incident_energy: float = measured("%", "lower", "MAPE of the regressed incident energy")
    discriminator_deposited_energy: float = measured("%", "neither", "MAPE of the deposited energy against the response curve")
    discriminator_polar_angle: float = measured("%", "lower", "MAPE of the regressed polar angle; 0 when not conditioned on")
    generator_total: float = measured("", "neither", "weighted sum of the generator's losses")
    generator_validity: float = measured("", "neither", "binary cross-entropy of generated showers against 'real'")
    generator_incident_energy: float = measured("%", "lower", "MAPE of the incident energy regressed from generated showers")
    generator_deposited_energy: float = measured("%", "lower", "MAPE of generated deposited energy against the response curve")
    generator_polar_angle: float = measured("%", "lower", "MAPE of the polar angle of generated showers; 0 when not used")


@dataclass(frozen=True, slots=True)
class PhysicsDistance:
    """Generated against Monte Carlo showers of the validation set; ``*_floor`` is Monte Carlo against Monte Carlo.

    Definitions: ``gan3d.physics.distance``, their version ``gan3d.physics.definitions``; from ``response_shift`` on
    ``gan3d.physics.by_energy``: older records are without these.
    """

    shower_distance: float = measured("", "lower", "the scalar: mean of the bounded distances below")
    response: float = measured("", "lower", "relative difference of the sampling fraction, mean over energy bins")
    resolution: float = measured("", "lower", "relative difference of the sampling fraction's spread, mean over energy bins")
    longitudinal_profile: float = measured("", "lower", "total variation between mean longitudinal profiles")
    transverse_profile: float = measured("", "lower", "total variation between mean transverse profiles, mean of x and y")
    first_moments: float = measured("", "lower", "Wasserstein-1 over the Monte Carlo spread, mean of three axes")
    second_moments: float = measured("", "lower", "Wasserstein-1 over the Monte Carlo spread, mean of three axes")
    layer_fractions: float = measured("", "lower", "Wasserstein-1 over the Monte Carlo spread, mean of three depth regions")
    occupancy: float = measured("", "lower", "Wasserstein-1 over the Monte Carlo spread")
    cell_energy_spectrum: float = measured("", "lower", "total variation between histograms of log10 cell energy")
    maximum_position: float = measured("", "lower", "total variation between histograms of the hottest cell, mean of three axes")
    shower_distance_low_energy: float = measured("", "lower", "the scalar in the bin of the lowest incident energies alone")
    shower_distance_high_energy: float = measured("", "lower", "the scalar in the bin of the highest incident energies alone")
    shower_distance_floor: float = measured("", "neither", "floor of shower_distance")
    shower_distance_low_energy_floor: float = measured("", "neither", "floor of shower_distance_low_energy")
    shower_distance_high_energy_floor: float = measured("", "neither", "floor of shower_distance_high_energy")
    response_floor: float = measured("", "neither", "floor of response")
    resolution_floor: float = measured("", "neither", "floor of resolution")
    longitudinal_profile_floor: float = measured("", "neither", "floor of longitudinal_profile")
    transverse_profile_floor: float = measured("", "neither", "floor of transverse_profile")
    first_moments_floor: float = measured("", "neither", "floor of first_moments")
    second_moments_floor: float = measured("", "neither", "floor of second_moments")
    layer_fractions_floor: float = measured("", "neither", "floor of layer_fractions")
    occupancy_floor: float = measured("", "neither", "floor of occupancy")
    cell_energy_spectrum_floor: float = measured("", "neither", "floor of cell_energy_spectrum")
    maximum_position_floor: float = measured("", "neither", "floor of maximum_position")
    response_shift_low_energy: float = measured("", "neither", "signed difference of sampling fractions, relative, low energies", nan)
    response_shift_low_energy_error: float = measured("", "neither", "its standard error", nan)
    response_shift_middle_energy: float = measured("", "neither", "signed difference of sampling fractions, relative, middle energies", nan)
    response_shift_middle_energy_error: float = measured("", "neither", "its standard error", nan)
    response_shift_high_energy: float = measured("", "neither", "signed difference of sampling fractions, relative, high energies", nan)
    response_shift_high_energy_error: float = measured("", "neither", "its standard error", nan)
    spectrum_separation_low_energy: float = measured("", "lower", "separation power of cell energies, low incident energies", nan)
    spectrum_separation_middle_energy: float = measured("", "lower", "separation power of cell energies, middle incident energies", nan)
    spectrum_separation_high_energy: float = measured("", "lower", "separation power of cell energies, high incident energies", nan)
    maximum_separation_low_energy: float = measured("", "lower", "separation power of the hottest cell's place, low energies", nan)
    maximum_separation_middle_energy: float = measured("", "lower", "separation power of the hottest cell's place, middle energies", nan)
    maximum_separation_high_energy: float = measured("", "lower", "separation power of the hottest cell's place, high energies", nan)
    spectrum_separation_low_energy_floor: float = measured("", "neither", "floor of spectrum_separation_low_energy", nan)
    spectrum_separation_middle_energy_floor: float = measured("", "neither", "floor of spectrum_separation_middle_energy", nan)
    spectrum_separation_high_energy_floor: float = measured("", "neither", "floor of spectrum_separation_high_energy", nan)
    maximum_separation_low_energy_floor: float = measured("", "neither", "floor of maximum_separation_low_energy", nan)
    maximum_separation_middle_energy_floor: float = measured("", "neither", "floor of maximum_separation_middle_energy", nan)
    maximum_separation_high_energy_floor: float = measured("", "neither", "floor of maximum_separation_high_energy", nan)


#: The phases of an epoch, in the order they are drawn. Exclusive: their sum is the epoch's wall time.
PHASES = (
    "data_wait",
    "discriminator",
    "generator",
    "optimiser",
    "exposed_communication",
    "straggler_wait",
    "validation",
    "checkpoint",
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall seconds of one epoch; each phase as mean and max over the trial's ranks. Overlapped communication is no phase."""

    epoch_seconds: float = measured("s", "lower", "wall time of the epoch, validation and checkpoint included (max over ranks)")
    showers_per_second: float = measured("1/s", "higher", "showers trained on by all ranks over the slowest rank's time before validation")
    num_showers: float = measured("", "neither", "showers really trained on by all ranks")
    num_steps: float = measured("", "neither", "optimiser steps of the epoch (discriminator updates)")
    world_size: float = measured("", "neither", "workers of the trial")
    epochs_since_start: float = measured("", "neither", "epochs these workers have trained of the trial since it began or was resumed")
    data_wait_seconds_mean: float = measured("s", "lower", "waiting for the loader")
    data_wait_seconds_max: float = measured("s", "lower", "waiting for the loader, slowest rank")
    discriminator_seconds_mean: float = measured("s", "lower", "forward and backward of the discriminator's two batches")
    discriminator_seconds_max: float = measured("s", "lower", "the same, slowest rank")
    generator_seconds_mean: float = measured("s", "lower", "forward and backward of the generator's steps")
    generator_seconds_max: float = measured("s", "lower", "the same, slowest rank")
    optimiser_seconds_mean: float = measured("s", "lower", "clipping and optimiser steps of both networks")
    optimiser_seconds_max: float = measured("s", "lower", "the same, slowest rank")
    exposed_communication_seconds_mean: float = measured("s", "lower", "all-reduce time that no computation hid")
    exposed_communication_seconds_max: float = measured("s", "lower", "the same, slowest rank")
    straggler_wait_seconds_mean: float = measured("s", "lower", "waiting in a collective for slower ranks")
    straggler_wait_seconds_max: float = measured("s", "lower", "the same, longest-waiting rank")
    validation_seconds_mean: float = measured("s", "lower", "generation and physics on the validation set")
    validation_seconds_max: float = measured("s", "lower", "the same, slowest rank")
    checkpoint_seconds_mean: float = measured("s", "lower", "writing the checkpoint")
    checkpoint_seconds_max: float = measured("s", "lower", "the same, slowest rank")
    overlapped_communication_seconds_mean: float = measured("s", "neither", "all-reduce time that computation hid; beside the phases")
    overlapped_communication_seconds_max: float = measured("s", "neither", "the same, longest of all ranks")
    slowest_rank: float = measured("", "neither", "the rank that computed and read longest, waits for others left out")
    slowest_rank_ratio: float = measured("", "lower", "its time over that of the median rank")
    unaccounted_share: float = measured("", "lower", "of an epoch, the part by which a rank's phases miss it; largest of all ranks")


@dataclass(frozen=True, slots=True)
class NoiseScale:
    """Gradient noise scale over an epoch's updates (arXiv:1812.06162); its signal and noise are squared norms of gradients.

    Definitions: ``gan3d.training.gradient_noise``. Absent from trials of one rank.
    """

    discriminator: float = measured("showers", "neither", "gradient noise scale of the discriminator; 1e9 where there is no signal")
    discriminator_signal: float = measured("", "neither", "squared norm of its true gradient, unbiased, so at times below 0")
    discriminator_noise: float = measured("", "neither", "trace of the covariance of its gradient from one shower")
    generator: float = measured("showers", "neither", "gradient noise scale of the generator; 1e9 where there is no signal")
    generator_signal: float = measured("", "neither", "squared norm of its true gradient, unbiased, so at times below 0")
    generator_noise: float = measured("", "neither", "trace of the covariance of its gradient from one shower")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one epoch cost, from the end of the epoch before it (or the trial's start) to its own: sums over the trial's workers.

    Whose share of a node's energy, and what is counted nowhere: ``gan3d.cost.epochs``. Absent from records of older versions.
    """

    core_seconds: float = measured("s", "lower", "CPUs reserved for the trial's workers times the wall time they held them")
    reserved_core_seconds: float = measured("s", "neither", "the same of the whole team, workers that slept included")
    gpu_seconds: float = measured("s", "lower", "GPUs of the trial's workers times the wall time they held them")
    joules: float = measured("J", "lower", "energy of the trial's workers: the sum of the three below")
    rapl_joules: float = measured("J", "neither", "of processors and memory, measured, this trial's share of its nodes'")
    nvml_joules: float = measured("J", "neither", "of GPUs, measured")
    declared_joules: float = measured("J", "neither", "not measured: cost.watts_per_core and watts_per_gpu times the seconds above")


_GROUPS: dict[str, type[Any]] = {
    "losses": Losses,
    "physics": PhysicsDistance,
    "timing": Timing,
    "noise_scale": NoiseScale,
    "cost": Cost,
}


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of one trial, already merged over ranks. ``epoch`` counts from 1."""

    epoch: int
    losses: Losses
    physics: PhysicsDistance
    timing: Timing
    noise_scale: NoiseScale | None = None
    cost: Cost | None = None

    def as_metrics(self) -> dict[str, float]:
        """Flat ``{"losses.generator_total": 1.2, ...}``: names of ``METRICS``, of every group there is."""
        groups = {group: getattr(self, group) for group in _GROUPS}
        return {f"{group}.{name}": float(value) for group, row in groups.items() if row is not None for name, value in asdict(row).items()}


def training_seconds(metrics: Any) -> Any:
    """Wall seconds that an epoch trained, on its slowest rank: its clock stood still in validation and checkpoint.

    Args:
        metrics: An epoch's metrics by name, or a frame that has them as columns.
    """
    return metrics["timing.num_showers"] / metrics["timing.showers_per_second"]


TrialState = Literal["running", "complete", "pruned", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """How one trial ended. ``number`` is Optuna's trial number, used everywhere.

    ``restarts``: how often its workers were lost in mid-trial and it went on from its last epoch with new ones. ``objective``, the values
    of its ``trade_offs`` and the ``excess`` over constraints (0 or less: all kept) are of its best epoch: ``gan3d.training.merit``.
    """

    number: int
    sample: dict[str, Any]
    state: TrialState
    reason: str
    epochs: int
    objective: float | None
    seconds: float
    restarts: int = 0
    trade_offs: tuple[float, ...] = ()
    excess: float = 0.0


@dataclass(frozen=True, slots=True)
class Metric:
    """Name, unit, better direction and meaning of one metric."""

    name: str
    unit: str
    better: Better
    meaning: str


def _metrics() -> dict[str, Metric]:
    found = {}
    for group, row in _GROUPS.items():
        for entry in fields(row):
            name = f"{group}.{entry.name}"
            found[name] = Metric(name, **entry.metadata)
    return found


#: Every metric a record can hold, by name.
METRICS: dict[str, Metric] = _metrics()
