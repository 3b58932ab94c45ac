"""Showers of any origin beside Monte Carlo: profiles in bins of energy, observables, correlations of layers, single showers.

    python analysis/physics_report.py FILE|TRIAL --reference FILE [FILE ...] [--calorimeter NAME|FILE.yaml] [--output DIR]

Writes physics_profiles, physics_observables, physics_correlations (.png and .csv) and physics_events (.png). A trial's folder generates as
many showers as half of the reference has, with its energies. Bands and bars are statistical errors of one standard deviation. Numbers and
a verdict for the same showers: `gan3d validate`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, RED
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D
from numpy.typing import NDArray

from gan3d.data.shower_file import open_shower_file
from gan3d.data.showers import Showers
from gan3d.errors import Gan3dError
from gan3d.generation.formats.catalog import format_of
from gan3d.generation.generator import Generator
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.validation.collection import blocks, generated_like, read_all
from gan3d.validation.detector import Detector
from gan3d.validation.table import ObservableTable, joined, table_of

Array = NDArray[np.float64]

#: Bins of incident energy with about equally many reference showers.
NUM_BINS = 3
#: Share of the energy below which a layer or a column is drawn, but its ratio is not.
SMALLEST_SHARE = 1e-3
RATIO_RANGE = (0.7, 1.3)
NUM_HISTOGRAM_BINS = 24
#: Single showers of each kind, and the cells that are drawn of each: the hottest.
NUM_EVENTS, MOST_CELLS = 3, 800


@dataclass(frozen=True, slots=True)
class Kind:
    """Showers of one kind."""

    label: str
    colour: str
    showers: Showers
    table: ObservableTable


def main() -> int:
    """Draw; 2 if showers cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "", formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", type=Path, help="a file of showers, or the folder of a trial")
    parser.add_argument("--reference", type=Path, nargs="+", required=True, help="Monte Carlo")
    parser.add_argument("--calorimeter", default=None, help="weighs layers by their absorbers; by default all alike")
    parser.add_argument("--most", type=int, default=2000, help="showers of each kind, at most")
    parser.add_argument("--label", default="generated", help="what the showers are called in the figures")
    parser.add_argument("--seed", type=int, default=1, help="of a trial's noise")
    parser.add_argument("--output", type=Path, default=Path("figures"), help="folder")
    arguments = parser.parse_args()
    arguments.written = []
    try:
        kinds = both_kinds(arguments)
    except Gan3dError as error:
        print(error, file=sys.stderr)
        return 2
    note = (
        f"{len(kinds[0].showers)} showers of Monte Carlo, {len(kinds[1].showers)} {arguments.label} ({arguments.what.name}). "
        "Bands and bars: one standard deviation, statistical."
    )
    draw_profiles(arguments, kinds, note)
    draw_observables(arguments, kinds, note)
    draw_correlations(arguments, kinds, note)
    draw_events(arguments, kinds, note)
    print(*arguments.written, sep="\n")
    return 0


def both_kinds(arguments: argparse.Namespace) -> tuple[Kind, Kind]:
    """Monte Carlo, and what is held against it."""
    layout = open_shower_file(arguments.reference[0]).layout
    detector = Detector.told_by(layout) if arguments.calorimeter is None else Detector.of(calorimeter(arguments.calorimeter))
    reference = read_all(arguments.reference, arguments.most)
    if arguments.what.is_dir() or format_of(arguments.what):
        showers = generated_like(Generator.load(arguments.what), reference, arguments.seed)
    else:
        showers = read_all([arguments.what], arguments.most)
    tables = [joined(table_of(part, detector) for part in blocks(one)) for one in (reference, showers)]
    return Kind("Monte Carlo", BLACK, reference, tables[0]), Kind(arguments.label, RED, showers, tables[1])


def energy_edges(reference: Kind) -> Array:
    """Of the bins of incident energy."""
    return np.asarray(np.quantile(reference.showers.incident_energy, np.linspace(0, 1, NUM_BINS + 1)))


def profiles_of(kind: Kind, axis: int, low: float, high: float) -> tuple[Array, Array]:
    """Mean energy in each layer or column of the showers of a bin, over their incident energies, and its error."""
    energy = kind.showers.incident_energy
    chosen = (energy >= low) & (energy <= high)
    others = tuple(other for other in (1, 2, 3) if other != axis)
    profile = kind.showers.cells[chosen].sum(axis=others) / energy[chosen, None]
    return profile.mean(axis=0), profile.std(axis=0, ddof=1) / np.sqrt(chosen.sum())


def draw_profiles(arguments: argparse.Namespace, kinds: Sequence[Kind], note: str) -> None:
    """Layers linear, layers logarithmic, x and y logarithmic; a row of panels and one of ratios for each bin of energy."""
    panels = (("layer", 3, False), ("layer", 3, True), ("cell along x", 1, True), ("cell along y", 2, True))
    edges, rows = energy_edges(kinds[0]), []
    figure, grid = plt.subplots(2 * NUM_BINS, len(panels), figsize=(15.5, 4.2 * NUM_BINS), height_ratios=[3, 1] * NUM_BINS)
    for number in range(NUM_BINS):
        low, high = edges[number], edges[number + 1]
        for column, (name, axis, is_log) in enumerate(panels):
            upper, lower = grid[2 * number, column], grid[2 * number + 1, column]
            found = [profiles_of(kind, axis, low, high) for kind in kinds]
            for kind, (value, error) in zip(kinds, found, strict=True):
                band(upper, kind, value, error)
            upper.set(title=f"{low:.0f} to {high:.0f} GeV", ylabel="mean energy / incident energy")
            if is_log:
                upper.set_yscale("log")
            rows += ratio_panel(lower, found, f"{name}, {low:.0f} to {high:.0f} GeV", kinds[1].colour)
            lower.set_xlabel(name)
    drawing.legend_below(figure, grid[0, 0])
    drawing.heading(figure, "Shower profiles", note)
    drawing.save(arguments, "physics_profiles", figure, pd.DataFrame(rows).drop_duplicates())


def band(axes: Axes, kind: Kind, value: Array, error: Array) -> None:
    """A step line with its error as a band."""
    place = np.arange(len(value))
    axes.step(place, value, where="mid", color=kind.colour, label=kind.label, linewidth=1.2)
    axes.fill_between(place, value - error, value + error, step="mid", color=kind.colour, alpha=0.25, linewidth=0)


def ratio_panel(axes: Axes, found: Sequence[tuple[Array, Array]], name: str, colour: str) -> list[dict[str, object]]:
    """The second over the first, where the first is no trifle; returns the table's rows."""
    (truth, truth_error), (value, value_error) = found
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, error = value / truth, np.hypot(value_error / truth, value * truth_error / truth**2)
    is_drawn = truth > SMALLEST_SHARE * truth.sum()
    place = np.arange(len(truth))
    axes.axhline(1.0, color=BLACK, linewidth=0.8)
    shown = np.clip(ratio, *RATIO_RANGE)
    axes.errorbar(place[is_drawn], shown[is_drawn], error[is_drawn], fmt="o", markersize=2.5, color=colour, linewidth=0.8)
    axes.set(ylim=RATIO_RANGE, ylabel="ratio")
    columns = {"monte_carlo": truth, "monte_carlo_error": truth_error, "value": value, "error": value_error, "ratio": ratio}
    return [{"profile": name, "place": int(at)} | {key: float(values[at]) for key, values in columns.items()} for at in place]


def draw_observables(arguments: argparse.Namespace, kinds: Sequence[Kind], note: str) -> None:
    """A histogram of every observable of a shower."""
    names = list(kinds[0].table.columns)
    columns, rows = 6, []
    figure, grid = plt.subplots(-(-len(names) // columns), columns, figsize=(16, 2.5 * -(-len(names) // columns)), squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        edges = histogram_edges(kinds[0].table.columns[name])
        for kind in kinds:
            counts = np.histogram(kind.table.columns[name], edges)[0]
            density, error = counts / len(kind.table), np.sqrt(counts) / len(kind.table)
            centres = (edges[1:] + edges[:-1]) / 2
            axes.step(centres, density, where="mid", color=kind.colour, label=kind.label, linewidth=1.2)
            axes.fill_between(centres, density - error, density + error, step="mid", color=kind.colour, alpha=0.25, linewidth=0)
            rows += [
                {"observable": name, "kind": kind.label, "low": low, "high": high, "share": share}
                for low, high, share in zip(edges[:-1], edges[1:], density, strict=True)
            ]
        axes.set_title(name.replace("_", " "))
        axes.tick_params(labelsize=7)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    drawing.legend_below(figure, grid[0, 0])
    drawing.heading(figure, "Observables of single showers (share of showers per bin)", note)
    drawing.save(arguments, "physics_observables", figure, pd.DataFrame(rows))


def histogram_edges(values: Array) -> Array:
    """Around all but the outermost of the Monte Carlo's values; whole numbers in the middle of their bins."""
    if (values == np.round(values)).all():
        return np.arange(values.min() - 1.5, values.max() + 2.5)
    low, high = np.quantile(values, [0.002, 0.998])
    margin = 0.15 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, NUM_HISTOGRAM_BINS + 1)


def draw_correlations(arguments: argparse.Namespace, kinds: Sequence[Kind], note: str) -> None:
    """Pearson's correlation of layers' shares of the energy: of each kind, and the difference."""
    found = [np.atleast_2d(np.corrcoef(kind.table.layer_shares.T)) for kind in kinds]
    figure, grid = plt.subplots(1, 3, figsize=(15, 5.6))
    titles = (kinds[0].label, kinds[1].label, f"{kinds[1].label} minus {kinds[0].label}")
    for axes, title, matrix in zip(grid, titles, (*found, found[1] - found[0]), strict=True):
        image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", origin="lower")
        axes.set(title=title, xlabel="layer", ylabel="layer")
        axes.grid(visible=False)
    figure.colorbar(image, ax=list(grid), shrink=0.8, label="correlation of shares of the deposited energy")
    drawing.heading(figure, "Correlations of layers", note)
    rows = [
        {"layer": one, "other": other, "monte_carlo": found[0][one, other], "value": found[1][one, other]}
        for one in range(len(found[0]))
        for other in range(one)
    ]
    drawing.save(arguments, "physics_correlations", figure, pd.DataFrame(rows))


def draw_events(arguments: argparse.Namespace, kinds: Sequence[Kind], note: str) -> None:
    """Single showers in three dimensions: of Monte Carlo above, and those with about the same energies below."""
    edges = energy_edges(kinds[0])
    wanted = (edges[1:] + edges[:-1]) / 2
    figure = plt.figure(figsize=(15, 10))
    for row, kind in enumerate(kinds):
        for column, energy in enumerate(wanted[:NUM_EVENTS]):
            axes = figure.add_subplot(2, NUM_EVENTS, row * NUM_EVENTS + column + 1, projection="3d")
            assert isinstance(axes, Axes3D)
            which = int(np.abs(kind.showers.incident_energy - energy).argmin())
            cells = kind.showers.cells[which]
            display(figure, axes, cells, f"{kind.label}, {kind.showers.incident_energy[which]:.0f} GeV, {cells.sum():.2f} GeV deposited")
    drawing.heading(figure, f"Single showers: their {MOST_CELLS} hottest cells", note)
    save_picture(arguments, "physics_events", figure)


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


def save_picture(arguments: argparse.Namespace, name: str, figure: Figure) -> None:
    """Without a table: there is nothing to read off."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"{name}.png"
    figure.savefig(path)
    plt.close(figure)
    arguments.written.append(path)


if __name__ == "__main__":
    sys.exit(main())
