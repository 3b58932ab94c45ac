"""What one trial is asked to do: data, recipe, workers. Every field is a knob; derived numbers are properties."""

from __future__ import annotations

import hashlib
import json
import math
from math import prod
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gan3d.config.checks import trial_problems
from gan3d.config.effect import effective_settings
from gan3d.config.networks import Discriminator, Generator
from gan3d.config.problem import Contradictions
from gan3d.config.settings import NonNegative, Positive, Says, Settings

Files = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), Says("a list of at least one path or file pattern")]
NodeFolder = Annotated[str, Field(pattern="^[/$~]"), Says("an absolute path, or one that begins with a $VARIABLE or ~,")]
Grid = tuple[Annotated[int, Field(ge=8, le=128)], Annotated[int, Field(ge=8, le=128)], Annotated[int, Field(ge=8, le=128)]]


class Optimiser(Settings):
    """Of both networks."""

    name: Literal["rmsprop", "adam"] = "rmsprop"
    """`rmsprop` is the seed's."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the squared-gradient average (RMSprop's alpha, Adam's beta2). Keras' RMSprop default, so the seed's: 0.9."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """RMSprop's momentum or Adam's beta1."""
    epsilon: Positive = 1e-7
    """Added to the denominator. Keras' default, so the seed's: 1e-7."""


class LossWeights(Settings):
    """Weights of the named losses in both networks' totals. The seed's distributed script: 8, 0.2, 0.1."""

    validity: NonNegative = 8.0
    """Binary cross-entropy of the validity logit."""
    incident_energy: NonNegative = 0.2
    """MAPE of the regressed incident energy, in percent."""
    deposited_energy: NonNegative = 0.1
    """MAPE of the deposited energy, in percent."""
    polar_angle: NonNegative = 0.1
    """MAPE of the regressed polar angle, in percent; acts only with `training.polar_angle`."""
    observables: NonNegative = 0.0
    """Generator only: distributions of observables in a worker's batch against the training set's, in standard deviations. The seed: 0."""


class Training(Settings):
    """The recipe. Defaults are the seed's, but for three.

    `conditions` and `response` are the training showers', where the seed had those of its own sample for every other; batch normalisation
    is per channel, where the public code of 2018 had it per plane (`generator.normalisation: batch_per_plane`).
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 25
    """Epochs of a full trial."""
    global_batch: Annotated[int, Field(ge=1)] | None = None
    """Showers per optimiser step over all ranks. Exactly one of `global_batch` and `batch_per_worker`, or both with `scaling`."""
    batch_per_worker: Annotated[int, Field(ge=1)] | None = None
    """Showers per optimiser step on one rank, real or virtual. Exactly one of `global_batch` and `batch_per_worker`."""
    scaling: Literal["strong", "weak"] | None = None
    """Which batch holds where both are given: `strong` keeps `global_batch` on any number of workers, `weak` keeps `batch_per_worker`;
    the other one follows. To be sampled, so that one study answers for both."""
    virtual_ranks: Annotated[int, Field(ge=1, le=4096)] = 1
    """Ranks that each worker imitates, one after the other, with normalisation statistics of their own: 32 learn what 32 workers do."""
    pretrain_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs, the first ones, on the showers of `data.pretrain` instead of those of `data.train`."""
    max_steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Ends an epoch after so many steps; by default an epoch is one pass over the training showers."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of weights, order of showers, noise and flips."""
    generator: Generator = Generator()
    """The generator."""
    discriminator: Discriminator = Discriminator()
    """The discriminator."""
    polar_angle: bool = False
    """Condition the generator on the polar angle and regress it; needs showers that have one."""
    optimiser: Optimiser = Optimiser()
    """The optimiser of both networks."""
    loss_weights: LossWeights = LossWeights()
    """Weights of the named losses."""
    generator_steps: Annotated[int, Field(ge=1, le=10)] = 2
    """Generator updates per discriminator update."""
    adversarial_loss: Literal["cross_entropy", "hinge", "least_squares", "relativistic", "wasserstein"] = "cross_entropy"
    """Of the validity: the seed's binary cross-entropy of its logit, the hinge (arXiv:1705.02894), least squares (arXiv:1611.04076), the
    cross-entropy of being more real than the other kind's mean (after arXiv:1807.00734, but with that mean held constant: no gradient goes
    through it), or the logits' difference (arXiv:1701.07875)."""
    gradient_penalty: NonNegative = 0.0
    """Weight of the squared distance from 1 of the validity's slope, between showers of both kinds (arXiv:1704.00028: 10); the seed: 0."""
    matched_observables: Literal["moments", "layers"] = "moments"
    """What `loss_weights.observables` looks at: 11 numbers of the whole shower, or also its axis, its cells' spectrum, its profile across,
    each layer's centre, widths, radii and occupancy, and how all of these go together."""
    flipped_targets: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Share of validity targets flipped in the discriminator's batches."""
    conditions: Literal["training_set", "seed"] = "training_set"
    """Where generated showers' incident energies come from: the training set's own, or the seed's uniform 10-500 GeV."""
    response: Literal["training_set", "seed"] = "training_set"
    """Deposited energy expected at an incident energy: fitted to the training set, or the seed's CLIC polynomial."""
    learning_rate_rule: Literal["none", "sqrt", "linear"] = "none"
    """How learning rates grow with global batch over `learning_rate_reference_batch`."""
    learning_rate_reference_batch: Annotated[int, Field(ge=1)] = 8
    """Global batch at which the stated learning rates hold. Acts only with a rule."""
    learning_rate_warmup_epochs: NonNegative = 0.0
    """Epochs over which learning rates rise linearly, step by step, to their full value; from the reference value with a rule."""
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    """What becomes of learning rates behind the warm-up: `cosine` lowers them to zero by the last epoch (arXiv:1608.03983)."""
    generator_average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay, per update, of a running average of the generator's weights; showers are generated with it. 0: none (the seed)."""
    gradient_clipping: Positive | None = None
    """Largest norm of each network's gradient."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Arithmetic of the networks. tf32 and bf16 need a GPU per worker."""

    @property
    def fixed_batch(self) -> Literal["global_batch", "batch_per_worker"]:
        """The batch that is as written; the other one follows from it and the number of ranks."""
        if self.scaling is not None:
            return "global_batch" if self.scaling == "strong" else "batch_per_worker"
        return "global_batch" if self.global_batch is not None else "batch_per_worker"


class Workers(Settings):
    """How a trial is spread out."""

    per_trial: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Ray Train workers (DDP ranks) of one trial: its world size."""
    cpus_per_worker: Annotated[int, Field(ge=1)] = 1
    """CPUs that Ray reserves for one worker."""
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    """GPUs that Ray reserves for one worker: 0, or 1."""
    threads_per_worker: Annotated[int, Field(ge=1)] | None = None
    """CPU threads that torch uses in one worker; by default `cpus_per_worker`."""
    elastic: Annotated[int, Field(ge=1)] | None = None
    """Least workers with which a trial that has as many goes on after a node has gone, until another one comes; by default it waits for all
    of them. A fixed global batch is shared by fewer, a fixed batch per worker makes the global one smaller."""
    binding: Literal["none", "core", "numa"] = "none"
    """`core`: each worker runs on `cpus_per_worker` CPUs of its own; `numa`: on those of the NUMA domain in which these are, as the
    seed's four on a node. Linux only; where a node has fewer CPUs free than Ray gives out, the worker is left unbound."""
    interface: str | None = None
    """Network interface of gradients (gloo, NCCL), the same name on every node; by default the one with the address that Ray knows a node
    by, or what `GLOO_SOCKET_IFNAME` says."""
    bucket_megabytes: Annotated[float, Field(gt=0, le=1024)] | None = None
    """MiB of gradients that are summed over ranks in one piece (the seed's fusion threshold: 64); by default torch's, 1 for the first piece
    of a network and 25 for the others."""
    one_node: bool = False
    """All workers on one node. A trial with fewer workers than the study's largest may then use the sleeping ones' CPUs: its
    `threads_per_worker` may exceed `cpus_per_worker`."""
    convolutions: Literal["measured", "plain"] = "measured"
    """How convolutions are computed on a CPU: each the way that measures fastest when a trial starts (kept when it is resumed), or all by
    torch, so that two trials of one seed agree to the last bit on any day."""
    onednn: bool = True
    """Whether torch may compute with oneDNN on a CPU, or has to use its own kernels, to know what oneDNN is worth."""
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """How activations and convolutions' weights lie in memory on a CPU; on a GPU always contiguous, which is channels first. `contiguous`
    only with `convolutions: plain`: the other ways are made for channels last."""
    shared_memory: bool = True
    """Workers without GPUs that are alone on one host (at most 4) sum gradients through its memory. `false`: through the network's
    software, as workers on several hosts do, for which a study on one host may stand in."""


class Data(Settings):
    """Shower files and their transform to network units."""

    train: Files
    """Training files: paths, globs, `$VARS`; relative to the study's file."""
    validation: Files
    """Validation files, as `train`."""
    pretrain: Files | None = None
    """Files of cheaper showers, as `gan3d simulate` makes them, for the first `training.pretrain_epochs`; as `train`."""
    grid: Grid = (25, 25, 25)
    """Cells along x, y and the depth. Checked against the files."""
    crop: bool = False
    """Take the middle of files with more cells along x and y than `grid` has: of 51 those from 13 to 37, where there are 25."""
    cells: Literal["square", "polar"] = "square"
    """What x and y of the grid are; `polar`: an angle around the shower, which the networks close to a ring, and a radius. Checked against
    the files."""
    num_train_showers: Annotated[int, Field(ge=1)] | None = None
    """Expected number of training showers, for `plan` when the files are not here."""
    max_train_showers: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many training showers."""
    max_validation_showers: Annotated[int, Field(ge=2)] | None = None
    """Use only the first so many validation showers."""
    threshold_gev: NonNegative = 1e-6
    """Cells below are set to zero by the transform. The seed: 1e-6 GeV."""
    readout_threshold_gev: Positive = 3e-4
    """A cell with more counts as read out: in the distances' occupancy and cell-energy spectrum, and in the occupancies of the loss on
    observables. A calorimeter's `readout_threshold_gev`; the default is that of the seed's analysis, 0.3 MeV."""
    cell_scale: Positive = 1.0
    """Cells in network units are (cell_scale * GeV) ** cell_power. The seed: 1."""
    cell_power: Annotated[float, Field(gt=0, le=1)] = 1.0
    """See `cell_scale`. The seed's fixed angle: 1; its variable angle: 0.85."""
    cell_curve: Literal["power", "logarithm"] = "power"
    """`logarithm`: cells in network units are ln(1 + cell_scale * GeV) ** cell_power, which lifts faint cells more than any power."""
    order: Literal["shuffled", "seed"] = "shuffled"
    """`shuffled`: a new order each epoch, of which every rank has a share of its own. `seed`, as the public code of 2018: every rank
    takes the same showers, the first of the files in their order, in every epoch."""
    cache_megabytes_per_worker: Annotated[int, Field(ge=0)] = 512
    """Decoded showers a worker may keep in memory between epochs."""
    read_ahead_batches: Annotated[int, Field(ge=1, le=64)] = 4
    """Batches read ahead in a thread, so that a step does not wait."""
    node_cache: NodeFolder | None = None
    """Folder on a disk of each node (`$VARS` are the node's) for decoded copies of the files: a set beyond the memory is read faster."""


class TrialSettings(Settings):
    """Everything a worker needs to train one sample."""

    training: Training
    """The recipe."""
    workers: Workers
    """How the trial is spread out."""
    data: Data
    """Shower files."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := tuple(trial_problems(self)):
            raise Contradictions(problems)
        return self

    def digest(self) -> str:
        """Twelve hex digits, equal for two trials that train alike: SHA-256 of the effective settings' canonical JSON."""
        text = json.dumps(effective_settings(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def portable_digest(self) -> str:
        """The same wherever the shower files lie: of their names only."""
        places = {name: getattr(self.data, name) for name in ("train", "validation", "pretrain")}
        names = {name: None if paths is None else tuple(PurePath(path).name for path in paths) for name, paths in places.items()}
        return self.model_copy(update={"data": self.data.model_copy(update=names | {"node_cache": None})}).digest()

    @property
    def threads_per_worker(self) -> int:
        """CPU threads that torch uses in one worker."""
        return self.workers.threads_per_worker or self.workers.cpus_per_worker

    @property
    def num_noise(self) -> int:
        """Normal numbers that a shower begins with."""
        return self.training.generator.noise_dim + (prod(self.data.grid) if self.training.generator.cell_noise else 0)

    @property
    def is_ring(self) -> bool:
        """Whether x is an angle around the shower."""
        return self.data.cells == "polar"

    @property
    def world_size(self) -> int:
        """Ranks of the trial."""
        return self.workers.per_trial

    @property
    def global_batch(self) -> int:
        """Showers per optimiser step over all ranks."""
        if self.training.fixed_batch == "global_batch":
            assert self.training.global_batch is not None
            return self.training.global_batch
        assert self.training.batch_per_worker is not None
        return self.training.batch_per_worker * self.num_ranks

    @property
    def num_ranks(self) -> int:
        """Ranks of the trial, virtual ones counted."""
        return self.world_size * self.training.virtual_ranks

    @property
    def batch_per_worker(self) -> int:
        """Showers per optimiser step on one rank, real or virtual."""
        return self.global_batch // self.num_ranks

    @property
    def local_batch(self) -> int:
        """Showers per optimiser step in one worker's process: those of all its virtual ranks."""
        return self.batch_per_worker * self.training.virtual_ranks

    @property
    def reserved_cpus(self) -> int:
        """CPUs that Ray reserves for all workers of the trial."""
        return self.world_size * self.workers.cpus_per_worker

    @property
    def learning_rate_factor(self) -> float:
        """What `learning_rate_rule` multiplies both learning rates with.

        Linear: Goyal et al., arXiv:1706.02677. Square root (RMSprop, Adam): Malladi et al., arXiv:2205.10287.
        """
        ratio = self.global_batch / self.training.learning_rate_reference_batch
        factors = {"none": 1.0, "sqrt": math.sqrt(ratio), "linear": ratio}
        return factors[self.training.learning_rate_rule]
