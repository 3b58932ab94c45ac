"""The generator: noise and conditions to showers, on any grid.

Legend: B showers, C channels, X, Y transverse cells, L layers, Z noise.
Architecture and initialisers are the seed's (svalleco/3Dgan, branch Energy-gan, keras/EcalEnergyGan.py).
"""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from gan3d.config.networks import Generator
from gan3d.config.training import Grid
from gan3d.models.convolution import Convolution
from gan3d.models.geometry import OUTPUT_KERNEL, UPSAMPLINGS, GeneratorGeometry, Padding, Size
from gan3d.models.keras_defaults import LEAK, he_uniform_, initialise_
from gan3d.models.layer_energies import LayerEnergies
from gan3d.models.normalisation import make_normalisation, statistics_anew
from gan3d.models.rectified_normal import RectifiedNormal
from gan3d.models.residual import ResidualBlock
from gan3d.models.upsampling import Computation, upsampled_convolution
from gan3d.physics.transform import ENERGY_UNIT_GEV, Transform

#: Channels into which the dense layer's output is shaped (the seed's).
START_CHANNELS = 8
#: Showers of a batch whose statistics are taken.
RENORMALISED_TOGETHER = 32


class GeneratorNetwork(nn.Module):
    """Dense, three convolution blocks with an upsampling between each two, an output convolution, ReLU.

    The final ReLU is the seed's; where it dies, all showers are empty, which training has to notice. In place of the output
    convolution and its ReLU there may be cells that start from training showers (``RectifiedNormal``), and layers may be scaled to
    energies that are drawn first (``LayerEnergies``).
    """

    def __init__(
        self, settings: Generator, grid: Grid, polar_angle: bool = False, transform: Transform | None = None, is_ring: bool = False
    ) -> None:
        """``transform`` is needed where layer energies are drawn; with ``is_ring`` x is an angle around the shower."""
        super().__init__()
        self.is_ring = is_ring
        geometry = GeneratorGeometry.for_grid(grid, settings.kernel, is_ring=is_ring)
        kernels, paddings, kind = geometry.kernels, geometry.paddings, settings.normalisation
        filters1, filters2, filters3 = settings.filters
        self.start = (START_CHANNELS, *geometry.start)
        self.conditioning = Conditioning(settings.noise_dim, settings.conditioning, polar_angle)
        self.dense = nn.Linear(self.conditioning.num_outputs, prod(self.start))
        self.block1 = GeneratorBlock((START_CHANNELS, filters1), kernels[0], paddings[0], is_ring=is_ring)
        self.normalisation1 = make_normalisation(kind, filters1, geometry.start[-1])
        self.block2 = GeneratorBlock((filters1, filters2), kernels[1], paddings[1], UPSAMPLINGS[0], is_ring=is_ring)
        self.normalisation2 = make_normalisation(kind, filters2, geometry.middle[-1])
        self.block3 = GeneratorBlock((filters2, filters3), kernels[2], paddings[2], UPSAMPLINGS[1], is_ring=is_ring)
        self.output = Convolution(filters3, 1, OUTPUT_KERNEL, bias=False) if settings.output == "relu" else None
        self.cells: RectifiedNormal | None = None
        if settings.output == "rectified_normal":
            impact_at = settings.noise_dim - 2 if settings.impact == "fitted" else None
            self.cells = RectifiedNormal(filters3, grid, cell_noise=settings.cell_noise, impact_at=impact_at)
        self.residual_blocks = nn.Sequential(*(ResidualBlock(filters3, is_ring) for _ in range(settings.residual_blocks)))
        self.layer_energies: LayerEnergies | None = None
        if settings.layer_energies == "fitted":
            assert transform is not None, "layer energies are in GeV"
            self.layer_energies = LayerEnergies(grid[2], polar_angle, transform, has_spectrum=settings.cell_spectrum == "fitted")
        initialise_(self.dense, nn.init.xavier_uniform_)
        if self.output is not None:
            initialise_(self.output, nn.init.xavier_normal_)

    def forward(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None = None) -> torch.Tensor:
        """Generated cells in network units, >= 0.

        Args:
            noise_BZ: Standard normal noise, `num_noise` numbers.
            incident_energy_B: [GeV].
            polar_angle_B: [rad]; exactly where the network is conditioned on it.

        Returns:
            Cells (B, X, Y, L).
        """
        cells = self.cells_of(self._features(noise_BZ, incident_energy_B, polar_angle_B), incident_energy_B, noise_BZ)
        if self.layer_energies is None:
            return cells
        scaled: torch.Tensor = self.layer_energies(cells, noise_BZ, incident_energy_B, polar_angle_B)
        return scaled

    @property
    def num_noise(self) -> int:
        """Normal numbers that a shower begins with."""
        return self.conditioning.noise_dim + (0 if self.cells is None else self.cells.num_noise)

    def cells_of(self, features: torch.Tensor, incident_energy_B: torch.Tensor, noise_BZ: torch.Tensor) -> torch.Tensor:
        """Cells (B, X, Y, L) in network units of what block 3 and the residual blocks make, before layers are scaled."""
        if self.cells is not None:
            cells: torch.Tensor = self.cells(features, incident_energy_B, noise_BZ)
            return cells
        assert self.output is not None
        return functional.relu(self.output(features)).squeeze(1)

    @torch.no_grad()
    def standardise_(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None = None) -> None:
        """Scale cells that are rectified normals by the features of these showers; running statistics become theirs."""
        assert self.cells is not None, "only rectified normals have fluctuations to standardise"
        with statistics_anew(self, momentum=1.0):
            self.cells.standardise_(self._features(noise_BZ, incident_energy_B, polar_angle_B))

    @torch.no_grad()
    def renormalise_(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None = None) -> None:
        """Make the running statistics of these showers: averaged weights have others than the weights that they are the average of.

        As ``torch.optim.swa_utils.update_bn`` (Izmailov et al., arXiv:1803.05407). Without batch normalisation nothing is done.
        """
        with statistics_anew(self, momentum=None) as are_there:
            for rows in torch.split(torch.arange(len(noise_BZ)), RENORMALISED_TOGETHER) if are_there else ():
                self._features(noise_BZ[rows], incident_energy_B[rows], None if polar_angle_B is None else polar_angle_B[rows])

    def _features(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None) -> torch.Tensor:
        """What block 3 makes, (B, C, X + 1, Y + 1, L + 1)."""
        inputs = self.conditioning(noise_BZ, incident_energy_B, polar_angle_B)
        x = self.dense(inputs).view(-1, *self.start)
        x = self.normalisation1(self.block1(x))
        x = self.normalisation2(self.block2(x))
        features: torch.Tensor = self.residual_blocks(self.block3(x))
        return features


class Conditioning(nn.Module):
    """Joins noise and conditions to the dense layer's input; has no parameters."""

    def __init__(self, noise_dim: int, incident_energy: Literal["multiply", "concatenate"], polar_angle: bool) -> None:
        super().__init__()
        self.multiplies = incident_energy == "multiply"
        self.noise_dim = noise_dim
        self.has_polar_angle = polar_angle
        self.num_outputs = noise_dim + (not self.multiplies) + polar_angle

    def forward(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None) -> torch.Tensor:
        """Noise times energy, or noise and energy, in units of 100 GeV; then the polar angle [rad]. Shape (B, num_outputs).

        Of longer noise, the first ``noise_dim`` numbers.
        """
        assert (polar_angle_B is not None) == self.has_polar_angle, (
            "the polar angle is given exactly where the network is conditioned on it"
        )
        noise_BZ = noise_BZ[:, : self.noise_dim]
        energy_B1 = incident_energy_B.unsqueeze(1) / ENERGY_UNIT_GEV
        parts = [noise_BZ * energy_B1] if self.multiplies else [noise_BZ, energy_B1]
        if polar_angle_B is not None:
            parts.append(polar_angle_B.unsqueeze(1))
        return torch.cat(parts, dim=1)


class GeneratorBlock(nn.Module):
    """Upsampling, padding, convolution, LeakyReLU."""

    def __init__(
        self, channels: tuple[int, int], kernel: Size, padding: Padding, upsampling: Size = (1, 1, 1), *, is_ring: bool = False
    ) -> None:
        super().__init__()
        self.padding, self.upsampling, self.is_ring = padding, upsampling, is_ring
        self.convolution = Convolution(*channels, kernel)
        initialise_(self.convolution, he_uniform_)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (B, C, X, Y, L) to activations of other C, X, Y, L."""
        weight, bias = self.convolution.weight, self.convolution.bias
        assert bias is not None
        computation = Computation(self.convolution.convolve, self.convolution.memory_format)
        made = upsampled_convolution(x, weight, bias, self.upsampling, self.padding, computation, is_ring=self.is_ring)
        return functional.leaky_relu(made, LEAK)
