"""A generator as one graph for exporters: from noise and conditions to cells in GeV, the inverse transform and the threshold included.

The function of the weights that the network has when this is made, up to rounding: kernels are folded over the upsampling before them
once (``gan3d.models.upsampling``), nothing is computed in place, and no number depends on how many showers there are.

Legend: B showers, C channels, X, Y transverse cells, L layers, Z noise.
"""

from __future__ import annotations

from copy import deepcopy
from math import prod

import torch
from torch import nn
from torch.nn import functional

from gan3d.models.generator import GeneratorBlock, GeneratorNetwork
from gan3d.models.geometry import Size
from gan3d.models.keras_defaults import LEAK
from gan3d.models.ring import closed
from gan3d.models.upsampling import FoldedAxis, folded
from gan3d.physics.transform import Transform


class ShowerGraph(nn.Module):
    """For generating only, on any device, in single precision or with convolutions in another."""

    def __init__(self, network: GeneratorNetwork, transform: Transform, compute: torch.dtype = torch.float32) -> None:
        """``compute``: of the dense layer and the convolutions; conditions, layer energies and cells stay in single precision."""
        super().__init__()
        network = deepcopy(network).cpu().eval().requires_grad_(False)
        self.transform, self.compute, self.network = transform, compute, network
        self.block1 = FoldedBlock(network.block1, _size(network.start[1:]))
        self.block2 = FoldedBlock(network.block2, self.block1.size)
        self.block3 = FoldedBlock(network.block3, self.block2.size)
        blocks = (network.dense, network.normalisation1, network.normalisation2, network.residual_blocks)
        for module in (*blocks, self.block1, self.block2, self.block3):
            module.to(compute)

    def forward(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None = None) -> torch.Tensor:
        """Cells (B, X, Y, L) [GeV], below the threshold 0; conditions in GeV and rad."""
        network = self.network
        inputs = network.conditioning(noise_BZ, incident_energy_B, polar_angle_B).to(self.compute)
        x = network.dense(inputs).view(-1, *network.start)
        x = network.normalisation1(self.block1(x))
        x = network.normalisation2(self.block2(x))
        features = network.residual_blocks(self.block3(x)).float()
        cells = network.cells_of(features, incident_energy_B, noise_BZ)
        if network.layer_energies is not None:
            cells = network.layer_energies(cells, noise_BZ, incident_energy_B, polar_angle_B)
        cells_gev = self.transform.to_gev(cells)
        return torch.where(cells_gev < self.transform.threshold_gev, 0.0, cells_gev)


class FoldedBlock(nn.Module):
    """Upsampling, padding, convolution and LeakyReLU as a convolution of the small tensor and a rearrangement."""

    def __init__(self, block: GeneratorBlock, cells: Size) -> None:
        """``cells``: before the upsampling."""
        super().__init__()
        weight, bias, padding = block.convolution.weight.detach(), block.convolution.bias, block.padding
        assert bias is not None
        self.axes = [FoldedAxis.of(*axis) for axis in zip(cells, block.upsampling, weight.shape[2:], padding, strict=True)]
        self.upsampling, self.is_ring = block.upsampling, block.is_ring
        kernel = folded(weight, block.upsampling, torch.contiguous_format)
        both = [0 if block.is_ring and axis == 0 else max(min(one.before, one.after), 0) for axis, one in enumerate(self.axes)]
        self.unlike = [(one.before - alike, one.after - alike) for one, alike in zip(self.axes, both, strict=True)]
        self.convolution = nn.Conv3d(kernel.shape[1], kernel.shape[0], _size(kernel.shape[2:]), padding=_size(both))
        self.convolution.weight = nn.Parameter(kernel, requires_grad=False)
        self.convolution.bias = nn.Parameter(bias.detach().repeat(prod(block.upsampling)), requires_grad=False)

    @property
    def size(self) -> Size:
        """Cells made."""
        return _size([axis.size for axis in self.axes])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (B, C, n, n, n) to (B, O, m, m, m)."""
        phases: torch.Tensor = functional.leaky_relu(self.convolution(self._padded(x)), LEAK)
        if prod(self.upsampling) == 1:
            return phases
        places = phases.shape[2:]
        apart = torch.unflatten(phases, 1, (*self.upsampling, -1)).permute(0, 4, 5, 1, 6, 2, 7, 3)
        wide: torch.Tensor = apart.reshape(
            -1, apart.shape[1], *(factor * place for factor, place in zip(self.upsampling, places, strict=True))
        )
        x_part, y_part, depth_part = (slice(axis.skip, axis.skip + axis.size) for axis in self.axes)
        return wide[:, :, x_part, y_part, depth_part]

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        """With what the convolution itself does not pad: what is unlike on both sides, or lies on a ring's other side."""
        around, y, depth = self.unlike
        if self.is_ring:
            x, around = closed(x, *around), (0, 0)
        unlike = (*depth, *y, *around)
        return functional.pad(x, unlike) if any(unlike) else x


def _size(of: torch.Size | list[int] | tuple[int, ...]) -> Size:
    x, y, depth = of
    return x, y, depth
