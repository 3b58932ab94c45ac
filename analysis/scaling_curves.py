"""How a study scales with workers: speed-up, efficiency, serial fraction, and where an epoch's time goes; strong and weak side by side.

    python analysis/scaling_curves.py STUDY [--results DIR] [--output DIR] [--timing-warmup-epochs N] [--confidence C] [--log]

Writes scaling_curves.png/.svg/.csv/.json. Definitions and intervals: ``gan3d.scaling.speedup``; panels: ``scaling_panels``.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

import drawing
import matplotlib.pyplot as plt
import pandas as pd
import scaling_panels as panels
import yaml
from matplotlib.figure import Figure
from matplotlib.typing import HashableList

from gan3d.scaling.speedup import CONFIDENCE, MIN_BLOCKS, SEED_KEY, ScalingKind, by_kind, phase_seconds, scaling_table, throughput
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

    def of(self, rate: str) -> pd.DataFrame:
        """The curve of one rate."""
        return self.table[self.table["rate"] == rate]


def main() -> int:
    """Draw; 2 if the study has no scaling curve."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--timing-warmup-epochs", type=int, default=1, help="first epochs of each trial, and after a restart, left out")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE, help="of every interval")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure and table of the study; returns its run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study, epochs = frames.study(*source), frames.epochs(*source)
    blocks = block_key(study.yaml_text)
    table = scaling_table(epochs, arguments.timing_warmup_epochs, arguments.confidence, blocks)
    curves = [
        Curves(
            kind,
            table[table["kind"] == kind],
            throughput(rows, arguments.timing_warmup_epochs, blocks),
            phase_seconds(rows, arguments.timing_warmup_epochs),
        )
        for kind, rows in by_kind(epochs, blocks).items()
    ]
    figure = curves_figure(curves)
    drawing.heading(figure, f"{study.name}: {study.question}", note(curves, blocks, arguments))
    drawing.publish(arguments, "scaling_curves", figure, with_phases(curves), facts(study, curves, blocks, arguments))
    return study.run_id


def block_key(study_yaml: str) -> str:
    """The key whose values are blocks, as the study was run; studies without blocks are paired by seed."""
    study = yaml.safe_load(study_yaml) or {}
    return (study.get("sampler") or {}).get("blocks") or SEED_KEY


def note(curves: list[Curves], blocks: str, arguments: argparse.Namespace) -> str:
    """What a reader must know of the numbers: what is fixed, the base, blocks, intervals, what was left out."""
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
        "Training: without validation and checkpoint; whole epoch: with both."
    )


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
        "trials": [row for one in curves for row in json.loads(one.rates.assign(kind=one.kind).to_json(orient="records"))],
    }


def with_phases(curves: list[Curves]) -> pd.DataFrame:
    """One row per kind, rate and world size, with the epoch's phases [s]."""
    return pd.concat(
        [one.table.merge(one.phases.add_suffix("_seconds"), left_on="world_size", right_index=True, how="left") for one in curves],
        ignore_index=True,
    )


def curves_figure(curves: list[Curves]) -> Figure:
    """All panels: of one kind in a square, of both in two columns."""
    if len(curves) == 1:
        figure, axes = plt.subplot_mosaic(ALONE, figsize=(11.0, 8.6))
        named = [axes]
    else:
        mosaic: list[HashableList[str]] = [[f"{row} {one.kind}" for one in curves] for row in ROWS]
        figure, axes = plt.subplot_mosaic(mosaic, figsize=(11.0, 13.6), height_ratios=list(ROWS.values()))
        named = [{row: axes[f"{row} {one.kind}"] for row in ROWS} for one in curves]
    for one, panel in zip(curves, named, strict=True):
        by_rate = {rate: one.of(rate) for rate in panels.RATE_STYLES}
        panels.draw_speedup(panel["speedup"], one.kind, by_rate, one.rates)
        panels.draw_efficiency(panel["efficiency"], one.kind, by_rate)
        panels.draw_serial_fraction(panel["serial_fraction"], one.kind, by_rate)
        panels.draw_phases(panel["phases"], one.kind, one.phases)
    drawing.legend_below(figure, named[0]["phases"], columns=5)
    return figure


def _fixed(one: Curves) -> str:
    batch = "global batch" if one.kind == "strong" else "batch per worker"
    return f"{batch} {int(one.table['fixed'].iloc[0])}"


if __name__ == "__main__":
    sys.exit(main())
