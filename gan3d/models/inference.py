"""The generator, faster: the function of the weights that it has, arranged once for generating and never for training.

Legend: B showers, C channels, X, Y transverse cells, L layers, Z noise.

What is done once instead of at every call, or not at all:

- Between the dense layer and the first convolution there are only sums: together they are one matrix.
- Kernels are folded over the upsampling before them, along each axis in the way that takes fewer products (``folded_blocks``).
- Normalisation over a batch is in evaluation mode a factor and a shift.
- The output reads the phases of the third convolution as they lie (``folded_outputs``).
- A few showers go through the convolutions together, so that what one makes is still in the cache when the next one reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import prod

import torch
from torch import nn
from torch.nn import functional

from gan3d.models.folded_blocks import FoldedConvolution
from gan3d.models.folded_outputs import ConvolutionOutput, RectifiedNormalOutput, ResidualOutput
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.geometry import OUTPUT_KERNEL
from gan3d.models.keras_defaults import LEAK
from gan3d.models.normalisation import BatchNormPerPlane

#: Showers that start together, since a large matrix is read once for all of them; and most bytes of what they start with.
MOST_STARTING, MOST_BYTES_STARTING = 128, 16 * 2**20
#: Most bytes of the largest activations of the showers that go through the convolutions together.
MOST_BYTES_CONVOLVED = 4 * 2**20
#: Most bytes of a matrix in place of the dense layer and the first convolution.
MOST_BYTES_OF_MATRIX = 256 * 2**20

#: From noise (B, Z), incident energies (B,) [GeV] and polar angles (B,) [rad] or None to cells (B, X, Y, L) in network units.
Generate = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


class FastGenerator:
    """What a generator makes in evaluation mode with the weights it had when this was made. For CPUs; without gradients.

    Equal to the network up to rounding. Making one of the seed takes as long as fifty showers with the network, and pays from sixty on.
    """

    @torch.no_grad()
    def __init__(self, network: GeneratorNetwork) -> None:
        self._conditioning = deepcopy(network.conditioning)
        self._layer_energies = deepcopy(network.layer_energies)
        block1 = FoldedConvolution(network.block1, network.start[1:], may_sum=False)
        self._start = start_of(network, block1)
        self._normalise1 = normalisation(network.normalisation1)
        self._block2 = FoldedConvolution(network.block2, block1.size, may_sum=True)
        self._normalise2 = normalisation(network.normalisation2)
        self._block3 = FoldedConvolution(network.block3, self._block2.size, may_sum=False)
        self._grid = [cells - OUTPUT_KERNEL + 1 for cells in self._block3.size]
        self._output = output_of(network, self._block3)
        largest = max(block.bytes_per_shower for block in (block1, self._block2, self._block3))
        self._most_convolved = max(MOST_BYTES_CONVOLVED // largest, 2)
        self._most_starting = min(max(MOST_BYTES_STARTING // block1.bytes_per_shower, 2), MOST_STARTING)

    @classmethod
    def of(cls, network: GeneratorNetwork) -> Generate:
        """A fast generator; the network itself, in evaluation mode, where it has a class of its own or no CPU."""
        is_ours = type(network) is GeneratorNetwork
        return cls(network) if is_ours and network.dense.weight.device.type == "cpu" else network.eval()

    @torch.no_grad()
    def __call__(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None = None) -> torch.Tensor:
        """Generated cells (B, X, Y, L) in network units, >= 0, of any number of showers; arguments as for the network."""
        inputs: torch.Tensor = self._conditioning(noise_BZ, incident_energy_B, polar_angle_B)
        cells = inputs.new_empty(len(inputs), *self._grid)
        for starting in parts(self._most_starting, inputs, incident_energy_B, noise_BZ, cells):
            x = self._start(starting[0])
            for convolved in parts(self._most_convolved, x, *starting[1:]):
                self._convolve(*convolved)
        if self._layer_energies is None:
            return cells
        scaled: torch.Tensor = self._layer_energies(cells, noise_BZ, incident_energy_B, polar_angle_B)
        return scaled

    def _convolve(self, x: torch.Tensor, incident_energy_B: torch.Tensor, noise_BZ: torch.Tensor, out: torch.Tensor) -> None:
        """From what the first convolution made, (B, C, X, Y, L), to cells in ``out``."""
        x = self._normalise1(functional.leaky_relu_(x, LEAK))
        x = self._normalise2(functional.leaky_relu_(self._block2(x), LEAK))
        self._output(functional.leaky_relu_(self._block3.phases(x), LEAK), incident_energy_B, noise_BZ, out)


def output_of(network: GeneratorNetwork, block3: FoldedConvolution) -> ConvolutionOutput | RectifiedNormalOutput | ResidualOutput:
    """From the phases of block 3 to cells."""
    if len(network.residual_blocks):
        return ResidualOutput(network, block3)
    if network.cells is not None:
        return RectifiedNormalOutput(network.cells, block3)
    assert network.output is not None
    return ConvolutionOutput(network.output, block3)


def start_of(network: GeneratorNetwork, block1: FoldedConvolution) -> Callable[[torch.Tensor], torch.Tensor]:
    """From inputs (B, num_inputs) to what the first convolution makes, (B, C, X, Y, L), channels last in memory.

    One matrix where that takes fewer products and is not too large, else the layers one after another.
    """
    weight, bias = network.dense.weight, network.dense.bias
    num_inputs, num_made = weight.shape[1], prod(block1.size) * len(block1.kernel)
    products = weight.numel() + num_made * block1.kernel[0].numel()
    if num_inputs * num_made < products and (num_inputs + 1) * num_made * weight.element_size() <= MOST_BYTES_OF_MATRIX:
        return Matrix(weight, bias, network.start, block1)
    dense, start = deepcopy(network.dense), network.start
    return lambda inputs: block1(dense(inputs).view(-1, *start))


class Matrix:
    """The dense layer and the first convolution in one: the convolution of each of the dense layer's columns and of its bias."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, start: tuple[int, ...], block1: FoldedConvolution) -> None:
        made = block1(torch.cat([weight.T, bias[None]]).view(-1, *start)).permute(0, 2, 3, 4, 1)
        # The convolution's own bias belongs to the dense layer's bias only.
        made[:-1] -= block1.bias
        self.matrix = made.flatten(1).contiguous()
        self.shape = made.shape[1:]

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, num_inputs) to (B, C, X, Y, L), channels last in memory."""
        with_one = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
        return (with_one @ self.matrix).view(-1, *self.shape).permute(0, 4, 1, 2, 3)


def normalisation(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a normalisation does in evaluation mode, in place where it is a factor and a shift."""
    if not isinstance(module, nn.modules.batchnorm._BatchNorm):
        return deepcopy(module).eval()
    assert module.running_mean is not None
    assert module.running_var is not None
    shape = (-1,) if isinstance(module, BatchNormPerPlane) else (-1, 1, 1, 1)
    factor = (module.weight * (module.running_var + module.eps).rsqrt()).view(shape)
    shift = module.bias.view(shape) - factor * module.running_mean.view(shape)
    return lambda x: torch.addcmul(shift, x, factor, out=x)


def parts(most: int, *tensors: torch.Tensor) -> zip[tuple[torch.Tensor, ...]]:
    """Tensors split alike along the first axis, into even parts of at most ``most``."""
    number = -(-len(tensors[0]) // most)
    return zip(*(tensor.tensor_split(max(number, 1)) for tensor in tensors), strict=True)
