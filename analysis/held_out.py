"""What training was worth: physics distances on held-out Monte Carlo of a trained generator, an untrained one, a baseline and the floor.

    python analysis/held_out.py STUDY --files FILE [FILE ...] [--results DIR] [--trial N] [--noise-seeds 1 2 3] [--max-showers N] [--log]

Prints a table and two verdicts, writes held_out.png/.csv. What is measured, and how its standard errors: ``gan3d.generation``.
"""

from __future__ import annotations

import argparse
import sys

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREY, ORANGE
from matplotlib.figure import Figure

from gan3d.generation.estimates import QUANTITIES, Estimate
from gan3d.generation.held_out import HeldOut, measure_held_out, open_held_out
from gan3d.tracking import frames

#: Sources of showers as the table and the figure call them, with the colours of those that are drawn.
LABELS = {"trained": "trained", "untrained": "untrained", "baseline": "mean-shower baseline", "floor": "Monte Carlo floor"}
COLOURS = {"trained": BLUE, "baseline": ORANGE, "floor": GREY}


def main() -> int:
    """Measure, print and draw; 2 if the study, its trial or the files cannot be used."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", nargs="+", required=True, help="held-out shower files (paths, globs)")
    parser.add_argument("--trial", type=int, default=None, help="trial to measure; without: the best")
    parser.add_argument("--noise-seeds", type=int, nargs="+", default=[1, 2, 3], help="of the generated showers")
    parser.add_argument("--max-showers", type=int, default=2000, help="most held-out showers to use")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """Table, verdicts and figure of one trial; returns the study's run id."""
    study = frames.study(arguments.tracking_uri, arguments.study, arguments.run_id)
    trial, trained = drawing.chosen_trial(arguments, study)
    data, polar_angle = trained.settings.data, trained.settings.training.polar_angle
    showers = open_held_out(arguments.files, data, arguments.max_showers, polar_angle=polar_angle)
    measured = measure_held_out(trained, showers, noise_seeds=arguments.noise_seeds)
    seeds = f"{len(arguments.noise_seeds)} noise seed" + ("s" if len(arguments.noise_seeds) > 1 else "")
    about = f"trial {trial} after epoch {trained.epoch}, {measured.num_showers} held-out Monte Carlo showers, {seeds}"
    print(f"Study {study.name}, {about}", *table_lines(measured), *verdicts(measured), "", sep="\n")
    figure = bars_figure(measured)
    drawing.heading(figure, f"{study.name}: physics distances on held-out showers", f"{about[0].upper()}{about[1:]}. {NOTE}")
    drawing.save(arguments, "held_out", figure, table(measured))
    return study.run_id


#: How to read the figure.
NOTE = (
    "Lower is better. The mean of a source's ten bars is its shower distance. Lines: one standard error, of the finite number of held-out "
    "showers and of noise seeds combined."
)


def estimates(measured: HeldOut) -> dict[str, Estimate]:
    """The sources by name, in the order of the table."""
    return {name: getattr(measured, name) for name in LABELS}


def table(measured: HeldOut) -> pd.DataFrame:
    """A row per source and quantity."""
    parts = []
    for name, estimate in estimates(measured).items():
        columns = {"source": name, "quantity": QUANTITIES, "distance": estimate.value, "standard_error": estimate.error}
        columns |= {"standard_error_showers": estimate.shower_error, "standard_error_draws": estimate.draw_error}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def table_lines(measured: HeldOut) -> list[str]:
    """The table as text: a line per quantity, a column per source."""
    sources = estimates(measured)
    lines = [" " * 22 + "".join(f"{LABELS[name]:>24}" for name in sources)]
    for place, quantity in enumerate(QUANTITIES):
        cells = [f"{one.value[place]:.4f} ± {one.error[place]:.4f}" for one in sources.values()]
        lines.append(f"{quantity:<22}" + "".join(f"{cell:>24}" for cell in cells))
    return lines


def verdicts(measured: HeldOut) -> list[str]:
    """Where the trained generator stands, in standard errors of the difference of shower distances."""
    lines = []
    for name in ("untrained", "baseline"):
        below = measured.trained.standard_errors_below(getattr(measured, name))
        lines.append(f"trained {'below' if below > 0 else 'above'} {LABELS[name]} by {abs(below):.1f} standard errors")
    return lines


def bars_figure(measured: HeldOut) -> Figure:
    """A group of bars per part of the shower distance: what the part contributes, d / (1 + d), with its error."""
    figure, axes = plt.subplots(figsize=(11, 5.4))
    parts = QUANTITIES[1:]
    width = 0.8 / len(COLOURS)
    for number, (name, colour) in enumerate(COLOURS.items()):
        estimate: Estimate = getattr(measured, name)
        distance, error = estimate.value[1:], estimate.error[1:]
        places = np.arange(len(parts)) + (number - (len(COLOURS) - 1) / 2) * width
        label = f"{LABELS[name]}: {estimate.value[0]:.3f} ± {estimate.error[0]:.3f}"
        share = distance / (1 + distance)
        axes.bar(places, share, width, color=colour, edgecolor="white", linewidth=0.5, label=label)
        axes.errorbar(places, share, error / (1 + distance) ** 2, color=BLACK, linestyle="none", elinewidth=1.1)
    axes.set_xticks(range(len(parts)), [part.replace("_", "\n") for part in parts])
    axes.grid(visible=False, axis="x")
    axes.set_ylim(bottom=0)
    axes.set(ylabel="contribution of a distance d: d / (1 + d)")
    drawing.legend_below(figure, axes)
    return figure


if __name__ == "__main__":
    sys.exit(main())
