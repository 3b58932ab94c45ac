"""Showers for the physics tests: a small random-shower maker, and the repository's sample of real Geant4 showers."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
GRID = (9, 10, 12)


def random_showers(num_showers: int, seed: int, grid: tuple[int, int, int] = GRID) -> tuple[Tensor, Tensor]:
    """Showers that fluctuate in energy, depth, place and width: cells (B, X, Y, L) float32 [GeV], incident energy (B,) [GeV]."""
    generator = torch.Generator().manual_seed(seed)
    energy = torch.linspace(10.0, 100.0, num_showers)
    place = torch.rand(num_showers, 2, generator=generator) + torch.tensor(grid[:2]) / 2 - 1
    depth = grid[2] * 0.4 + 0.5 * energy.log() + torch.randn(num_showers, generator=generator)
    axes = [torch.arange(number, dtype=torch.float32) for number in grid]
    along_x, along_y = (torch.exp(-(axes[axis] - place[:, axis, None]).abs() / 0.8) for axis in (0, 1))
    along_depth = torch.exp(-0.5 * ((axes[2] - depth[:, None]) / 2.5) ** 2)
    mean = torch.einsum("bx,by,bl->bxyl", along_x, along_y, along_depth)
    mean = mean / mean.sum(dim=(1, 2, 3), keepdim=True) * (0.02 * energy)[:, None, None, None]
    num_particles = torch.poisson(mean * 3000.0, generator=generator)
    return num_particles / 3000.0 * (0.2 + 1.6 * torch.rand(mean.shape, generator=generator)), energy


def geant4_showers(name: str, num_showers: int | None = None) -> tuple[Tensor, Tensor]:
    """The first showers of ``samples/geant4/clic_10_100_<name>.h5``: cells (B, X, Y, L) [GeV], incident energy (B,) [GeV]."""
    path = ROOT / "samples" / "geant4" / f"clic_10_100_{name}.h5"
    if not path.is_file():
        pytest.skip("the sample of Geant4 showers is not in this copy of the repository")
    with h5py.File(path) as file:
        return torch.from_numpy(file["ECAL"][:num_showers]), torch.from_numpy(file["target"][:num_showers, 1])
