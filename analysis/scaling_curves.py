"""How a study scales with workers: speed-up, efficiency, serial fraction, laws, where time goes; time-to-quality; a prediction.

    python analysis/scaling_curves.py STUDY [--results DIR] [--output DIR] [--timing-warmup-epochs N] [--confidence C] [--log]
        [--target METRIC VALUE] [--hold EPOCHS]
        [--fabric NAME|FILE.json] [--software FILE.json] [--workers-per-node N] [--algorithm ring|tree|hierarchical]

Writes PNG, SVG, CSV and JSON of

    scaling_curves       strong and weak side by side; the laws' parameters are in scaling_laws.csv, too
    scaling_quality      with a target (``--target``, or the study's own on a physics metric): time-to-quality beside throughput
    scaling_prediction   with a fabric: the cost model's curve for 1 to 256 workers, beside what was measured

Definitions and intervals: ``gan3d.scaling``; panels: ``scaling_panels``, ``scaling_quality``, ``scaling_prediction``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import drawing
import matplotlib.pyplot as plt
import pandas as pd
import scaling_panels as panels
import scaling_prediction as prediction
import scaling_quality as quality
import yaml
from matplotlib.figure import Figure
from matplotlib.typing import HashableList

from gan3d.scaling.draws import CONFIDENCE
from gan3d.scaling.fits import fits_by_kind, fits_table
from gan3d.scaling.laws import Fit, Law
from gan3d.scaling.speedup import MIN_BLOCKS, SEED_KEY, ScalingKind, by_kind, phase_seconds, scaling_table, steady_epochs, throughput
from gan3d.tracking import frames

#: Panels by rows, and the rows' relative heights; both kinds together have a column each.
ALONE: list[HashableList[str]] = [["speedup", "efficiency"], ["serial_fraction", "phases"]]
ROWS = {"speedup": 1.15, "efficiency": 1.0, "serial_fraction": 0.75, "phases": 1.1}


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn of one kind of scaling."""

    kind: ScalingKind
    table: pd.DataFrame
    """Rows of this kind of `scaling_table`."""
    rates: pd.DataFrame
    """Of each trial."""
    phases: pd.DataFrame
    """Seconds per epoch by world size."""
    showers: pd.Series
    """Trained on in an epoch, by world size."""
    fits: dict[Law, Fit]
    """Laws of this kind."""

    def of(self, rate: str) -> pd.DataFrame:
        """The curve of one rate."""
        return self.table[self.table["rate"] == rate]


def main() -> int:
    """Draw; 2 if the study has no scaling curve."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--timing-warmup-epochs", type=int, default=1, help="first epochs of each trial, and after a restart, left out")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE, help="of every interval")
    quality.add_options(parser)
    prediction.add_options(parser)
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figures and tables of the study; returns its run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study, epochs = frames.study(*source), frames.epochs(*source)
    blocks = block_key(study.yaml_text)
    table = scaling_table(epochs, arguments.timing_warmup_epochs, arguments.confidence, blocks)
    curves = curves_of(epochs, table, blocks, arguments)
    draw_curves(arguments, study, curves, blocks)
    target = quality.target_of(arguments, study)
    if target is not None:
        trials = frames.trials(*source)
        quality.draw(arguments, study, quality.measured(epochs, trials, table, target, blocks, arguments.confidence))
    if arguments.fabric is not None:
        training = {one.kind: one.of("training") for one in curves}
        prediction.draw(arguments, study, prediction.predictions(arguments, study, epochs, training, blocks))
    return study.run_id


def block_key(study_yaml: str) -> str:
    """The key whose values are blocks, as the study was run; studies without blocks are paired by seed."""
    study = yaml.safe_load(study_yaml) or {}
    return (study.get("sampler") or {}).get("blocks") or SEED_KEY


def curves_of(epochs: pd.DataFrame, table: pd.DataFrame, blocks: str, arguments: argparse.Namespace) -> list[Curves]:
    """Of every kind of scaling in the study."""
    warmup = arguments.timing_warmup_epochs
    epochs_of = by_kind(epochs, blocks)
    rates = {kind: throughput(rows, warmup, blocks) for kind, rows in epochs_of.items()}
    fits = fits_by_kind(rates, arguments.confidence)
    return [
        Curves(
            kind,
            table[table["kind"] == kind],
            rates[kind],
            phase_seconds(rows, warmup),
            showers_per_epoch(rows, warmup),
            {law: fit for (of, law), fit in fits.items() if of == kind},
        )
        for kind, rows in epochs_of.items()
    ]


def showers_per_epoch(epochs: pd.DataFrame, warmup_epochs: int) -> pd.Series:
    """Mean over trials of what a steady epoch trains on, by world size: the counterpart of `phase_seconds`."""
    by_trial = steady_epochs(epochs, warmup_epochs).groupby(["world_size", "trial"])["timing.num_showers"].mean()
    return by_trial.groupby(level="world_size").mean()


def draw_curves(arguments: argparse.Namespace, study: frames.StudyInfo, curves: list[Curves], blocks: str) -> None:
    """The figure of curves with its tables."""
    figure = curves_figure(curves)
    drawing.heading(figure, f"{study.name}: {study.question}", note(curves, blocks, arguments))
    laws = fits_table({one.kind: one.rates for one in curves}, arguments.confidence)
    drawing.publish(
        arguments, "scaling_curves", figure, with_phases(curves), facts(study, curves, blocks, arguments) | {"laws": rows(laws)}
    )
    file = arguments.output / "scaling_laws.csv"
    laws.to_csv(file, index=False)
    arguments.written.append(file)


def note(curves: list[Curves], blocks: str, arguments: argparse.Namespace) -> str:
    """What a reader must know of the numbers: what is fixed, the base, blocks, intervals, what was left out, laws."""
    fixed = " and ".join(f"{one.kind} scaling at {_fixed(one)}" for one in curves)
    base = int(curves[0].table["base"].iloc[0])
    number = int(min(one.table["blocks"].min() for one in curves))
    spread = f"{arguments.confidence:.0%} t-intervals on log ratios over {number} blocks paired by {blocks}; grey dots are blocks"
    spread = spread if number > 1 else "One block: no intervals"
    few = f" FEWER THAN {MIN_BLOCKS} BLOCKS: intervals are wide and lean on log-normal scatter." if number < MIN_BLOCKS else ""
    rates = " and ".join(f"{one.of('training')['throughput'].iloc[0]:.3g} showers/s ({one.kind})" for one in curves)
    return (
        f"{fixed[0].upper()}{fixed[1:]}. Base: {base} worker{'s' if base > 1 else ''}, {rates} (ratio 1 by definition). {spread}.{few} "
        f"Left out: timing warm-up epochs, {arguments.timing_warmup_epochs} per trial. "
        f"Training: without validation and checkpoint; whole epoch: with both. {laws_note(curves)}"
    )


def laws_note(curves: list[Curves]) -> str:
    """What laws were fitted, and why others say nothing."""
    fits = [fit for one in curves for fit in one.fits.values()]
    sentences = []
    if any(not fit.undetermined for fit in fits):
        sentences.append("Laws are fitted to training: \u03c3 serial fraction or contention, \u03ba coherency.")
    if reasons := dict.fromkeys(fit.undetermined.removeprefix("undetermined: ") for fit in fits if fit.undetermined):
        sentences.append(f"Undetermined: {'; '.join(reasons)}.")
    return " ".join(sentences)


def facts(study: frames.StudyInfo, curves: list[Curves], blocks: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same for a program, and what each trial measured."""
    return {
        "study": study.name,
        "question": study.question,
        "run_id": study.run_id,
        "provenance": study.provenance,
        "base_world_size": int(curves[0].table["base"].iloc[0]),
        "block_key": blocks,
        "blocks": int(min(one.table["blocks"].min() for one in curves)),
        "few_blocks": bool(max(one.table["few_blocks"].max() for one in curves)),
        "confidence": arguments.confidence,
        "timing_warmup_epochs": arguments.timing_warmup_epochs,
        "trials": [row for one in curves for row in rows(one.rates.assign(kind=one.kind))],
    }


def rows(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    """A table for JSON; NaN and infinity are null."""
    return list(json.loads(table.to_json(orient="records", double_precision=15)))


def with_phases(curves: list[Curves]) -> pd.DataFrame:
    """One row per kind, rate and world size, with the epoch's phases [s] and showers, and what the laws say of training."""
    tables = []
    for one in curves:
        sizes = one.table["world_size"].to_numpy(float)
        is_training = one.table["rate"] == "training"
        base = one.of("training")["throughput"].iloc[0]
        laws = {f"speedup_{law}": (fit.throughput(sizes) / base) for law, fit in one.fits.items()}
        known = one.phases.add_suffix("_seconds").assign(showers_per_epoch=one.showers)
        table = one.table.assign(**{name: pd.Series(values, one.table.index).where(is_training) for name, values in laws.items()})
        tables.append(table.merge(known, left_on="world_size", right_index=True, how="left"))
    return pd.concat(tables, ignore_index=True)


def curves_figure(curves: list[Curves]) -> Figure:
    """All panels: of one kind in a square, of both in two columns."""
    if len(curves) == 1:
        figure, axes = plt.subplot_mosaic(ALONE, figsize=(11.0, 8.6))
        named = [axes]
    else:
        mosaic: list[HashableList[str]] = [[f"{row} {one.kind}" for one in curves] for row in ROWS]
        figure, axes = plt.subplot_mosaic(mosaic, figsize=(11.0, 13.8), height_ratios=list(ROWS.values()))
        named = [{row: axes[f"{row} {one.kind}"] for row in ROWS} for one in curves]
    for one, panel in zip(curves, named, strict=True):
        by_rate = {rate: one.of(rate) for rate in panels.RATE_STYLES}
        panels.draw_speedup(panel["speedup"], one.kind, by_rate, one.rates)
        panels.draw_efficiency(panel["efficiency"], one.kind, by_rate)
        panels.draw_laws(panel["speedup"], panel["efficiency"], one.of("training"), one.fits)
        panels.draw_serial_fraction(panel["serial_fraction"], one.kind, by_rate)
        panels.draw_phases(panel["phases"], one.kind, one.phases, one.showers)
    drawing.legend_below(figure, named[0]["phases"], columns=5)
    return figure


def _fixed(one: Curves) -> str:
    batch = "global batch" if one.kind == "strong" else "batch per worker"
    return f"{batch} {int(one.table['fixed'].iloc[0])}"


if __name__ == "__main__":
    sys.exit(main())
