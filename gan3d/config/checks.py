"""What must hold between the fields of one trial. Each check yields problems with both numbers and a way out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gan3d.config.problem import Problem

if TYPE_CHECKING:
    from gan3d.config.training import TrialSettings

#: Edge of the average pooling behind the discriminator's blocks (the seed's).
DISCRIMINATOR_POOLING = 2

#: How much larger the grid is than what the generator starts from, along x, y and the depth (the seed's two upsamplings).
GENERATOR_UPSAMPLING = (4, 4, 6)


def trial_problems(settings: TrialSettings) -> Iterator[Problem]:
    """Every contradiction within one trial's settings."""
    batch_problem = _one_batch(settings)
    if batch_problem is not None:
        yield batch_problem
    else:
        yield from _batch(settings)
    yield from _schedule(settings)
    yield from _workers(settings)
    yield from _data(settings)
    yield from _networks(settings)


def _one_batch(settings: TrialSettings) -> Problem | None:
    training = settings.training
    if training.global_batch is not None and training.batch_per_worker is not None:
        return Problem(
            "training.global_batch",
            "contradicts",
            "Exactly one of them is given: global_batch for strong scaling, batch_per_worker for weak scaling; "
            "remove the other, or set it to null.",
            training.global_batch,
            (("training.batch_per_worker", training.batch_per_worker),),
        )
    if training.global_batch is None and training.batch_per_worker is None:
        return Problem(
            "training",
            "has neither global_batch nor batch_per_worker",
            "Give exactly one: training.global_batch for strong scaling, training.batch_per_worker for weak scaling.",
        )
    return None


def _batch(settings: TrialSettings) -> Iterator[Problem]:
    training, world_size = settings.training, settings.world_size
    if training.global_batch is not None and training.global_batch % world_size:
        yield Problem(
            "training.global_batch",
            "is not divisible by",
            f"Nearest: {nearest_multiples(training.global_batch, world_size)}.",
            training.global_batch,
            (("workers.per_trial", world_size),),
        )
        return
    known = [size for size in (settings.data.num_train_showers, settings.data.max_train_showers) if size is not None]
    if known and settings.global_batch > min(known):
        number_key = "num_train_showers" if min(known) == settings.data.num_train_showers else "max_train_showers"
        key = "training.global_batch" if training.global_batch is not None else "training.batch_per_worker"
        yield Problem(
            key,
            f"makes a global batch of {settings.global_batch}, more than",
            f"Not one step would be possible: lower {key} or use more showers.",
            training.global_batch or training.batch_per_worker,
            ((f"data.{number_key}", min(known)),),
        )


def nearest_multiples(number: int, divisor: int) -> str:
    """The multiples just below and above, as text: `496, 512`."""
    below = number // divisor * divisor
    return ", ".join(str(multiple) for multiple in (below, below + divisor) if multiple > 0)


def _schedule(settings: TrialSettings) -> Iterator[Problem]:
    training = settings.training
    if training.learning_rate_warmup_epochs > training.epochs:
        yield Problem(
            "training.learning_rate_warmup_epochs",
            "exceeds",
            "The learning rate would never be reached: lower learning_rate_warmup_epochs or raise training.epochs.",
            training.learning_rate_warmup_epochs,
            (("training.epochs", training.epochs),),
        )


def _workers(settings: TrialSettings) -> Iterator[Problem]:
    workers, precision = settings.workers, settings.training.precision
    if precision != "fp32" and not workers.gpus_per_worker:
        yield Problem(
            "training.precision",
            "needs a GPU, but",
            "Set workers.gpus_per_worker to 1 or training.precision to fp32.",
            precision,
            (("workers.gpus_per_worker", workers.gpus_per_worker),),
        )
    if workers.threads_per_worker is not None and workers.threads_per_worker > workers.cpus_per_worker:
        yield Problem(
            "workers.threads_per_worker",
            "exceeds",
            "Threads would take turns on a CPU: lower threads_per_worker or raise cpus_per_worker.",
            workers.threads_per_worker,
            (("workers.cpus_per_worker", workers.cpus_per_worker),),
        )


def _data(settings: TrialSettings) -> Iterator[Problem]:
    shared = sorted(set(settings.data.train) & set(settings.data.validation))
    if shared:
        yield Problem(
            "data.validation",
            "holds a file that is also trained on:",
            "Validate on showers that were not trained on: list other files.",
            list(settings.data.validation),
            (("data.train", list(settings.data.train)),),
        )


def _networks(settings: TrialSettings) -> Iterator[Problem]:
    for name in ("generator", "discriminator"):
        network = getattr(settings.training, name)
        if network.normalisation != "group" and _showers_per_rank(settings) == 1:
            yield Problem(
                f"training.{name}.normalisation",
                "takes its statistics from one worker's showers, but there is 1 with",
                "Raise the batch, use fewer workers, or set normalisation to group.",
                network.normalisation,
                _batch_fields(settings),
            )
    yield from _kernels(settings)
    yield from _strides(settings)


def _showers_per_rank(settings: TrialSettings) -> int:
    training = settings.training
    if training.batch_per_worker is not None:
        return training.batch_per_worker
    return (training.global_batch or 0) // settings.world_size


def _batch_fields(settings: TrialSettings) -> tuple[tuple[str, int], ...]:
    training = settings.training
    if training.batch_per_worker is not None:
        return (("training.batch_per_worker", training.batch_per_worker),)
    return (("training.global_batch", training.global_batch or 0), ("workers.per_trial", settings.world_size))


def _kernels(settings: TrialSettings) -> Iterator[Problem]:
    """A kernel must not be so wide that its outer taps see only padding where the generator starts."""
    kernel = settings.training.generator.kernel
    if kernel == "seed":
        return
    start = min(math.ceil((cells + 1) / factor) for cells, factor in zip(settings.data.grid, GENERATOR_UPSAMPLING, strict=True))
    if kernel // 2 >= start:
        yield Problem(
            "training.generator.kernel",
            f"reaches {kernel // 2} cells to each side, but the generator starts with {start} along the shortest edge of",
            f"Use a kernel of at most {2 * start - 1}, or a larger grid.",
            kernel,
            (("data.grid", list(settings.data.grid)),),
        )


def _strides(settings: TrialSettings) -> Iterator[Problem]:
    """The discriminator's blocks must leave enough cells for the pooling behind them."""
    network = settings.training.discriminator
    same = (network.kernel - 1) // 2
    size = min(settings.data.grid)
    for stride, padding in zip(network.strides, (same, same, same, max(same - 1, 0)), strict=True):
        size = (size + 2 * padding - network.kernel) // stride + 1
    if size < DISCRIMINATOR_POOLING:
        yield Problem(
            "training.discriminator.strides",
            f"leave {max(size, 0)} cells, fewer than the {DISCRIMINATOR_POOLING} of the pooling, along the shortest edge of",
            "Use smaller strides, or a larger grid.",
            list(network.strides),
            (("data.grid", list(settings.data.grid)),),
        )
