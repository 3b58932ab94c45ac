"""Correlation matrices and single showers in three dimensions, of Monte Carlo and of others; what ``physics_report.py`` draws."""

from __future__ import annotations

from collections.abc import Sequence

import drawing
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D
from numpy.typing import NDArray
from physics_panels import Array, Kind

from gan3d.physics.observables import correlation_matrix

#: Cells that are drawn of a single shower: the hottest.
MOST_CELLS = 800


def correlations_of(columns: Sequence[Array]) -> list[Array]:
    """Pearson's correlation of every two columns of (N, K), for each kind, shape (K, K)."""
    return [np.asarray(correlation_matrix(torch.from_numpy(values))) for values in columns]


def matrices(found: Sequence[Array], kinds: Sequence[Kind], names: Sequence[str] | None, of: str) -> Figure:
    """Of each kind, and the difference; without names columns are layers, counted from 0."""
    figure, grid = plt.subplots(1, 3, figsize=(15, 5.6) if names is None else (21, 8.4), sharey=True)
    titles = (kinds[0].label, kinds[1].label, f"{kinds[1].label} minus {kinds[0].label}")
    for axes, title, matrix in zip(grid, titles, (*found, found[1] - found[0]), strict=True):
        image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", origin="lower")
        axes.set_title(title)
        axes.grid(visible=False)
        if names is None:
            axes.set_xlabel("layer")
        else:
            axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
            axes.set_yticks(range(len(names)), names, fontsize=8)
    if names is None:
        grid[0].set_ylabel("layer")
    figure.colorbar(image, ax=list(grid), shrink=0.8, label=f"correlation of {of}")
    return figure


def events(kinds: Sequence[Kind], wanted: Array, note: str) -> Figure:
    """Single showers: of Monte Carlo above, and those with about the same energies [GeV] below."""
    figure = plt.figure(figsize=(15, 10))
    for row, kind in enumerate(kinds):
        for column, energy in enumerate(wanted):
            axes = figure.add_subplot(len(kinds), len(wanted), row * len(wanted) + column + 1, projection="3d")
            assert isinstance(axes, Axes3D)
            which = int(np.abs(kind.showers.incident_energy - energy).argmin())
            cells = kind.showers.cells[which]
            display(figure, axes, cells, f"{kind.label}, {kind.showers.incident_energy[which]:.0f} GeV, {cells.sum():.2f} GeV deposited")
    drawing.heading(figure, f"Single showers: their {MOST_CELLS} hottest cells", note)
    return figure


def display(figure: Figure, axes: Axes3D, cells: NDArray[np.float32], title: str) -> None:
    """One shower: a dot for each cell, its colour the logarithm of the energy; the beam comes from the left."""
    flat = cells.ravel()
    hottest = np.argsort(flat)[-MOST_CELLS:]
    hottest = hottest[flat[hottest] > 0]
    x, y, layer = np.unravel_index(hottest, cells.shape)
    energy = np.log10(1e3 * flat[hottest])
    sizes = 4 + 8 * np.clip(energy + 1, 0, None)
    dots = axes.scatter(layer, x, zs=y, c=energy, s=sizes, cmap="viridis", vmin=-2, vmax=2, alpha=0.6)
    across, up, deep = cells.shape
    axes.set(title=title, xlabel="layer", ylabel="x", zlabel="y", xlim=(0, deep), ylim=(0, across), zlim=(0, up))
    figure.colorbar(dots, ax=axes, shrink=0.6, pad=0.1, label="log10 of the cell's energy [MeV]")
