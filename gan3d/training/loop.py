"""The loop: a generator that yields one merged record per epoch. It knows neither Ray nor MLflow; its caller stops it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch

from gan3d.config.training import TrialSettings
from gan3d.data.loader import Loader, Share
from gan3d.data.showers import Showers
from gan3d.errors import DivergedError
from gan3d.physics.transform import Transform
from gan3d.records import PHASES, EpochRecord, Losses, NoiseScale, PhysicsDistance, Timing
from gan3d.training.allocation import keep_freed_memory
from gan3d.training.clock import PhaseClock
from gan3d.training.gradient_noise import noise_scale
from gan3d.training.noise import stream
from gan3d.training.paths import choose_paths
from gan3d.training.ranks import Ranks
from gan3d.training.rehearsal import rehearse
from gan3d.training.showers import TrialShowers
from gan3d.training.start import observable_distributions, start_from
from gan3d.training.state import TrainState, transform_of
from gan3d.training.step import Batch, Recipe, StepLosses, finish_step, slots_of, train_step
from gan3d.training.validate import validate

#: Steps between two looks at whether losses are still finite; the look is one small all-reduce.
STEPS_BETWEEN_LOOKS = 100

#: Phases in which a rank waits for nobody.
OWN_PHASES = ("data_wait", "discriminator", "generator", "optimiser")
#: Parts of a network's losses, as `LossParts` orders them.
_PARTS = ("total", "validity", "incident_energy", "deposited_energy", "polar_angle")


@dataclass(frozen=True, slots=True)
class Trial:
    """What stays the same over a trial: settings, ranks, showers, and who wants to hear of it.

    ``save`` writes the state (called on every rank inside the checkpoint phase); ``progress`` hears (step, steps of the epoch).
    """

    settings: TrialSettings
    ranks: Ranks
    showers: TrialShowers
    save: Callable[[TrainState], None] = field(default=lambda _state: None)
    progress: Callable[[int, int], None] = field(default=lambda _step, _steps: None)


def epochs(trial: Trial, state: TrainState) -> Iterator[EpochRecord]:
    """Train from ``state`` to the last epoch; yields each epoch's record, equal on all ranks.

    Raises:
        DivergedError: on all ranks together.
        DataError: a shower file turned out to be damaged.
    """
    settings, ranks = trial.settings, trial.ranks
    keep_freed_memory()
    set_precision(settings)
    if state.step == 0:
        choose_paths(state, settings, ranks)
    start_from(trial.showers.train, state, settings)
    if state.step == 0:
        state.equalise(ranks)
    begun = state.epoch
    for first, end, showers in stages(trial):
        if first <= state.epoch < end:
            source = source_of(trial, showers)
            if state.epoch == begun > 0:
                rehearse(state, settings, source.recipe, ranks)
            while state.epoch < end:
                yield _epoch(trial, state, source, begun)


def stages(trial: Trial) -> Iterator[tuple[int, int, TrialShowers]]:
    """First epoch, the one behind the last, and the showers of each stage: cheap ones first where there are some."""
    training, cheap = trial.settings.training, trial.showers.cheaper()
    border = 0 if cheap is None else min(training.pretrain_epochs, training.epochs)
    if cheap is not None:
        yield 0, border, cheap
    yield border, training.epochs, trial.showers


class Source(NamedTuple):
    """Where batches come from, and what is made of them."""

    loader: Loader
    recipe: Recipe


def source_of(trial: Trial, showers: TrialShowers) -> Source:
    """Of one stage."""
    settings, ranks = trial.settings, trial.ranks
    data, training = settings.data, settings.training
    loader = Loader(
        showers.train,
        share_of(settings, ranks),
        cache_megabytes=data.cache_megabytes_per_worker,
        read_ahead_batches=data.read_ahead_batches,
        num_steps=training.max_steps_per_epoch,
    )
    observables = observable_distributions(showers.train, settings, ranks.device)
    autocast = autocast_of(settings, ranks.device)
    return Source(loader, Recipe(training, showers.conditions(training), showers.response(training), autocast, observables))


def share_of(settings: TrialSettings, ranks: Ranks) -> Share:
    """Which showers of an epoch this worker takes."""
    training = settings.training
    return Share(settings.batch_per_worker, ranks.rank, ranks.world_size, training.seed, training.virtual_ranks, settings.data.order)


def _epoch(trial: Trial, state: TrainState, source: Source, begun: int) -> EpochRecord:
    """One epoch of a trial that these workers began, or took up, after epoch ``begun``."""
    settings, ranks = trial.settings, trial.ranks
    torch.manual_seed(stream(settings.training.seed, state.epoch, ranks.rank, "dropout").initial_seed())
    clock = PhaseClock(ranks.device, has_others=ranks.group is not None)
    state.start_epoch(settings)
    sums, num_steps = _train(trial, state, source, clock), source.loader.num_steps
    training_seconds = clock.epoch_seconds
    state.epoch += 1
    physics = _validate(trial, state, clock)
    with clock.phase("checkpoint"):
        trial.save(state)
    with clock.collective():
        ranks.barrier()
    timing = merged_timing(clock, training_seconds, Work(num_steps, settings.global_batch, state.epoch - begun), ranks)
    noise = merged_noise_scale(state, settings, ranks)
    return EpochRecord(state.epoch, merged_losses(sums, num_steps, ranks), physics, timing, noise)


def _train(trial: Trial, state: TrainState, source: Source, clock: PhaseClock) -> torch.Tensor:
    """The epoch's steps; returns sums of loss parts over this rank's steps, shape (2, 5): discriminator, generator."""
    settings, ranks = trial.settings, trial.ranks
    transform, (loader, recipe) = transform_of(settings), source
    sums = torch.zeros(2, len(_PARTS), dtype=torch.float64, device=ranks.device)
    batches = loader.epoch(state.epoch)
    try:
        for step in range(loader.num_steps):
            with clock.phase("data_wait"):
                batch = to_batch(next(batches), transform, ranks.device, polar_angle=settings.training.polar_angle)
            state.learning_rate_factor = learning_rate_factor(settings, state.epoch * loader.num_steps + step, loader.num_steps)
            losses = train_step(state, batch, recipe, slots_of(settings, ranks, state.step), clock)
            sums += as_rows(losses)
            if (step + 1) % STEPS_BETWEEN_LOOKS == 0 or step + 1 == loader.num_steps:
                with clock.collective():
                    refuse_broken_losses(sums, ranks, state)
            trial.progress(step + 1, loader.num_steps)
        finish_step(state, recipe)
    finally:
        getattr(batches, "close", lambda: None)()
    return sums


def _validate(trial: Trial, state: TrainState, clock: PhaseClock) -> PhysicsDistance:
    with clock.phase("validation"):
        with clock.collective():
            state.average_buffers(trial.ranks)
        seed = trial.settings.training.seed
        return validate(state, transform_of(trial.settings), trial.showers, trial.ranks, clock, noise_seed=seed)


def to_batch(showers: Showers, transform: Transform, device: torch.device, *, polar_angle: bool) -> Batch:
    """Showers of the loader in network units on the device; the deposited energy is what the transform leaves [GeV]."""
    cells = transform.to_network(torch.from_numpy(showers.cells).to(device, non_blocking=True))
    angle = torch.from_numpy(showers.polar_angle).to(device) if polar_angle and showers.polar_angle is not None else None
    energy = torch.from_numpy(showers.incident_energy).to(device)
    return Batch(cells, energy, transform.to_gev(cells).sum((1, 2, 3)), angle)


def as_rows(losses: StepLosses) -> torch.Tensor:
    """(2, 5) float64, where they were computed: a look at them every step would let a GPU wait for the host."""
    return torch.stack([losses.discriminator, losses.generator]).double()


def learning_rate_factor(settings: TrialSettings, step: int, steps_per_epoch: int) -> float:
    """What both learning rates are multiplied with at ``step`` (counted from 0).

    The rule's factor, by the schedule; before the end of the warm-up a straight line to it, from the reference learning rate where there is
    a rule (Goyal et al., arXiv:1706.02677, section 2.2), from zero where there is none.
    """
    full = settings.learning_rate_factor
    warmup_steps = settings.training.learning_rate_warmup_epochs * steps_per_epoch
    if step + 1 >= warmup_steps:
        return full * scheduled(settings, step, warmup_steps, settings.training.epochs * steps_per_epoch)
    start = 0.0 if settings.training.learning_rate_rule == "none" else 1.0
    return start + (full - start) * (step + 1) / warmup_steps


def scheduled(settings: TrialSettings, step: int, first: float, end: int) -> float:
    """Share of the full learning rate at a step behind the warm-up, which ends with step ``first``; the trial ends before ``end``.

    Cosine: half a period, from 1 to 0 (Loshchilov and Hutter, arXiv:1608.03983, without restarts).
    """
    if settings.training.learning_rate_schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(step - first, 0.0) / max(end - first, 1))))


def refuse_broken_losses(sums: torch.Tensor, ranks: Ranks, state: TrainState) -> None:
    """Raise DivergedError on all ranks where any rank's losses are not finite."""
    broken = torch.tensor(float(not bool(torch.isfinite(sums).all())), device=ranks.device)
    count = int(ranks.sum(broken))
    if count:
        message = f"losses are not finite on {count} of {ranks.world_size} workers by step {state.step} (epoch {state.epoch + 1})"
        raise DivergedError(message)


def merged_losses(sums: torch.Tensor, num_steps: int, ranks: Ranks) -> Losses:
    """Means over steps and ranks."""
    means = ranks.mean(sums.clone()).cpu() / num_steps
    names = [f"{network}_{part}" for network in ("discriminator", "generator") for part in _PARTS]
    return Losses(**dict(zip(names, means.flatten().tolist(), strict=True)))


def merged_noise_scale(state: TrainState, settings: TrialSettings, ranks: Ranks) -> NoiseScale | None:
    """The gradient noise scale of both networks; None where one rank is all there is to compare."""
    if settings.num_ranks == 1:
        return None
    found: dict[str, float] = {}
    for name, watched in (("discriminator", state.discriminator_noise), ("generator", state.generator_noise)):
        signal, noise, scale = noise_scale(*watched.squared_norms(ranks), settings.batch_per_worker, settings.global_batch)
        found |= {f"{name}_signal": signal, f"{name}_noise": noise, name: scale}
    return NoiseScale(**found)


class Work(NamedTuple):
    """What an epoch's seconds were spent on."""

    num_steps: int
    global_batch: int
    epochs_since_start: int
    """See `records.Timing`."""


def merged_timing(clock: PhaseClock, training_seconds: float, work: Work, ranks: Ranks) -> Timing:
    """Each phase's mean and max over ranks; throughput over the slowest rank's ``training_seconds``, before validation."""
    epoch_seconds = clock.epoch_seconds
    clock.split_waits(ranks)
    unaccounted = abs(1 - sum(clock.seconds[name] for name in PHASES) / epoch_seconds)
    row = torch.tensor([epoch_seconds, training_seconds, unaccounted, *clock.seconds.values()], dtype=torch.float64, device=ranks.device)
    longest, mean = ranks.max(row.clone()).tolist(), ranks.mean(row.clone()).tolist()
    seconds = {f"{name}_seconds_mean": mean[place] for place, name in enumerate(clock.seconds, start=3)}
    seconds |= {f"{name}_seconds_max": longest[place] for place, name in enumerate(clock.seconds, start=3)}
    num_showers = float(work.num_steps * work.global_batch)
    slowest, ratio = slowest_rank(sum(clock.seconds[name] for name in OWN_PHASES), ranks)
    return Timing(
        epoch_seconds=longest[0],
        showers_per_second=num_showers / longest[1],
        num_showers=num_showers,
        num_steps=float(work.num_steps),
        world_size=float(ranks.world_size),
        epochs_since_start=float(work.epochs_since_start),
        slowest_rank=float(slowest),
        slowest_rank_ratio=ratio,
        unaccounted_share=longest[2],
        **seconds,
    )


def slowest_rank(own_seconds: float, ranks: Ranks) -> tuple[int, float]:
    """The rank with the most seconds of its own, and how many times the median rank's they are; collective."""
    seconds = torch.zeros(ranks.world_size, dtype=torch.float64, device=ranks.device)
    seconds[ranks.rank] = own_seconds
    every = ranks.sum(seconds).cpu()
    median = float(every.sort().values[(ranks.world_size - 1) // 2])
    return int(every.argmax()), float(every.max()) / median if median > 0 else 1.0


def set_precision(settings: TrialSettings) -> None:
    """CPU threads of this worker, oneDNN or not, and tf32 where asked for; set anew by each trial, for workers outlive them."""
    torch.set_num_threads(settings.threads_per_worker)
    torch._C._set_mkldnn_enabled(settings.workers.onednn)  # its public form is a context, or sets more
    torch.set_float32_matmul_precision("high" if settings.training.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = settings.training.precision == "tf32"


def autocast_of(settings: TrialSettings, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    """bf16 autocast where asked for, else nothing."""
    if settings.training.precision == "bf16":
        return partial(torch.autocast, device.type, dtype=torch.bfloat16)
    return nullcontext
