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
    yield from _observables(settings)
    yield from _workers(settings)
    yield from _data(settings)
    yield from _networks(settings)


def _one_batch(settings: TrialSettings) -> Problem | None:
    training = settings.training
    if training.scaling is not None and getattr(training, training.fixed_batch) is None:
        rule = f"keeps {training.fixed_batch}, but there is no training.{training.fixed_batch}"
        return Problem("training.scaling", rule, f"Give training.{training.fixed_batch}, or remove training.scaling.", training.scaling)
    if training.scaling is None and training.global_batch is not None and training.batch_per_worker is not None:
        return Problem(
            "training.global_batch",
            "contradicts",
            "Exactly one of them is given: global_batch for strong scaling, batch_per_worker for weak scaling; "
            "remove the other, or set it to null, or say with training.scaling: strong or weak which one holds.",
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
    training, num_ranks = settings.training, settings.num_ranks
    is_strong = training.fixed_batch == "global_batch"
    if is_strong and settings.global_batch % num_ranks:
        yield Problem(
            "training.global_batch",
            "is not divisible by",
            f"Nearest: {nearest_multiples(settings.global_batch, num_ranks)}.",
            settings.global_batch,
            _rank_fields(settings),
        )
        return
    known = [size for size in (settings.data.num_train_showers, settings.data.max_train_showers) if size is not None]
    if known and settings.global_batch > min(known):
        number_key = "num_train_showers" if min(known) == settings.data.num_train_showers else "max_train_showers"
        key = f"training.{training.fixed_batch}"
        yield Problem(
            key,
            f"makes a global batch of {settings.global_batch}, more than",
            f"Not one step would be possible: lower {key} or use more showers.",
            getattr(training, training.fixed_batch),
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


def _observables(settings: TrialSettings) -> Iterator[Problem]:
    training = settings.training
    if training.loss_weights.observables and training.conditions == "seed":
        yield Problem(
            "training.loss_weights.observables",
            "compares showers of the same incident energies, but",
            "Set training.conditions to training_set, or the weight to 0.",
            training.loss_weights.observables,
            (("training.conditions", training.conditions),),
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
    if not workers.one_node and workers.threads_per_worker is not None and workers.threads_per_worker > workers.cpus_per_worker:
        yield Problem(
            "workers.threads_per_worker",
            "exceeds",
            "Threads would take turns on a CPU: lower threads_per_worker or raise cpus_per_worker.",
            workers.threads_per_worker,
            (("workers.cpus_per_worker", workers.cpus_per_worker),),
        )
    if workers.elastic is not None and workers.one_node:
        yield Problem(
            "workers.elastic",
            "cannot be had with",
            "Room for fewer workers is counted over all nodes: set workers.one_node to false, or leave workers.elastic out.",
            workers.elastic,
            (("workers.one_node", workers.one_node),),
        )
    if workers.memory_format == "contiguous" and workers.convolutions == "measured":
        yield Problem(
            "workers.memory_format",
            "acts only where torch computes all convolutions, but",
            "Set workers.convolutions to plain or workers.memory_format to channels_last.",
            workers.memory_format,
            (("workers.convolutions", workers.convolutions),),
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
        if network.normalisation in ("batch", "batch_per_plane") and _showers_per_rank(settings) == 1:
            yield Problem(
                f"training.{name}.normalisation",
                "takes its statistics from one worker's showers, but there is 1 with",
                "Raise the batch, use fewer workers, or set normalisation to group.",
                network.normalisation,
                _batch_fields(settings),
            )
    yield from _penalty(settings)
    yield from _curve(settings)
    yield from _ring(settings)
    yield from _kernels(settings)
    yield from _noise(settings)
    yield from _strides(settings)


def _showers_per_rank(settings: TrialSettings) -> int:
    training = settings.training
    if training.fixed_batch == "batch_per_worker":
        return training.batch_per_worker or 0
    return (training.global_batch or 0) // settings.num_ranks


def _batch_fields(settings: TrialSettings) -> tuple[tuple[str, int], ...]:
    training = settings.training
    if training.fixed_batch == "batch_per_worker":
        return (("training.batch_per_worker", training.batch_per_worker or 0),)
    return (("training.global_batch", training.global_batch or 0), *_rank_fields(settings))


def _rank_fields(settings: TrialSettings) -> tuple[tuple[str, int], ...]:
    """What makes the number of ranks."""
    virtual = settings.training.virtual_ranks
    workers = ("workers.per_trial", settings.world_size)
    return (workers,) if virtual == 1 else (workers, ("training.virtual_ranks", virtual))


def _ring(settings: TrialSettings) -> Iterator[Problem]:
    """A ring is what the upsamplings make of the start, and long enough for a kernel not to meet itself."""
    cells, upsampling = settings.data.grid[0], GENERATOR_UPSAMPLING[0]
    if settings.is_ring and cells % upsampling:
        yield Problem(
            "data.cells",
            f"closes x to a ring, which the generator makes of a {upsampling}th of its cells, but there are not so many in",
            f"Set data.cells to square, or use files with a multiple of {upsampling} angles.",
            settings.data.cells,
            (("data.grid", list(settings.data.grid)),),
        )


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


def _penalty(settings: TrialSettings) -> Iterator[Problem]:
    """The gradient penalty is each shower's own, which it is not where a batch is normalised together."""
    network = settings.training.discriminator
    if settings.training.gradient_penalty and network.normalisation in ("batch", "batch_per_plane"):
        yield Problem(
            "training.gradient_penalty",
            "is of each shower alone, but showers are normalised together by",
            "Set training.discriminator.normalisation to group, spectral or none, or gradient_penalty to 0.",
            settings.training.gradient_penalty,
            (("training.discriminator.normalisation", network.normalisation),),
        )


def _curve(settings: TrialSettings) -> Iterator[Problem]:
    """The moments from which rectified normals start are those of powers."""
    if settings.data.cell_curve == "logarithm" and settings.training.generator.output == "rectified_normal":
        yield Problem(
            "data.cell_curve",
            "does not go with cells that start from the moments of powers:",
            "Set training.generator.output to relu, or cell_curve to power.",
            settings.data.cell_curve,
            (("training.generator.output", settings.training.generator.output),),
        )


def _noise(settings: TrialSettings) -> Iterator[Problem]:
    """Fitted layer energies take their normal scores from the noise; only cells with a fluctuation can have noise of their own."""
    network = settings.training.generator
    needed = 2 * (network.impact == "fitted") + (settings.data.grid[2] + 1) * (network.layer_energies == "fitted")
    if network.cell_noise and network.output != "rectified_normal":
        yield Problem(
            "training.generator.cell_noise",
            "goes only with cells that fluctuate:",
            "Set training.generator.output to rectified_normal.",
            network.cell_noise,
            (("training.generator.output", network.output),),
        )
    if network.impact == "fitted" and (network.output != "rectified_normal" or settings.training.polar_angle or settings.is_ring):
        yield Problem(
            "training.generator.impact",
            "goes only with rectified normals, square cells and normal incidence:",
            "Set training.generator.output to rectified_normal, or impact to network.",
            network.impact,
            (("training.generator.output", network.output),),
        )
    if network.cell_spectrum == "fitted" and (network.output != "rectified_normal" or network.layer_energies != "fitted"):
        yield Problem(
            "training.generator.cell_spectrum",
            "goes only with rectified normals and layer energies that are fitted:",
            "Set training.generator.output to rectified_normal and layer_energies to fitted, or cell_spectrum to network.",
            network.cell_spectrum,
            (("training.generator.output", network.output), ("training.generator.layer_energies", network.layer_energies)),
        )
    if network.noise_dim < needed:
        yield Problem(
            "training.generator.noise_dim",
            f"is fewer than the {needed} numbers that what is fitted takes from the noise (layer energies one per layer, and one; "
            "the impact two) with",
            f"Use at least {needed}, or let the network decide.",
            network.noise_dim,
            (("training.generator.layer_energies", network.layer_energies), ("training.generator.impact", network.impact)),
        )


def _strides(settings: TrialSettings) -> Iterator[Problem]:
    """The discriminator's blocks must leave enough cells for the pooling behind them."""
    network = settings.training.discriminator
    same = (network.kernel - 1) // 2
    size = min(settings.data.grid)
    for stride, padding in zip(network.strides[: network.blocks], (same, same, same, max(same - 1, 0)), strict=False):
        size = (size + 2 * padding - network.kernel) // stride + 1
    if size < DISCRIMINATOR_POOLING:
        yield Problem(
            "training.discriminator.strides",
            f"leave {max(size, 0)} cells, fewer than the {DISCRIMINATOR_POOLING} of the pooling, along the shortest edge of",
            "Use smaller strides, or a larger grid.",
            list(network.strides),
            (("data.grid", list(settings.data.grid)),),
        )
