"""What a calorimeter physicist looks at in a shower: pure torch functions of the cells, differentiable wherever the observable is.

Shape legend: B showers, X, Y transverse cells, L layers. ``cells_BXYL`` [GeV]; positions and moments count cells and layers from 0.
An empty shower (less than ``EMPTY_SHOWER_GEV`` deposited) has every ratio equal to 0, with a gradient of 0, never NaN.

Definitions after the analysis scripts of the 3DGAN line (svalleco/3Dgan, branch Anglegan, keras/analysis).
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Above this energy [GeV] a cell counts as read out (the threshold of the hits histogram in svalleco/3Dgan, keras/analysis).
READOUT_THRESHOLD_GEV = 3e-4

#: Mean energy [GeV] that makes one electron-hole pair in silicon (3.6 eV): a shower that deposits less left no signal anywhere.
EMPTY_SHOWER_GEV = 3.6e-9

#: Dimensions of ``cells_BXYL`` over which a profile along x, y or the layers sums.
_OTHER_DIMENSIONS = ((2, 3), (1, 3), (1, 2))


def deposited_energy(cells_BXYL: Tensor) -> Tensor:
    """Sum over the cells [GeV], shape (B,)."""
    return cells_BXYL.sum(dim=(1, 2, 3))


def sampling_fraction(cells_BXYL: Tensor, incident_energy: Tensor) -> Tensor:
    """Deposited over incident energy, shape (B,). ``incident_energy`` (B,) [GeV] is positive."""
    return deposited_energy(cells_BXYL) / incident_energy


def profiles(cells_BXYL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Energy [GeV] along x (B, X), y (B, Y) and the depth (B, L); each sums to the deposited energy."""
    along_x, along_y, along_depth = (cells_BXYL.sum(dim=others) for others in _OTHER_DIMENSIONS)
    return along_x, along_y, along_depth


def normalised(profile: Tensor) -> Tensor:
    """A profile (B, N) over its own sum: shares that sum to 1, all 0 for an empty shower."""
    total = profile.sum(dim=1, keepdim=True)
    is_signal = total > EMPTY_SHOWER_GEV
    return torch.where(is_signal, profile / torch.where(is_signal, total, 1.0), 0.0)


def first_moments(cells_BXYL: Tensor) -> Tensor:
    """Barycentre along x, y and the depth [cells, cells, layers], shape (B, 3): sum_i i s_i / sum_i s_i."""
    return first_moments_of([normalised(profile) for profile in profiles(cells_BXYL)])


def second_moments(cells_BXYL: Tensor) -> Tensor:
    """Variance around the barycentre along x, y and the depth [squares of cells and layers], shape (B, 3)."""
    return second_moments_of([normalised(profile) for profile in profiles(cells_BXYL)])


def first_moments_of(shares: list[Tensor]) -> Tensor:
    """Mean position in each of the normalised profiles (B, N), shape (B, number of profiles)."""
    return torch.stack([share @ _positions(share) for share in shares], dim=1)


def second_moments_of(shares: list[Tensor]) -> Tensor:
    """Variance of the position in each of the normalised profiles (B, N), shape (B, number of profiles)."""
    columns = []
    for share in shares:
        position = _positions(share)
        distance = position - (share @ position)[:, None]
        columns.append((share * distance.square()).sum(dim=1))
    return torch.stack(columns, dim=1)


def layer_fractions(cells_BXYL: Tensor) -> Tensor:
    """Shares of the deposited energy in the first, middle and last third of the layers, shape (B, 3).

    25 layers are split 8 + 8 + 9 as R1, R2, R3 of the 3DGAN analysis; what does not divide by three goes to the last region.
    """
    return layer_fractions_of(normalised(profiles(cells_BXYL)[2]))


def layer_fractions_of(share_BL: Tensor) -> Tensor:
    """The same from the normalised longitudinal profile (B, L), shape (B, 3)."""
    third = share_BL.shape[1] // 3
    regions = (share_BL[:, :third], share_BL[:, third : 2 * third], share_BL[:, 2 * third :])
    return torch.stack([region.sum(dim=1) for region in regions], dim=1)


def axis_slopes(cells_BXYL: Tensor) -> Tensor:
    """How far the shower axis moves along x and y per layer [cells per layer], shape (B, 2).

    Energy-weighted least-squares line through the cells: covariance of position and depth over the variance of the depth, as the
    measured angle of svalleco/3Dgan (measPython). 0 for an empty shower and for one that fills a single layer.
    """
    columns = []
    for dimension in (2, 1):
        plane = cells_BXYL.sum(dim=dimension)
        share = normalised(plane.flatten(1)).view_as(plane)
        position = _positions(share.sum(dim=2))
        depth = _positions(share.sum(dim=1))
        from_centre = depth - (share.sum(dim=1) @ depth)[:, None]
        variance = (share.sum(dim=1) * from_centre.square()).sum(dim=1)
        covariance = ((share * position[:, None]).sum(dim=1) * from_centre).sum(dim=1)
        has_depth = variance > torch.finfo(variance.dtype).eps
        columns.append(torch.where(has_depth, covariance / torch.where(has_depth, variance, 1.0), 0.0))
    return torch.stack(columns, dim=1)


def occupancy(cells_BXYL: Tensor, threshold_gev: float = READOUT_THRESHOLD_GEV) -> Tensor:
    """Share of the cells above the read-out threshold [GeV], shape (B,). A count: it has no gradient."""
    return (cells_BXYL > threshold_gev).flatten(1).to(cells_BXYL.dtype).mean(dim=1)


def maximum_position(cells_BXYL: Tensor) -> Tensor:
    """Indices (x, y, layer) of the hottest cell, the first of equals, shape (B, 3) int64. No gradient."""
    num_y, num_layers = cells_BXYL.shape[2:]
    flat = cells_BXYL.flatten(1).argmax(dim=1)
    return torch.stack([flat // (num_y * num_layers), flat // num_layers % num_y, flat % num_layers], dim=1)


def _positions(profile: Tensor) -> Tensor:
    return torch.arange(profile.shape[1], dtype=profile.dtype, device=profile.device)
