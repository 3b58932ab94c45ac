"""Panels of two kinds of shower beside each other, each with its ratio (or difference) below; what ``physics_report.py`` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import drawing
import matplotlib.pyplot as plt
import numpy as np
from drawing import BLACK
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.validation.table import ObservableTable

Array = NDArray[np.float64]
#: Values and their statistical errors, each (number of places,).
Points = tuple[Array, Array]

#: Ratios of means, and of histograms, are shown within these; what lies beyond sits at the edge as a triangle.
RATIO_RANGE, HISTOGRAM_RATIO_RANGE = (0.7, 1.3), (0.0, 2.0)
NUM_HISTOGRAM_BINS = 24
#: A bin's ratio is drawn from so many Monte Carlo showers on.
FEWEST = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """Showers of one kind, none of them empty or broken."""

    label: str
    colour: str
    showers: Showers
    table: ObservableTable
    features: dict[str, Array]
    """High-level features by name, each (N,)."""
    num_dropped: int
    """Showers that were empty or not finite."""

    def within(self, low: float, high: float) -> NDArray[np.bool_]:
        """Which have incident energies between these [GeV]."""
        return np.asarray((self.showers.incident_energy >= low) & (self.showers.incident_energy <= high))


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: both kinds at the same places, Monte Carlo first."""

    title: str
    x_label: str
    y_label: str
    x: Array
    found: tuple[Points, Points]
    is_drawn: NDArray[np.bool_]
    """Where the Monte Carlo is more than a trifle, so that a ratio to it is drawn."""
    is_log: bool = False
    is_difference: bool = False
    """Below is the difference: of what may be 0, such as a centre."""
    ratio_range: tuple[float, float] = RATIO_RANGE


def draw_grid(panels: Sequence[Sequence[Panel]], kinds: Sequence[Kind], *, width: float = 3.7, height: float = 4.0) -> Figure:
    """A row of panels, and of their ratios, for each of the sequences, which are of equal length but for the last."""
    columns = len(panels[0])
    rows = len(panels)
    figure, grid = plt.subplots(
        2 * rows, columns, figsize=(width * columns, height * rows + 0.6), height_ratios=[3, 1] * rows, squeeze=False
    )
    for row, line in enumerate(panels):
        for column, panel in enumerate(line):
            draw_panel(grid[2 * row, column], grid[2 * row + 1, column], panel, kinds)
        for axes in grid[2 * row : 2 * row + 2, len(line) :].flat:
            axes.set_visible(False)
    drawing.legend_below(figure, grid[0, 0])
    return figure


def draw_panel(upper: Axes, lower: Axes, panel: Panel, kinds: Sequence[Kind]) -> None:
    """Both kinds as step lines with bands, and how they compare below, on the same x axis."""
    for kind, (value, error) in zip(kinds, panel.found, strict=True):
        upper.step(panel.x, value, where="mid", color=kind.colour, label=kind.label, linewidth=1.2)
        upper.fill_between(panel.x, value - error, value + error, step="mid", color=kind.colour, alpha=0.25, linewidth=0)
    upper.set_title(panel.title, fontsize=9)
    upper.set_ylabel(panel.y_label, fontsize=8)
    positive = np.concatenate([value[value > 0] for value, _ in panel.found])
    if panel.is_log and len(positive):
        upper.set_yscale("log")
        # Bands reach down to 0, which has no place here.
        upper.set_ylim(bottom=0.5 * float(positive.min()))
    draw_comparison(lower, panel, kinds[1].colour)
    lower.sharex(upper)
    lower.xaxis.set_major_locator(MaxNLocator(nbins=5))
    upper.tick_params(labelbottom=False, labelsize=7)
    lower.tick_params(labelsize=7)
    lower.set_xlabel(panel.x_label, fontsize=8)


def draw_comparison(axes: Axes, panel: Panel, colour: str) -> None:
    """The ratio within its range, beyond it triangles at the edge; or the difference."""
    value, error = compared(panel)
    drawn = panel.is_drawn & np.isfinite(value)
    axes.axhline(0.0 if panel.is_difference else 1.0, color=BLACK, linewidth=0.8)
    low, high = (-np.inf, np.inf) if panel.is_difference else panel.ratio_range
    inside = drawn & (value >= low) & (value <= high)
    axes.errorbar(panel.x[inside], value[inside], error[inside], fmt="o", markersize=2.5, color=colour, linewidth=0.8)
    for edge, marker, beyond in ((high, "^", drawn & (value > high)), (low, "v", drawn & (value < low))):
        if beyond.any():
            axes.scatter(panel.x[beyond], np.full(beyond.sum(), edge), color=colour, marker=marker, s=16, clip_on=False, zorder=3)
    axes.set_ylabel("difference" if panel.is_difference else "ratio", fontsize=8)
    if not panel.is_difference:
        axes.set_ylim(*panel.ratio_range)


def compared(panel: Panel) -> Points:
    """The second over the first, NaN where that is 0, or minus the first; with the error of it."""
    (truth, truth_error), (value, value_error) = panel.found
    if panel.is_difference:
        return value - truth, np.hypot(value_error, truth_error)
    known = np.where(truth != 0, truth, np.nan)
    return value / known, np.hypot(value_error / known, value * truth_error / known**2)


def table_rows(panel: Panel, **names: object) -> list[dict[str, object]]:
    """A panel's points, a row each."""
    (truth, truth_error), (value, value_error) = panel.found
    comparison = {"difference" if panel.is_difference else "ratio": compared(panel)[0]}
    columns = {"monte_carlo": truth, "monte_carlo_error": truth_error, "value": value, "error": value_error} | comparison
    return [names | {"place": float(place)} | {key: float(one[at]) for key, one in columns.items()} for at, place in enumerate(panel.x)]


def mean_and_error(values: Array) -> Points:
    """Over showers of (N, places)."""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def histogram_panel(title: str, label: str, values: Sequence[Array], edges: Array, *, is_log: bool) -> Panel:
    """Share of showers per bin, with binomial errors; what lies beyond the edges is in the outermost bins."""
    found, counts = [], []
    for side in values:
        counts.append(np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0])
        share = counts[-1] / max(len(side), 1)
        found.append((share, np.sqrt(share * (1 - share) / max(len(side), 1))))
    x, both = (edges[1:] + edges[:-1]) / 2, (found[0], found[1])
    return Panel(title, label, "share of showers", x, both, counts[0] >= FEWEST, is_log, ratio_range=HISTOGRAM_RATIO_RANGE)


def histogram_edges(values: Array) -> Array:
    """Around all but the outermost of the Monte Carlo's values; whole numbers in the middle of their bins."""
    if (values == np.round(values)).all():
        return np.arange(values.min() - 1.5, values.max() + 2.5)
    low, high = np.quantile(values, [0.002, 0.998])
    margin = 0.15 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, NUM_HISTOGRAM_BINS + 1)
