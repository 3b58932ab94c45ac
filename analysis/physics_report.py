"""Showers of any origin beside Monte Carlo: profiles, layers, cells, observables, correlations, single showers, in bins of energy.

    python analysis/physics_report.py FILE|TRIAL --reference FILE [FILE ...] [--calorimeter NAME|FILE.yaml] [--output DIR]

Writes physics_profiles, physics_layers, physics_cells, physics_observables_{low,middle,high} and the same with _log, physics_correlations,
physics_observable_correlations (.png, and .csv of each kind of number) and physics_events (.png). A trial's folder or an exported generator
makes as many showers as the reference has, with its energies. Empty and broken showers are left out and counted. Bands and bars are
statistical errors of one standard deviation. Numbers and a verdict for the same showers: `gan3d validate`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from drawing import BLACK, RED
from matplotlib.figure import Figure
from physics_panels import Array, Kind, Panel, draw_grid, histogram_edges, histogram_panel, mean_and_error, table_rows
from physics_pictures import correlations_of, events, matrices
from shower_curves import cells_per_bin

from gan3d.data.showers import Showers
from gan3d.errors import DataError, Gan3dError
from gan3d.physics.binning import SPECTRUM_BINS_PER_DECADE, Binning
from gan3d.validation.collection import blocks, generated_like
from gan3d.validation.detector import Detector
from gan3d.validation.features import feature_names, features_of
from gan3d.validation.loading import detector_of, load
from gan3d.validation.table import joined, table_of

#: Bins of incident energy with about equally many reference showers, and what files call them.
BINS = ("low", "middle", "high")
#: Share of the energy below which a layer or a column is drawn, but its ratio is not.
SMALLEST_SHARE = 1e-3
#: Panels of observables side by side.
COLUMNS = 6
#: Showers of each kind without which nothing is drawn.
FEWEST_SHOWERS = 10
#: The spectrum of cells begins at this share of the read-out threshold.
FAINTEST = 0.1


def main() -> int:
    """Draw; 2 if showers cannot be read or held against each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "", formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", type=Path, help="a file of showers, the folder of a trial, or an exported generator")
    parser.add_argument("--reference", type=Path, nargs="+", required=True, help="Monte Carlo")
    parser.add_argument("--calorimeter", default=None, help="weighs layers by their absorbers; by default all alike")
    parser.add_argument("--most", type=int, default=2000, help="showers of each kind, at most")
    parser.add_argument("--label", default="generated", help="what the showers are called in the figures")
    parser.add_argument("--seed", type=int, default=1, help="of a trial's noise")
    parser.add_argument("--output", type=Path, default=Path("figures"), help="folder")
    arguments = parser.parse_args()
    arguments.written = []
    try:
        draw(arguments)
    except Gan3dError as error:
        print(error, file=sys.stderr)
        return 2
    print(*arguments.written, sep="\n")
    return 0


def draw(arguments: argparse.Namespace) -> None:
    """All figures and tables."""
    detector = detector_of(arguments.reference, arguments.calorimeter)
    kinds, warnings = both_kinds(arguments, detector)
    for text in warnings:
        print(text, file=sys.stderr)
    counted = note_of(arguments, kinds, warnings)
    note = f"{counted} Bands and bars: one standard deviation, statistical. Triangles: beyond the panel."
    edges = np.quantile(kinds[0].showers.incident_energy, np.linspace(0, 1, len(BINS) + 1))
    bins = [(float(low), float(high)) for low, high in pairwise(edges)]
    save(arguments, "profiles", "Shower profiles", note, kinds, [profile_panels(kinds, *one) for one in bins], bins)
    save(arguments, "layers", "Centres and widths of layers", note, kinds, [layer_panels(kinds, *one) for one in bins], bins)
    save(arguments, "cells", "Energies of showers and of cells", note, kinds, [cell_panels(kinds, detector, *one) for one in bins], bins)
    draw_observables(arguments, kinds, note, bins)
    draw_correlations(arguments, kinds, counted)
    save_picture(arguments, "physics_events", events(kinds, np.array([(low + high) / 2 for low, high in bins]), counted))


def both_kinds(arguments: argparse.Namespace, detector: Detector) -> tuple[tuple[Kind, Kind], tuple[str, ...]]:
    """Monte Carlo and what is held against it, and what is to be known of the Monte Carlo.

    Raises:
        ConfigError: a trial was trained on the Monte Carlo, or there is nothing of that name.
        DataError: a file cannot be read, grids differ, or too few showers are whole.
    """
    loaded = load(arguments.what, arguments.reference, most=arguments.most, most_reference=arguments.most)
    origin = loaded.origin
    showers = origin if isinstance(origin, Showers) else generated_like(origin, loaded.reference, arguments.seed)
    reference = kind_of("Monte Carlo", BLACK, loaded.reference, detector)
    return (reference, kind_of(arguments.label, RED, showers, detector)), loaded.warnings


def kind_of(label: str, colour: str, showers: Showers, detector: Detector) -> Kind:
    """Without empty and broken showers.

    Raises:
        DataError: there are too few others.
    """
    table = joined(table_of(part, detector) for part in blocks(showers))
    whole = showers.take(np.flatnonzero(~table.is_broken))
    if len(whole) < FEWEST_SHOWERS:
        message = f"of {len(showers)} showers ({label}) {len(whole)} are neither empty nor broken: too few to be drawn."
        raise DataError(message)
    features = np.concatenate([features_of(part, detector).high for part in blocks(whole)])
    names = feature_names(whole.cells.shape[3])
    return Kind(label, colour, whole, table, dict(zip(names, features.T, strict=True)), int(table.is_broken.sum()))


def note_of(arguments: argparse.Namespace, kinds: Sequence[Kind], warnings: Sequence[str]) -> str:
    """How many showers, and how many were left out."""
    dropped = [f"{kind.num_dropped} {kind.label}" for kind in kinds if kind.num_dropped]
    numbers = f"{len(kinds[0].showers)} showers of Monte Carlo, {len(kinds[1].showers)} {arguments.label} ({arguments.what.name})."
    return " ".join([numbers, *([f"Left out as empty or not finite: {', '.join(dropped)}."] if dropped else []), *warnings])


def profile_panels(kinds: Sequence[Kind], low: float, high: float) -> list[Panel]:
    """Mean energy in each layer or column of the showers of a bin, over their incident energies: linear and logarithmic."""
    panels = []
    for name, axis in (("layer", 3), ("cell along x", 1), ("cell along y", 2)):
        others = tuple(other for other in (1, 2, 3) if other != axis)
        found = []
        for kind in kinds:
            chosen = kind.within(low, high)
            profile = kind.showers.cells[chosen].sum(axis=others, dtype=np.float64)
            found.append(mean_and_error(profile / kind.showers.incident_energy[chosen, None]))
        truth = found[0][0]
        for is_log in (False, True):
            title, y_label = f"{low:.0f} to {high:.0f} GeV", "mean energy / incident energy"
            is_drawn = truth > SMALLEST_SHARE * truth.sum()
            panels.append(Panel(title, name, y_label, np.arange(len(truth), dtype=np.float64), (found[0], found[1]), is_drawn, is_log))
    return panels


def layer_panels(kinds: Sequence[Kind], low: float, high: float) -> list[Panel]:
    """Mean centre and width of each layer's energy along x and y; layers that hold nothing of a shower do not count for it."""
    num_layers = kinds[0].showers.cells.shape[3]
    panels = []
    for name in ("centre_x", "centre_y", "width_x", "width_y"):
        found, numbers = [], []
        for kind in kinds:
            chosen = kind.within(low, high)
            values, energies = (
                np.stack([kind.features[f"{one}_{layer}"][chosen] for layer in range(num_layers)]) for one in (name, "energy")
            )
            # 1e-8 GeV are added before the logarithm (`features.SMALLEST_GEV`).
            held = energies > np.log10(2e-8)
            numbers.append(held.sum(axis=1))
            points = [mean_and_error(row[has]) if has.sum() > 1 else (np.nan, np.nan) for row, has in zip(values, held, strict=True)]
            found.append((np.array([float(mean) for mean, _ in points]), np.array([float(error) for _, error in points])))
        label = f"{name.replace('_', ' along ')} [cells]"
        is_drawn = np.minimum(*numbers) >= FEWEST_SHOWERS
        title, is_centre = f"{low:.0f} to {high:.0f} GeV", name.startswith("centre")
        panels.append(
            Panel(title, "layer", label, np.arange(num_layers, dtype=np.float64), (found[0], found[1]), is_drawn, is_difference=is_centre)
        )
    return panels


def cell_panels(kinds: Sequence[Kind], detector: Detector, low: float, high: float) -> list[Panel]:
    """Deposited over incident energy, and the spectrum of cell energies: each linear and logarithmic."""
    title = f"{low:.0f} to {high:.0f} GeV"
    ratios = [(10 ** (kind.features["deposited_energy"] - kind.features["incident_energy"]))[kind.within(low, high)] for kind in kinds]
    label, edges = "deposited / incident energy", histogram_edges(ratios[0])
    panels = [histogram_panel(title, label, ratios, edges, is_log=is_log) for is_log in (False, True)]
    binning = Binning.from_incident_energy(
        kinds[0].showers.cells.shape[1:], kinds[0].showers.incident_energy, threshold_gev=FAINTEST * detector.threshold_gev
    )
    counts = [cells_per_bin(binning, torch.from_numpy(kind.showers.cells[kind.within(low, high)])).numpy() for kind in kinds]
    found = [mean_and_error(one) for one in counts]
    filled = np.flatnonzero(found[0][0] + found[1][0])
    end = int(filled[-1]) + 1 if len(filled) else 1
    x = np.log10(binning.threshold_gev) + (np.arange(end) + 0.5) / SPECTRUM_BINS_PER_DECADE
    is_drawn = counts[0].sum(axis=0)[:end] >= FEWEST_SHOWERS
    shown = [(value[:end], error[:end]) for value, error in found]
    names = "log10 of the cell's energy [GeV]", "cells per shower and bin"
    return [*panels, *(Panel(title, *names, x, (shown[0], shown[1]), is_drawn, is_log) for is_log in (False, True))]


def save(
    arguments: argparse.Namespace,
    name: str,
    title: str,
    note: str,
    kinds: Sequence[Kind],
    panels: Sequence[Sequence[Panel]],
    bins: Sequence[tuple[float, float]],
) -> None:
    """A row for each bin of energy; the table has each panel's numbers once."""
    figure = draw_grid(panels, kinds)
    drawing.heading(figure, f"{title}, in bins of incident energy", note)
    rows = []
    for line, (low, high) in zip(panels, bins, strict=True):
        for panel in line:
            of = panel.y_label if name == "layers" else panel.x_label
            rows += table_rows(panel, profile=f"{of}, {low:.0f} to {high:.0f} GeV")
    drawing.save(arguments, f"physics_{name}", figure, pd.DataFrame(rows).drop_duplicates())


def draw_observables(arguments: argparse.Namespace, kinds: Sequence[Kind], note: str, bins: Sequence[tuple[float, float]]) -> None:
    """A histogram of every observable of a shower: a figure for each bin of energy, and one with logarithmic axes."""
    names, rows = list(kinds[0].table.columns), []
    for called, (low, high) in zip(BINS, bins, strict=True):
        for is_log in (False, True):
            panels = []
            for name in names:
                values = [kind.table.columns[name][kind.within(low, high)] for kind in kinds]
                panels.append(histogram_panel(name.replace("_", " "), "", values, histogram_edges(values[0]), is_log=is_log))
                rows += [] if is_log else table_rows(panels[-1], observable=name, bin=called)
            figure = draw_grid([panels[at : at + COLUMNS] for at in range(0, len(panels), COLUMNS)], kinds, width=2.9, height=3.1)
            drawing.heading(figure, f"Observables of single showers, {low:.0f} to {high:.0f} GeV", note)
            save_picture(arguments, f"physics_observables_{called}{'_log' if is_log else ''}", figure)
    path = arguments.output / "physics_observables.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    arguments.written.append(path)


def draw_correlations(arguments: argparse.Namespace, kinds: Sequence[Kind], note: str) -> None:
    """Of layers' shares of the energy, and of observables."""
    names = list(kinds[0].table.columns)
    for called, columns, shown in (
        ("correlations", [kind.table.layer_shares for kind in kinds], None),
        ("observable_correlations", [kind.table.matrix for kind in kinds], [name.replace("_", " ") for name in names]),
    ):
        found = correlations_of(columns)
        figure = matrices(found, kinds, shown, "shares of the deposited energy" if shown is None else "observables")
        drawing.heading(figure, "Correlations of layers" if shown is None else "Correlations of observables", note)
        drawing.save(arguments, f"physics_{called}", figure, matrix_rows(found, names if shown else None))


def matrix_rows(found: Sequence[Array], names: Sequence[str] | None) -> pd.DataFrame:
    """Each pair once."""
    word = "layer" if names is None else "observable"
    called = range(len(found[0])) if names is None else names
    pairs = [(one, other) for one in range(len(found[0])) for other in range(one)]
    rows = [
        {word: called[one], "other": called[other], "monte_carlo": found[0][one, other], "value": found[1][one, other]}
        for one, other in pairs
    ]
    return pd.DataFrame(rows)


def save_picture(arguments: argparse.Namespace, name: str, figure: Figure) -> None:
    """Without a table."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"{name}.png"
    figure.savefig(path)
    plt.close(figure)
    arguments.written.append(path)


if __name__ == "__main__":
    sys.exit(main())
