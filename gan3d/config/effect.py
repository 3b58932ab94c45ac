"""Which knobs change nothing under the other settings, and why. Such a knob cannot be sampled and is not in the digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan3d.config.training import TrialSettings

#: Knobs that no trial may vary, whatever the other settings.
FIXED = {
    "data.train": "all trials of a study train on the same files",
    "data.validation": "all trials of a study are measured on the same files",
    "data.pretrain": "all trials of a study pre-train on the same files; sample training.pretrain_epochs, 0 included",
    "data.max_validation_showers": "all trials of a study are measured on the same showers",
    "data.cells": "they are the files'",
    "data.readout_threshold_gev": "all trials of a study are measured with the same threshold, the detector's",
    "data.crop": "all trials of a study see the same cells",
    "data.grid.0": "the grid is the files'",
    "data.grid.1": "the grid is the files'",
    "data.grid.2": "the grid is the files'",
    "data.num_train_showers": "it only tells `gan3d plan` what to expect and changes no trial",
    "data.node_cache": "it only says where a node keeps decoded showers and changes no trial",
    "workers.cpus_per_worker": "workers outlive a trial, so their CPUs are reserved once for the study",
    "workers.gpus_per_worker": "workers outlive a trial, so their GPUs are reserved once for the study",
    "workers.elastic": "teams are formed alike for the whole study",
    "workers.binding": "workers outlive a trial, so they are bound once for the study",
    "workers.interface": "workers outlive a trial, so their groups are made once for the study",
    "workers.one_node": "workers outlive a trial, so their places are chosen once for the study",
}

#: Knobs that change how fast a trial is, not what it learns.
SPEED_ONLY = (
    "data.cache_megabytes_per_worker",
    "data.read_ahead_batches",
    "workers.threads_per_worker",
    "workers.bucket_megabytes",
    "workers.convolutions",
    "workers.onednn",
    "workers.memory_format",
    "workers.shared_memory",
)
#: Convolution blocks of the seed's discriminator.
ALL_BLOCKS = 4
#: Knobs that there were not always, and what all trials did before: that is not in the digest, so that it stays what it was.
ADDED = {
    "training.discriminator.blocks": ALL_BLOCKS,
    "training.learning_rate_schedule": "constant",
    "training.generator_average": 0.0,
    "training.adversarial_loss": "cross_entropy",
    "training.gradient_penalty": 0.0,
    "training.matched_observables": "moments",
    "training.pretrain_epochs": 0,
    "training.generator.layer_energies": "network",
    "training.generator.cell_spectrum": "network",
    "training.generator.cell_noise": False,
    "training.generator.impact": "network",
    "training.generator.residual_blocks": 0,
    "training.discriminator.residual": False,
    "training.discriminator.minibatch_statistics": False,
    "data.pretrain": None,
    "data.cells": "square",
    "data.crop": False,
    "data.cell_curve": "power",
    "data.readout_threshold_gev": 3e-4,
    "workers.bucket_megabytes": None,
}
#: Version of the loss on observables (`gan3d.models.observable_matching`): a trial of an older one trained otherwise.
OBSERVABLES_LOSS = 3
#: The same where networks know the cells to be polar: moments are of places, not of the angle's index.
POLAR_OBSERVABLES_LOSS = 4
#: The same of the set ``layers``, on any cells: with radii, the profile across, and what of each observable the others do not tell.
LAYERS_OBSERVABLES_LOSS = 6
#: Knobs that say where workers run, not what they do.
PLACES = ("workers.elastic", "workers.binding", "workers.interface", "workers.one_node")
#: Knobs of arithmetic that only a CPU has.
OF_A_CPU = ("workers.convolutions", "workers.onednn", "workers.memory_format", "workers.shared_memory")


def observables_loss(settings: TrialSettings) -> int:
    """Version of the loss on observables that a trial trains with."""
    if settings.training.matched_observables == "layers":
        return LAYERS_OBSERVABLES_LOSS
    return POLAR_OBSERVABLES_LOSS if settings.is_ring else OBSERVABLES_LOSS


def ineffective_knobs(settings: TrialSettings) -> dict[str, str]:
    """Dotted keys without effect on this trial, each with the reason."""
    training = settings.training
    found = _idle_batch(settings)
    if not training.polar_angle:
        found["training.loss_weights.polar_angle"] = "it acts only with training.polar_angle: true"
    if training.learning_rate_rule == "none":
        found["training.learning_rate_reference_batch"] = "it acts only with a training.learning_rate_rule other than none"
    elif settings.learning_rate_factor == 1.0:
        reason = "with a learning_rate_rule it rises from the reference value, which is the full value at this global batch"
        found["training.learning_rate_warmup_epochs"] = reason
    if settings.workers.gpus_per_worker:
        found |= dict.fromkeys(OF_A_CPU, "it acts on a CPU only, but each worker has a GPU: workers.gpus_per_worker is 1")
    blocks = training.discriminator.blocks
    for block in range(blocks, len(training.discriminator.filters)):
        reason = f"the discriminator has no block {block + 1}: training.discriminator.blocks is {blocks}"
        found |= {f"training.discriminator.{name}.{block}": reason for name in ("filters", "strides")}
    if settings.world_size == 1:
        alone = "one worker has nobody to sum gradients with: workers.per_trial is 1"
        found |= dict.fromkeys(("workers.shared_memory", "workers.bucket_megabytes"), alone)
    if settings.data.pretrain is None:
        found["training.pretrain_epochs"] = "there is nothing to pre-train on: data.pretrain names no files"
    if training.loss_weights.observables == 0:
        found["training.matched_observables"] = "no observables are matched: training.loss_weights.observables is 0"
    if training.loss_weights.deposited_energy == 0:
        found["training.response"] = "the deposited energy is not trained on: training.loss_weights.deposited_energy is 0"
    return found


def effective_settings(settings: TrialSettings) -> dict[str, Any]:
    """What the trial really does: derived batch and threads filled in, knobs without effect and mere expectations left out."""
    effective = settings.model_dump(mode="json")
    effective["workers"]["threads_per_worker"] = settings.threads_per_worker
    for key in [*ineffective_knobs(settings), "data.num_train_showers", "data.node_cache", *PLACES]:
        *above, last = key.split(".")
        section: Any = effective
        for part in above:
            section = section[part]
        if isinstance(section, list):
            section[int(last)] = None
        else:
            section.pop(last, None)
    for key, seed in ADDED.items():
        *above, last = key.split(".")
        section = effective
        for part in above:
            section = section[part]
        if section.get(last, seed) == seed:
            section.pop(last, None)
    if settings.training.loss_weights.observables:
        effective["training"]["observables_loss"] = observables_loss(settings)
    if settings.learning_rate_factor == 1.0:
        # Any rule is none at the reference batch, and has nothing to warm up to.
        if settings.training.learning_rate_rule != "none":
            effective["training"]["learning_rate_warmup_epochs"] = 0.0
        effective["training"]["learning_rate_rule"] = "none"
        effective["training"].pop("learning_rate_reference_batch", None)
    # `scaling` only says which of both is derived.
    effective["training"].pop("scaling", None)
    effective["training"] |= {"global_batch": settings.global_batch, "batch_per_worker": settings.batch_per_worker}
    return effective


def _idle_batch(settings: TrialSettings) -> dict[str, str]:
    """The batch that `training.scaling` overrules; or `scaling` itself, where there is only one batch to choose."""
    training = settings.training
    if training.global_batch is None or training.batch_per_worker is None:
        return {"training.scaling": "it acts only where both training.global_batch and training.batch_per_worker are given"}
    if training.scaling == "strong":
        return {"training.batch_per_worker": "with training.scaling: strong it follows from training.global_batch"}
    return {"training.global_batch": "with training.scaling: weak it follows from training.batch_per_worker"}
