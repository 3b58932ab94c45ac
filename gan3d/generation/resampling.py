"""The bootstrap over showers: the sums of a set of showers, and of many resamples of it, in one pass.

A resample draws as many showers as there are, with replacement (Efron, Annals of Statistics 7 (1979) 1); the spread of a distance over
resamples is its standard error from the finite number of showers. Sums add up, so a resample is a weighted sum of per-shower sums.

Shape legend: B showers of a chunk, N showers, R resamples, X, Y transverse cells, L layers, E incident-energy bins, K entries of a table.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gan3d.physics.binning import Binning
from gan3d.physics.sums import ShowerSums


def resample_counts(num_showers: int, num_resamples: int, seed: int = 0) -> Tensor:
    """How often each shower is in each resample, (1 + R, N) float64; row 0 is the set itself, every shower once."""
    random = np.random.default_rng(seed)
    drawn = random.multinomial(num_showers, np.full(num_showers, 1.0 / num_showers), size=num_resamples)
    return torch.from_numpy(np.vstack([np.ones(num_showers), drawn]))


def resampled_sums(
    chunks: Iterable[tuple[Tensor, Tensor]], counts: Tensor, binning: Binning, polar_angle: Tensor | None = None
) -> list[ShowerSums]:
    """The sums of each row of ``counts``.

    Args:
        chunks: cells (B, X, Y, L) and incident energies (B,) [GeV], N showers in all, in the order of the columns.
        counts: (R, N) of ``resample_counts``; the same for all sets whose showers belong together one by one.
        binning: of the sums.
        polar_angle: (N,) [rad], where the binning has bins of it.

    Raises:
        ValueError: the chunks do not hold N showers.
    """
    vectors = torch.zeros(len(counts), len(ShowerSums(binning).vector), dtype=torch.float64)
    done = 0
    for cells, energy in chunks:
        done += len(energy)
        if done <= counts.shape[1]:
            here = slice(done - len(energy), done)
            in_bin = binning.bin_of(energy, None if polar_angle is None else polar_angle[here])
            vectors += _weighted(cells, energy, in_bin, counts[:, here], binning)
    if done != counts.shape[1]:
        msg = f"{done} showers do not fit the counts of {counts.shape[1]}"
        raise ValueError(msg)
    return [ShowerSums.from_vector(binning, vector) for vector in vectors]


def _weighted(cells: Tensor, energy: Tensor, in_bin: Tensor, counts: Tensor, binning: Binning) -> Tensor:
    """The vectors of ``ShowerSums`` (R, length) of a chunk's showers in these bins (B,), each as often as ``counts`` (R, B) say."""
    edges = tuple(map(float, range(1, len(energy))))
    one = _OneShowerPerBin(binning.grid, edges, binning.threshold_gev, binning.spectrum_decades, is_polar=binning.is_polar)
    each = ShowerSums(one)
    each.add(cells, energy)
    is_in_bin = one_hot(in_bin, binning.num_bins).double()
    weights = torch.einsum("rb,be->reb", counts, is_in_bin)
    tables = [(weights @ each[name].reshape(len(energy), -1)).flatten(1) for name in binning.shapes]
    return torch.cat(tables, dim=1)


class _OneShowerPerBin(Binning):
    """Bins of a chunk in which every shower has a bin of its own, whatever its energy: the sums then are those of single showers."""

    __slots__ = ()

    def bin_of(self, incident_energy: Tensor, polar_angle: Tensor | None = None) -> Tensor:  # noqa: ARG002 - bins are asked for with both
        """The place in the chunk."""
        return torch.arange(len(incident_energy))
