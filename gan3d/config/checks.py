"""What must hold between the fields of one trial. Each check yields problems with both numbers and a way out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gan3d.config.network_checks import network_problems
from gan3d.config.problem import Problem

if TYPE_CHECKING:
    from gan3d.config.training import TrialSettings


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
    yield from network_problems(settings)


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
