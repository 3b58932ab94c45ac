"""How large networks are and what memory and disk a trial needs. Networks are built for real, on torch's device without memory.

Sizes of networks and files are counted; a worker's memory is an estimate (`worker_memory`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from gan3d.config.training import TrialSettings
from gan3d.data.loader import MEGABYTE, SMALLEST_WINDOW_BYTES
from gan3d.models.discriminator import DiscriminatorNetwork
from gan3d.models.generator import GeneratorNetwork
from gan3d.training.shared_memory import HALVES, MOST_RANKS
from gan3d.training.showers import CHUNK
from gan3d.training.state import make_discriminator, make_generator

#: Resident memory of a Ray worker that has imported `training.worker` and made an optimiser, without a network: 476 MB with Ray
#: 2.60 and torch 2.13 on Linux.
BASELINE_BYTES = 480 * 10**6
#: What torch's convolutions keep for themselves on a CPU, and what malloc does not give back: measured, on top of what follows.
WORKSPACE_BYTES = 140 * 10**6
#: Peak over what autograd keeps on a GPU: gradients of activations, buffers of convolutions. An estimate.
ACTIVATION_OVERHEAD = 1.4
#: The same on a CPU, with spectra and the gaps in a heap that is kept. Measured 1.9 to 2.1 with the seed's networks.
ACTIVATION_OVERHEAD_OF_CPU = 2.1
#: Copies of the largest layer output that are there at once while showers are generated. Measured 2.7 to 2.9 on a CPU.
GENERATION_COPIES = 3
FLOAT_BYTES = 4
#: States of a trial that may be on disk together: the newest, the best, and one being written.
STATES_OF_RUNNING_TRIAL, STATES_OF_ENDED_TRIAL = 3, 2


@dataclass(frozen=True, slots=True)
class Networks:
    """Both networks of one trial."""

    generator_parameters: int
    discriminator_parameters: int
    running_statistics: int
    optimiser_numbers: int
    """What the optimisers remember."""
    averaged_numbers: int
    """Of the generator's average, where there is one."""
    weight_bytes_per_step: int
    """Of what is derived from weights in a step."""
    activation_bytes_per_shower: int
    """Kept between forward and backward of the generator's step."""
    largest_output_bytes: int
    """Of one layer of the generator, for one shower."""

    @property
    def parameters(self) -> int:
        """Trainable, of both."""
        return self.generator_parameters + self.discriminator_parameters

    @property
    def megabytes(self) -> float:
        """Weights and running statistics."""
        return (self.parameters + self.running_statistics) * FLOAT_BYTES / MEGABYTE

    @property
    def state_bytes(self) -> int:
        """A checkpoint: weights, running statistics, the optimisers' memory, the generator's average."""
        return (self.parameters + self.running_statistics + self.optimiser_numbers + self.averaged_numbers) * FLOAT_BYTES


def networks_of(settings: TrialSettings) -> Networks:
    """The networks of a trial, counted."""
    with torch.device("meta"):
        generator, discriminator = make_generator(settings), make_discriminator(settings)
        two, three = (saved_bytes(generator, discriminator, num_showers) for num_showers in (2, 3))
        largest = largest_output_bytes(generator)
    numbers = [sum(parameter.numel() for parameter in network.parameters()) for network in (generator, discriminator)]
    statistics = [floating_buffers(network) for network in (generator, discriminator)]
    return Networks(
        generator_parameters=numbers[0],
        discriminator_parameters=numbers[1],
        running_statistics=sum(statistics),
        optimiser_numbers=sum(numbers) * numbers_per_parameter(settings),
        averaged_numbers=numbers[0] + statistics[0] if settings.training.generator_average else 0,
        weight_bytes_per_step=max(0, 3 * two - 2 * three),
        activation_bytes_per_shower=three - two,
        largest_output_bytes=largest,
    )


def floating_buffers(network: nn.Module) -> int:
    """Numbers of a network's buffers that are as large as its weights'."""
    return sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point())


def numbers_per_parameter(settings: TrialSettings) -> int:
    """What the optimiser remembers of each parameter: Adam two averages, RMSprop one and, if it has momentum, another."""
    optimiser = settings.training.optimiser
    return 2 if optimiser.name == "adam" or optimiser.momentum > 0 else 1


def saved_bytes(generator: GeneratorNetwork, discriminator: DiscriminatorNetwork, num_showers: int) -> int:
    """What autograd keeps of a generator's step on so many showers, parameters not counted; needs no memory on the meta device."""
    parameters = {id(parameter) for network in (generator, discriminator) for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in parameters:
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = discriminator(generator(*generator_inputs(generator, num_showers)))
    del output
    return sum(storage.nbytes() for storage in kept.values())


def largest_output_bytes(generator: GeneratorNetwork) -> int:
    """Size of the largest output of any of the generator's layers, for one shower."""
    sizes: list[int] = []
    handles = [layer.register_forward_hook(lambda _layer, _inputs, output: sizes.append(output.nbytes)) for layer in generator.modules()]
    with torch.no_grad():
        generator(*generator_inputs(generator, 2))
    for handle in handles:
        handle.remove()
    return max(sizes) // 2


def generator_inputs(generator: GeneratorNetwork, num_showers: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Noise, incident energy and, where the network asks for one, polar angle of so many showers, on the current device."""
    angle = torch.ones(num_showers) if generator.conditioning.has_polar_angle else None
    return torch.ones(num_showers, generator.num_noise), torch.ones(num_showers), angle


def largest_and_smallest(candidates: Iterable[TrialSettings]) -> tuple[Networks, Networks]:
    """The networks with most and with fewest parameters; of as many those of whose parameters most is remembered, and least."""
    different = {shape_of(settings): settings for settings in map(without_rates, candidates)}
    num_parameters = ParameterCount()
    ordered = sorted(different.values(), key=lambda settings: (num_parameters(settings), *memories_of(settings)))
    return networks_of(ordered[-1]), networks_of(ordered[0])


def shape_of(settings: TrialSettings) -> Hashable:
    """Equal for trials whose networks and states are as large as each other's, rates left aside."""
    training = settings.training
    return training.generator, training.discriminator, training.polar_angle, settings.data.grid, memories_of(settings)


def memories_of(settings: TrialSettings) -> tuple[int, bool]:
    """What a state has beside weights, the larger part first: numbers of the optimiser a parameter, whether there is an average."""
    return numbers_per_parameter(settings), settings.training.generator_average > 0


class ParameterCount:
    """Parameters of both networks of trials: much sooner counted than what they keep for a backward pass, and each network made once."""

    def __init__(self) -> None:
        self._found: dict[Hashable, int] = {}

    def __call__(self, settings: TrialSettings) -> int:
        """Of a generator and a discriminator."""
        training, grid = settings.training, settings.data.grid
        return self._number((training.generator, training.polar_angle, grid), make_generator, settings) + self._number(
            (training.discriminator, training.polar_angle, grid), make_discriminator, settings
        )

    def _number(self, shape: Hashable, make: Callable[[TrialSettings], nn.Module], settings: TrialSettings) -> int:
        if shape not in self._found:
            with torch.device("meta"):
                self._found[shape] = sum(parameter.numel() for parameter in make(settings).parameters())
        return self._found[shape]


def without_rates(settings: TrialSettings) -> TrialSettings:
    """The settings with what does not shape a network made equal."""
    training = settings.training
    generator = training.generator.model_copy(update={"learning_rate": 1.0})
    discriminator = training.discriminator.model_copy(update={"learning_rate": 1.0})
    return settings.model_copy(update={"training": training.model_copy(update={"generator": generator, "discriminator": discriminator})})


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """An estimate of one worker's memory, by what needs it [bytes]."""

    baseline: int
    networks: int
    activations: int
    showers: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.baseline + self.networks + self.activations + self.showers


def worker_memory(networks: Networks, settings: TrialSettings, *, num_train: int | None, num_validation: int | None) -> WorkerMemory:
    """What one worker of a trial needs at most.

    Args:
        networks: of the trial.
        settings: of the trial.
        num_train: training showers; None if nobody knows, then the cache counts as full.
        num_validation: validation showers, of which a worker keeps its share; None if nobody knows.
    """
    overhead = ACTIVATION_OVERHEAD if settings.workers.gpus_per_worker else ACTIVATION_OVERHEAD_OF_CPU
    training = overhead * networks.activation_bytes_per_shower * settings.batch_per_worker
    workers = settings.workers
    is_shared = workers.shared_memory and not workers.gpus_per_worker and 1 < settings.world_size <= MOST_RANKS
    gradients = networks.parameters * FLOAT_BYTES * (1 + HALVES * is_shared)  # where the other workers see them, too
    folded = networks.weight_bytes_per_step
    return WorkerMemory(
        baseline=BASELINE_BYTES + WORKSPACE_BYTES,
        networks=networks.state_bytes + gradients + folded,
        activations=round(training) + GENERATION_COPIES * CHUNK * networks.largest_output_bytes,
        showers=shower_bytes(settings, num_train=num_train, num_validation=num_validation),
    )


def shower_bytes(settings: TrialSettings, *, num_train: int | None, num_validation: int | None) -> int:
    """Decoded showers: the loader's cache or window, batches read ahead, the validation share and a chunk of generated ones."""
    x, y, layers = settings.data.grid
    one = x * y * layers * FLOAT_BYTES
    cache = settings.data.cache_megabytes_per_worker * MEGABYTE
    whole = None if num_train is None else num_train * one
    held = whole if whole is not None and whole <= cache else max(cache, SMALLEST_WINDOW_BYTES)
    batches = (settings.data.read_ahead_batches + 1) * settings.local_batch * one
    validation = (num_validation or 0) * one // settings.world_size
    return held + batches + validation + CHUNK * one
