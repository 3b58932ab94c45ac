"""The generator's kinds of output for generating only: without residual blocks they read the phases of block 3 as they lie.

Legend: B showers, C channels; per axis: upsampling s, q places of block 3's convolution. Phases are (B, q, q, q, s * s * s * C); put
together, place ``s q + r`` of an axis is phase r of place q. Only cells, not features, are put together: a sixth with the seed's filters.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.nn import functional

from gan3d.models.folded_blocks import FoldedConvolution, at_least_two, together
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.geometry import OUTPUT_KERNEL
from gan3d.models.rectified_normal import RectifiedNormal


class ConvolutionOutput:
    """The output convolution and its ReLU.

    With its two taps, phase r of place q goes to the cells of places ``s q + r`` and ``s q + r - 1``. So features of one place q go to
    s + 1 places of cells, of which the first belongs to the last phase of q - 1: one matrix for all three axes, then three additions.
    """

    def __init__(self, convolution: nn.Conv3d, block3: FoldedConvolution) -> None:
        weight, self.block3 = convolution.weight.detach()[0], block3
        x, y, depth = (destinations(factor).to(weight) for factor in block3.upsampling)
        matrix = torch.einsum("cuvw,uip,vjq,wkr->ijkpqrc", weight, x, y, depth)
        self.matrix = matrix.flatten(3).flatten(0, 2)

    def __call__(self, phases: torch.Tensor, _incident_energy_B: torch.Tensor, _noise_BZ: torch.Tensor, out: torch.Tensor) -> None:
        """Cells into ``out`` (B, X, Y, L), of any incident energies and noise."""
        upsampling, places = self.block3.upsampling, self.block3.places
        parts = self.matrix @ phases.flatten(1, 3).mT
        parts = parts.view(-1, *(factor + 1 for factor in upsampling), *places)
        for axis in range(3):
            before, parts = parts.select(1 + axis, 0), parts.narrow(1 + axis, 1, upsampling[axis])
            last, num_before = parts.select(1 + axis, upsampling[axis] - 1), places[axis] - 1
            last.narrow(3 + axis, 0, num_before).add_(before.narrow(3 + axis, 1, num_before))
        apart = parts.permute(0, 4, 5, 6, 1, 2, 3).unsqueeze(7)
        cells = together(apart, [axis.skip for axis in self.block3.axes], list(out.shape[1:]))
        torch.clamp_min(cells.squeeze(4), 0, out=out)


class RectifiedNormalOutput:
    """Rectified normals: fluctuations are summed over the channels before they are put together."""

    def __init__(self, cells: RectifiedNormal, block3: FoldedConvolution) -> None:
        self.block3 = block3
        sizes = zip(block3.axes, block3.upsampling, block3.places, cells.weight.shape[1:], strict=True)
        around = [(axis.skip, s * q - axis.skip - size) for axis, s, q, size in sizes]
        wide = functional.pad(cells.weight.detach(), [number for sides in reversed(around) for number in sides])
        for axis, factor in enumerate(block3.upsampling):
            wide = torch.unflatten(wide, 1 + 2 * axis, (-1, factor))
        self.weight = wide.permute(1, 3, 5, 2, 4, 6, 0).contiguous()
        self.cells = deepcopy(cells).requires_grad_(False)
        self.cells.weight = nn.Parameter(torch.ones_like(cells.weight[:1]), requires_grad=False)

    def __call__(self, phases: torch.Tensor, incident_energy_B: torch.Tensor, noise_BZ: torch.Tensor, out: torch.Tensor) -> None:
        """Cells into ``out`` (B, X, Y, L); incident energies in GeV, of the noise the cells' own."""
        apart = (torch.unflatten(phases, 4, (*self.block3.upsampling, -1)) * self.weight).sum(-1, keepdim=True)
        fluctuation = together(apart, [axis.skip for axis in self.block3.axes], list(out.shape[1:]))
        out.copy_(self.cells(fluctuation.permute(0, 4, 1, 2, 3), incident_energy_B, noise_BZ))


class ResidualOutput:
    """Residual blocks and either output: they need features put together."""

    def __init__(self, network: GeneratorNetwork, block3: FoldedConvolution) -> None:
        self.block3 = block3
        self.network = deepcopy(network).eval()

    def __call__(self, phases: torch.Tensor, incident_energy_B: torch.Tensor, noise_BZ: torch.Tensor, out: torch.Tensor) -> None:
        """Cells into ``out`` (B, X, Y, L); incident energies in GeV, of the noise the cells' own."""
        features = self.network.residual_blocks(at_least_two(self.block3.together(phases)))
        out.copy_(self.network.cells_of(features[: len(out)], incident_energy_B, noise_BZ))


def destinations(factor: int) -> torch.Tensor:
    """(tap, place of a cell + 1, phase): 1 where the tap takes the phase to that cell."""
    tap, place, phase = torch.arange(OUTPUT_KERNEL), torch.arange(factor + OUTPUT_KERNEL - 1), torch.arange(factor)
    return (phase - (place[:, None] - 1) == tap[:, None, None]).float()
