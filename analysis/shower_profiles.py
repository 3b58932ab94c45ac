"""What the best trial's showers look like beside the Monte Carlo: profiles, response, resolution, spectrum, occupancy, barycentre.

    python analysis/shower_profiles.py STUDY [--results DIR] [--trial N] [--max-showers N] [--output DIR] [--log]

Writes shower_profiles.png/.csv. Every validation shower is generated again at the state of the trial's best epoch; bars are statistical
errors of one standard deviation. The observables are those of ``gan3d.physics.observables``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from drawing import BLACK, RED
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from shower_curves import MAX_ENERGY_BINS, Curve, Sample, all_curves, ratio_of, table

from gan3d.data.dataset import ShowerSet
from gan3d.generation.trained import Trained
from gan3d.tracking import frames
from gan3d.training.validate import generate_like

#: Ratios are shown up to here; points beyond sit at the edge as triangles.
RATIO_RANGE = (0.5, 1.5)


def main() -> int:
    """Draw; 2 if the study has no trial to draw."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trial", type=int, default=None, help="trial to draw; without: the best")
    parser.add_argument("--max-showers", type=int, default=2000, help="most validation showers to draw")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure and table of one trial; returns the study's run id."""
    study = frames.study(arguments.tracking_uri, arguments.study, arguments.run_id)
    trial, trained = drawing.chosen_trial(arguments, study)
    monte_carlo, generated = load_samples(trained, arguments.max_showers)
    curves = all_curves(monte_carlo, generated, trained.settings.data.readout_threshold_gev)
    figure = profiles_figure(curves)
    note = (
        f"{len(generated.cells)} generated showers with the incident energies of as many validation showers (Monte Carlo), "
        f"after epoch {trained.epoch}. Bars: one standard deviation, statistical."
    )
    drawing.heading(figure, f"{study.name}: showers of trial {trial}", note)
    drawing.save(arguments, "shower_profiles", figure, table(curves))
    return study.run_id


def load_samples(trained: Trained, max_showers: int) -> tuple[Sample, Sample]:
    """Validation showers of a trial, and the same generated from its best state.

    Raises:
        DataError: A shower file cannot be read.
    """
    settings, data = trained.settings, trained.settings.data
    limit = min(max_showers, data.max_validation_showers or max_showers)
    showers = ShowerSet.open(data.validation, max_showers=limit, grid=data.grid, crop=data.crop)
    validation = showers.read(np.arange(len(showers)))
    chunks = list(generate_like(trained.generator, trained.transform, validation, noise_seed=settings.training.seed))
    generated = Sample(torch.cat([cells for cells, _ in chunks]), torch.cat([energy for _, energy in chunks]))
    cells = torch.from_numpy(validation.cells)
    monte_carlo = torch.where(cells >= data.threshold_gev, cells, 0.0)
    return Sample(monte_carlo, torch.from_numpy(validation.incident_energy)), generated


def profiles_figure(curves: Sequence[Curve]) -> Figure:
    """Four columns of panels, each with its ratio below."""
    columns = 4
    rows = -(-len(curves) // columns)
    figure, grid = plt.subplots(2 * rows, columns, figsize=(15.5, 4.1 * rows + 0.8), height_ratios=[3, 1] * rows, squeeze=False)
    for number, curve in enumerate(curves):
        row, column = divmod(number, columns)
        upper, lower = grid[2 * row, column], grid[2 * row + 1, column]
        draw_curve(upper, curve)
        draw_ratio(lower, curve)
        lower.sharex(upper)
        upper.tick_params(labelbottom=False)
    drawing.legend_below(figure, grid[0, 0])
    return figure


def draw_curve(axes: Axes, curve: Curve) -> None:
    """Both kinds of shower with their errors."""
    is_histogram = len(curve.x) > MAX_ENERGY_BINS
    for points, colour, label in ((curve.monte_carlo, BLACK, "Monte Carlo"), (curve.generated, RED, "generated")):
        axes.errorbar(
            curve.x,
            points.value,
            points.error,
            color=colour,
            label=label,
            linewidth=1.3,
            elinewidth=1.0,
            marker="" if is_histogram else "o",
            markersize=4,
            drawstyle="steps-mid" if is_histogram else "default",
        )
    axes.set(title=curve.title, ylabel=curve.y_label)
    peaks = pd.Series([np.nanmax(points.value) for points in (curve.monte_carlo, curve.generated)])
    if curve.log:
        axes.set_yscale("log")
        # Bars of single cells reach down to 0, which has no place here.
        positive = np.concatenate([points.value[points.value > 0] for points in (curve.monte_carlo, curve.generated)])
        axes.set_ylim(bottom=0.5 * float(positive.min()))
    elif drawing.log_scale_helps(peaks):
        drawing.plain_log(axes)
    else:
        axes.set_ylim(bottom=0)


def draw_ratio(axes: Axes, curve: Curve) -> None:
    """Generated over Monte Carlo; what is out of range sits at the edge."""
    ratio, error = ratio_of(curve)
    low, high = RATIO_RANGE
    inside = (ratio >= low) & (ratio <= high)
    axes.axhline(1.0, color=BLACK, linewidth=1.0)
    axes.errorbar(curve.x[inside], ratio[inside], error[inside], color=RED, linestyle="none", marker="o", markersize=3, elinewidth=1.0)
    for edge, marker, beyond in ((high, "^", ratio > high), (low, "v", ratio < low)):
        axes.scatter(curve.x[beyond], np.full(beyond.sum(), edge), color=RED, marker=marker, s=16, clip_on=False, zorder=3)
    axes.set(xlabel=curve.x_label, ylabel="gen. / MC", ylim=RATIO_RANGE)


if __name__ == "__main__":
    sys.exit(main())
