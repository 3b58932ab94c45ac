"""What a calorimeter physicist looks at in a shower: pure torch functions of the cells, differentiable wherever the observable is.

Shape legend: B showers, X, Y transverse cells, L layers. ``cells_BXYL`` [GeV]; positions and moments count cells and layers from 0.
An empty shower (less than ``EMPTY_SHOWER_GEV`` deposited) has every ratio equal to 0, with a gradient of 0, never NaN.

Definitions after the analysis scripts of the 3DGAN line (svalleco/3Dgan, branch Anglegan, keras/analysis).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

#: Above this energy [GeV] a cell counts as read out (the threshold of the hits histogram in svalleco/3Dgan, keras/analysis).
READOUT_THRESHOLD_GEV = 3e-4

#: Mean energy [GeV] that makes one electron-hole pair in silicon (3.6 eV): a shower that deposits less left no signal anywhere.
EMPTY_SHOWER_GEV = 3.6e-9

#: Edges [log10 GeV] between which a shower's cells are counted: half a decade holds enough of them. The last bin is open.
CELL_ENERGY_EDGES = (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5)

#: A parabola needs so many layers.
MIN_LAYERS_OF_PARABOLA = 3

#: x and y of each cell's centre, each (X, Y), where they are not the cell's indices.
Positions = tuple[Tensor, Tensor]

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


def axis_slopes(cells_BXYL: Tensor, depth_L: Tensor | None = None) -> Tensor:
    """How far the shower axis moves along x and y per layer, or per unit of the layers' depths (L,) [cells], shape (B, 2).

    Energy-weighted least-squares line through the cells: covariance of position and depth over the variance of the depth, as the
    measured angle of svalleco/3Dgan (measPython). 0 for an empty shower and for one that fills a single layer.
    """
    columns = []
    for dimension in (2, 1):
        plane = cells_BXYL.sum(dim=dimension)
        share = normalised(plane.flatten(1)).view_as(plane)
        position = _positions(share.sum(dim=2))
        depth = _positions(share.sum(dim=1)) if depth_L is None else depth_L.to(share)
        from_centre = depth - (share.sum(dim=1) @ depth)[:, None]
        variance = (share.sum(dim=1) * from_centre.square()).sum(dim=1)
        covariance = ((share * position[:, None]).sum(dim=1) * from_centre).sum(dim=1)
        has_depth = variance > torch.finfo(variance.dtype).eps
        columns.append(torch.where(has_depth, covariance / torch.where(has_depth, variance, 1.0), 0.0))
    return torch.stack(columns, dim=1)


def shower_angle(cells_BXYL: Tensor, depth_L: Tensor) -> Tensor:
    """Polar angle of the shower axis in the x-z plane [rad], shape (B,), from layers' depths (L,) in edges of a cell.

    pi/2 along the calorimeter's normal, less where showers move to larger x; pi/2 for an empty shower. The axis is that of `axis_slopes`.
    """
    return math.pi / 2 - axis_slopes(cells_BXYL, depth_L)[:, 0].atan()


def shower_maximum(layer_energy_BL: Tensor) -> Tensor:
    """Depth of the shower maximum [layers from 0], shape (B,), from layer energies (B, L) in any unit; 0 for an empty shower.

    Vertex of the parabola through the layer with most energy and its two neighbours; at either end of the calorimeter the layer itself.
    What sensitive sheets of one thickness read is the shower's energy per depth there, whatever the absorbers before them: no weights.
    """
    num_layers = layer_energy_BL.shape[1]
    top = layer_energy_BL.argmax(dim=1, keepdim=True)
    if num_layers < MIN_LAYERS_OF_PARABOLA:
        return top[:, 0].to(layer_energy_BL.dtype)
    inner = top.clamp(1, num_layers - 2)
    before, here, after = (layer_energy_BL.gather(1, inner + step)[:, 0] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    is_inside = (inner == top)[:, 0] & (bend < 0)
    shift = torch.where(is_inside, 0.5 * (before - after) / torch.where(is_inside, bend, 1.0), 0.0)
    return top[:, 0].to(layer_energy_BL.dtype) + shift


def layer_centres(cells_BXYL: Tensor, positions: Positions | None = None) -> Tensor:
    """Centre of energy along x and y in each layer [cells from 0, or the positions' unit], (B, L, 2); 0 in a layer without energy."""
    return torch.stack([centre for centre, _ in _in_layers(cells_BXYL, positions)], dim=2)


def layer_widths(cells_BXYL: Tensor, positions: Positions | None = None) -> Tensor:
    """Standard deviation of the energy along x and y in each layer [cells, or the positions' unit], (B, L, 2); 0 without energy."""
    return torch.stack([width for _, width in _in_layers(cells_BXYL, positions)], dim=2)


def layer_radii(cells_BXYL: Tensor, radius_XY: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the energy's distance from the axis in each layer [unit of the radius], each (B, L); 0 without energy.

    EC_r and width_r of CaloChallenge/homepage, code/HighLevelFeatures.py.
    """
    ((mean, width),) = _in_layers(cells_BXYL, (radius_XY,))
    return mean, width


def axes_around(positions: Positions) -> tuple[Tensor, ...]:
    """Positions (X, Y) of polar cells along several axes, X // 2 of them where X is even, else X: turned by one angle they are themselves.

    x and y alone are not: of showers that are off by as much along a diagonal, both would tell. As in the sliced Wasserstein distance of
    Bonneel et al. (J. Math. Imaging Vis. 51 (2015) 22), with axes that the cells have; the second half of them is the first backwards.
    """
    x, y = positions
    num_angles = len(x)
    turns = [2 * math.pi * number / num_angles for number in range(num_angles // 2 if num_angles % 2 == 0 else num_angles)]
    return tuple(math.cos(turn) * x + math.sin(turn) * y for turn in turns)


def moments_at(cells_BXYL: Tensor, positions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Barycentre and variance along A axes of cells at these positions (X, Y), each (B, A): `first_moments` where x is no index."""
    plane = cells_BXYL.sum(dim=3, keepdim=True)
    pairs = _in_layers(plane, positions)
    return torch.cat([centre for centre, _ in pairs], dim=1), torch.cat([width.square() for _, width in pairs], dim=1)


def whole_moments(cells_BXYL: Tensor, shares: list[Tensor], across: Sequence[Tensor] | None) -> tuple[Tensor, Tensor]:
    """First and second moments of showers whose normalised profiles these are, each (B, 3); (B, axes + 1) where x and y are no indices.

    ``across`` are positions along each axis (`axes_around`); the depth comes last.
    """
    first, second = first_moments_of(shares), second_moments_of(shares)
    if across is None:
        return first, second
    plane = cells_BXYL.sum(dim=3, keepdim=True)
    centre, variance = moments_at(plane.to(shares[2].device), across)
    return torch.cat([centre, first[:, 2:]], dim=1), torch.cat([variance, second[:, 2:]], dim=1)


def mean_over_axes(moments: Tensor) -> Tensor:
    """Mean of something of each moment (..., axes + 1), shape (...,): the axes across the shower, however many, weigh twice the depth."""
    if moments.shape[-1] == 3:
        return moments.mean(dim=-1)
    return (2 * moments[..., :-1].mean(dim=-1) + moments[..., -1]) / 3


def _in_layers(cells_BXYL: Tensor, positions: Sequence[Tensor] | None) -> list[tuple[Tensor, Tensor]]:
    """For each of the positions, by default along x and along y: centre and width in each layer, each (B, L)."""
    if positions is None:
        return [_centre_and_width(share) for share in _shares_of_layers(cells_BXYL)]
    # All cells of a layer in a row: (B, L, X Y).
    flat = cells_BXYL.flatten(1, 2).transpose(1, 2)
    share = normalised(flat.flatten(0, 1)).view_as(flat)
    return [_centre_and_width(share, position.flatten().to(share)) for position in positions]


def _shares_of_layers(cells_BXYL: Tensor) -> list[Tensor]:
    """Along x and along y, each (B, L, N): every layer's profile over its own sum."""
    planes = [cells_BXYL.sum(dim=dimension).transpose(1, 2) for dimension in (2, 1)]
    return [normalised(plane.flatten(0, 1)).view_as(plane) for plane in planes]


def _centre_and_width(share_BLN: Tensor, position: Tensor | None = None) -> tuple[Tensor, Tensor]:
    if position is None:
        position = torch.arange(share_BLN.shape[2], dtype=share_BLN.dtype, device=share_BLN.device)
    centre = share_BLN @ position
    variance = (share_BLN * (position - centre[..., None]).square()).sum(dim=2)
    has_width = variance > 0
    # The root's slope at zero is infinite, and infinity times the zero of a layer without energy is no number.
    return centre, torch.where(has_width, torch.where(has_width, variance, 1.0).sqrt(), 0.0)


def correlation_matrix(values_BK: Tensor) -> Tensor:
    """Pearson's correlation of every two columns of (B, K), shape (K, K); 0 with a column that is constant."""
    from_mean = values_BK - values_BK.mean(dim=0)
    spread = from_mean.square().mean(dim=0).sqrt()
    # A mean of equal numbers is rounded: what is left of them is not 0.
    varies = (values_BK != values_BK[:1]).any(dim=0) & (spread > 0)
    scaled = torch.where(varies, from_mean / torch.where(varies, spread, 1.0), 0.0)
    return scaled.T @ scaled / len(values_BK)


def occupancy(cells_BXYL: Tensor, threshold_gev: float = READOUT_THRESHOLD_GEV) -> Tensor:
    """Share of the cells above the read-out threshold [GeV], shape (B,). A count: it has no gradient."""
    return (cells_BXYL > threshold_gev).flatten(1).to(cells_BXYL.dtype).mean(dim=1)


def cell_spectrum(cells_BXYL: Tensor, edges: Sequence[float] = CELL_ENERGY_EDGES) -> Tensor:
    """Numbers of cells above each of the rising edges [log10 GeV] and up to the next, shape (B, edges); the last is open. No gradient."""
    flat = cells_BXYL.flatten(1)
    energies = torch.tensor([10**edge for edge in edges], dtype=flat.dtype, device=flat.device)
    # Few cells hold so much, so only those are sorted into bins.
    shower, cell = torch.nonzero(flat > energies[0], as_tuple=True)
    place = torch.bucketize(flat[shower, cell], energies) - 1
    return torch.bincount(shower * len(energies) + place, minlength=len(flat) * len(energies)).view(len(flat), len(energies))


def maximum_position(cells_BXYL: Tensor) -> Tensor:
    """Indices (x, y, layer) of the hottest cell, the first of equals, shape (B, 3) int64. No gradient."""
    num_y, num_layers = cells_BXYL.shape[2:]
    flat = cells_BXYL.flatten(1).argmax(dim=1)
    return torch.stack([flat // (num_y * num_layers), flat // num_layers % num_y, flat % num_layers], dim=1)


def _positions(profile: Tensor) -> Tensor:
    return torch.arange(profile.shape[1], dtype=profile.dtype, device=profile.device)
