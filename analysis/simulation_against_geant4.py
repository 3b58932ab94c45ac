"""Draws the embedded Monte Carlo beside Geant4 showers, with a table of every layer, column and mean, and fits its constants.

    python analysis/simulation_against_geant4.py GEANT4_FILE... --calorimeter clic --output DIR

compares, at the incident energies and polar angles of the files' own showers. With ``--fit`` it prints fitted constants instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from gan3d.data.shower_file import open_shower_file
from gan3d.errors import Gan3dError
from gan3d.physics import calorimeter_file
from gan3d.physics.calorimeter import Calorimeter
from gan3d.simulation.comparison import SPECTRUM_EDGES, Row, Summary, compare, joined, summarise
from gan3d.simulation.constants import ShowerConstants, fitted_constants
from gan3d.simulation.fit import CONSTANTS, fit
from gan3d.simulation.spots import shower_cells

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter

BLOCK = 64
#: Columns and layers with a smaller share of the energy are drawn, but not judged.
SMALLEST_SHARE = 0.01
#: The goal: judged layers and columns agree within this.
GOAL = 0.10
#: Where a fit of all constants begins: what is published, and small values of what is not.
FIRST_GUESS = ShowerConstants(
    start_depth_x0=0.5, stray=5, shape_spread=0.1, halo_share=0.01, spot_energy_gev=3e-4, crossing_share=0.2, crossing_energy=0.7
)
AXIS_NAMES = {"layer": "layer", "column x": "cell along x", "column y": "cell along y", "folded": "cells from the central one"}


@dataclass(frozen=True)
class Selection:
    """One bin of incident energy and polar angle, Geant4 and simulated."""

    label: str
    reference: Summary
    simulated: Summary

    @property
    def rows(self) -> list[Row]:
        """Every compared number."""
        return list(compare(self.reference, self.simulated))


def read_showers(paths: Sequence[Path], half: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cells [GeV], incident energies [GeV] and polar angles [rad], block by block."""
    for path in paths:
        file = open_shower_file(path)
        for start in range(0, file.num_showers, BLOCK):
            showers = file.read(start, min(start + BLOCK, file.num_showers))
            chosen = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}[half]
            yield showers.cells[chosen], showers.incident_energy[chosen].astype(np.float64), showers.polar_angle_or_normal[chosen]


def simulated_like(reference: Summary, calorimeter: Calorimeter, repeat: int, seed: int) -> Summary:
    """``repeat`` simulated showers for each of the reference, at its energy and angle."""
    generator = np.random.default_rng(seed)
    energy, angle = np.repeat(reference.energy, repeat), np.repeat(reference.polar_angle, repeat)
    parts = []
    for start in range(0, len(energy), BLOCK):
        e, a = energy[start : start + BLOCK], angle[start : start + BLOCK]
        parts.append(summarise(shower_cells(e, a, generator, calorimeter), e, a))
    return joined(parts)


def selections(reference: Summary, simulated: Summary, energies: Sequence[float], angles: Sequence[float]) -> Iterator[Selection]:
    """All bins that hold showers enough for a spread."""
    for low, high in pairwise(energies):
        for first, last in pairwise(angles):
            masks = [
                (low <= s.energy) & (s.energy <= high) & (first <= np.degrees(s.polar_angle)) & (np.degrees(s.polar_angle) <= last)
                for s in (reference, simulated)
            ]
            if masks[0].sum() >= 5:
                inclined = f", {first:g}-{last:g} deg" if len(angles) > 2 else ""
                label = f"{low:g}-{high:g} GeV{inclined} ({masks[0].sum()} showers)"
                yield Selection(label, reference.take(masks[0]), simulated.take(masks[1]))


def draw_profiles(bins: Sequence[Selection], calorimeter: str, path: Path) -> None:
    """Layers and columns of every bin, each with the ratio under it."""
    figure, axes = plt.subplots(
        8, len(bins), figsize=(4.2 * len(bins), 16), squeeze=False, gridspec_kw={"height_ratios": [3, 1.3] * 4}, layout="constrained"
    )
    for column, selection in enumerate(bins):
        for pair, quantity in enumerate(AXIS_NAMES):
            rows = [row for row in selection.rows if row.quantity == quantity]
            _draw_profile(axes[2 * pair][column], axes[2 * pair + 1][column], rows, logarithmic=quantity != "layer")
        axes[0][column].set_title(selection.label, fontsize="medium")
    entries = [found for row in (0, 1) for found in zip(*axes[row][0].get_legend_handles_labels(), strict=True)]
    figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=len(entries))
    figure.suptitle(f"{calorimeter}: energy in silicon over incident energy, Geant4 and the embedded Monte Carlo")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_profile(above: Axes, below: Axes, rows: Sequence[Row], *, logarithmic: bool) -> None:
    at = np.array([row.index for row in rows])
    above.errorbar(at, [1e3 * r.reference for r in rows], [1e3 * r.reference_error for r in rows], fmt="k.", label="Geant4")
    above.stairs([1e3 * r.simulated for r in rows], np.append(at, at[-1] + 1) - 0.5, color="C0", label="embedded Monte Carlo")
    above.set_yscale("log" if logarithmic else "linear")
    above.set_ylabel("deposited energy [MeV/GeV]")
    judged = np.array([r.share > SMALLEST_SHARE for r in rows])
    ratio, error = np.array([r.difference + 1 for r in rows]), np.array([r.error for r in rows])
    floor = np.array([r.floor for r in rows])
    below.axhspan(1 - GOAL, 1 + GOAL, color="0.92", label="goal")
    below.fill_between(at, 1 - floor, 1 + floor, step="mid", color="C1", alpha=0.4, linewidth=0, label="error of Geant4 alone")
    below.errorbar(at[judged], ratio[judged], error[judged], fmt="C0.", label="more than 1 % of the energy")
    below.errorbar(at[~judged], ratio[~judged], error[~judged], fmt=".", color="0.6", label="less")
    below.axhline(1, color="k", linewidth=0.8)
    below.set(ylim=(0.65, 1.35), xlabel=AXIS_NAMES[rows[0].quantity], ylabel="Monte Carlo\n/ Geant4")


def draw_response(reference: Summary, simulated: Summary, edges: Sequence[float], calorimeter: str, path: Path) -> None:
    """Response, its spread and the mean depth against the incident energy, and the spectrum of cell energies."""
    figure, axes = plt.subplots(2, 4, figsize=(18, 6.5), gridspec_kw={"height_ratios": [3, 1.3]}, layout="constrained")
    fine = np.geomspace(edges[0], edges[-1], 11)
    bins = list(selections(reference, simulated, list(fine), [0, 180]))
    at = [float(s.reference.energy.mean()) for s in bins]
    labels = {"response": "response", "response, spread": "spread of the response at fixed energy", "mean layer": "mean layer"}
    for column, (quantity, label) in enumerate(labels.items()):
        rows = [next(row for row in s.rows if row.quantity == quantity) for s in bins]
        _draw_against_energy(axes[0][column], axes[1][column], at, rows)
        axes[0][column].set_ylabel(label)
    _draw_spectrum(axes[0][3], axes[1][3], reference, simulated)
    axes[0][0].legend()
    figure.suptitle(f"{calorimeter}: response and cells")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_against_energy(above: Axes, below: Axes, at: Sequence[float], rows: Sequence[Row]) -> None:
    above.errorbar(at, [r.reference for r in rows], [r.reference_error for r in rows], fmt="k.", label="Geant4")
    above.errorbar(at, [r.simulated for r in rows], [r.simulated_error for r in rows], fmt="C0x", label="embedded Monte Carlo")
    below.errorbar(at, [r.difference + 1 for r in rows], [r.error for r in rows], fmt="C0.")
    below.axhline(1, color="k", linewidth=0.8)
    below.set(xlabel="incident energy [GeV]", ylabel="Monte Carlo\n/ Geant4")
    for panel in (above, below):
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator([10, 20, 50, 100, 200, 500]))
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.xaxis.set_minor_formatter(NullFormatter())


def _draw_spectrum(above: Axes, below: Axes, reference: Summary, simulated: Summary) -> None:
    at = (SPECTRUM_EDGES[1:] + SPECTRUM_EDGES[:-1]) / 2
    mean, ours = reference.spectrum.mean(0), simulated.spectrum.mean(0)
    error = reference.spectrum.std(0, ddof=1) / np.sqrt(len(reference.energy))
    above.errorbar(at, mean, error, fmt="k.")
    above.stairs(ours, SPECTRUM_EDGES, color="C0")
    above.set(yscale="log", ylabel="cells per shower", ylim=(1e-3, None))
    with np.errstate(invalid="ignore", divide="ignore"):
        below.errorbar(at, ours / mean, error / mean, fmt="C0.")
    below.axhline(1, color="k", linewidth=0.8)
    below.set(xlabel="log10 (cell energy / GeV)", ylim=(0.5, 1.5), ylabel="Monte Carlo\n/ Geant4")


def table(bins: Sequence[Selection]) -> pd.DataFrame:
    """One row per bin and compared number."""
    names = [entry.name for entry in fields(Row)]
    return pd.DataFrame(
        [
            {
                "bin": s.label,
                **{name: getattr(row, name) for name in names},
                "difference": row.difference,
                "error": row.error,
                "floor": row.floor,
            }
            for s in bins
            for row in s.rows
        ]
    )


def markdown(bins: Sequence[Selection]) -> str:
    """One line per bin: means, spreads and the largest differences of judged layers and columns, beside the errors."""
    scalars = ["response", "response, spread", "mean layer", "mean layer, spread", "hit cells"]
    head = ["bin", *AXIS_NAMES, *scalars]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for selection in bins:
        rows = selection.rows
        cells = [_worst([r for r in rows if r.quantity == name and r.share > SMALLEST_SHARE]) for name in AXIS_NAMES]
        cells += [_cell(next(r for r in rows if r.quantity == name)) for name in scalars]
        lines.append("| " + " | ".join([selection.label, *cells]) + " |")
    return "\n".join(lines)


def _worst(rows: Sequence[Row]) -> str:
    worst = max(rows, key=lambda row: abs(row.difference))
    within = sum(abs(row.difference) <= GOAL for row in rows)
    typical = float(np.median([row.error for row in rows]))
    return f"{within}/{len(rows)}, worst {_cell(worst)} at {worst.index} (typical ± {100 * typical:.1f})"


def _cell(row: Row) -> str:
    return f"{100 * row.difference:+.1f} ± {100 * row.error:.1f}"


def print_fit(paths: Sequence[Path], half: str, calorimeter: Calorimeter, names: Sequence[str]) -> None:
    """Fit ``names`` (all of them if empty) from what is published, or, for some, from the constants in use."""
    blocks = list(read_showers(paths, half))
    cells, energy = (np.concatenate([block[i] for block in blocks]) for i in (0, 1))
    start = fitted_constants(calorimeter)
    if not names:
        start = FIRST_GUESS
    constants, fitted = fit(cells, energy, calorimeter, start, names or CONSTANTS)
    for name in names or CONSTANTS:
        print(f"{name}={getattr(constants, name):.4g},")
    for layer in dict.fromkeys(fitted.layers):
        print(f"electron_response={layer.electron_response:.4g}  # {layer.thickness_mm:.3f} mm layers")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="Geant4 shower files")
    parser.add_argument("--calorimeter", metavar="NAME|FILE.yaml", default="clic")
    parser.add_argument("--output", type=Path, default=Path(), help="folder for figures and tables")
    parser.add_argument("--name", default="", help="added to the names of what is written")
    parser.add_argument("--energies", type=float, nargs="+", default=[10, 50, 100, 300, 500], metavar="GEV", help="edges of bins")
    parser.add_argument("--angles", type=float, nargs="+", default=[0, 180], metavar="DEGREES", help="edges of bins")
    parser.add_argument("--repeat", type=int, default=4, help="simulated showers per Geant4 shower")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--half", choices=["all", "even", "odd"], default="all", help="use every other shower only")
    parser.add_argument("--fit", nargs="*", metavar="CONSTANT", help="print these constants (all, if none is named) fitted to the files")
    return parser.parse_args()


def main() -> int:
    """Compare, or fit; 2 if the calorimeter or the showers cannot be read."""
    try:
        compare_or_fit(parse())
    except Gan3dError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def compare_or_fit(asked: argparse.Namespace) -> None:
    """What the command line asks for."""
    calorimeter = calorimeter_file.calorimeter(asked.calorimeter)
    if asked.fit is not None:
        print_fit(asked.files, asked.half, calorimeter, asked.fit)
        return
    reference = joined([summarise(*block) for block in read_showers(asked.files, asked.half)])
    simulated = simulated_like(reference, calorimeter, asked.repeat, asked.seed)
    bins = list(selections(reference, simulated, asked.energies, asked.angles))
    asked.output.mkdir(parents=True, exist_ok=True)
    stem = asked.output / f"simulation_{asked.name or asked.calorimeter}"
    draw_profiles(bins, asked.calorimeter, Path(f"{stem}_profiles.png"))
    draw_response(reference, simulated, asked.energies, asked.calorimeter, Path(f"{stem}_response.png"))
    table(bins).to_csv(f"{stem}.csv", index=False)
    text = markdown(bins)
    Path(f"{stem}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
