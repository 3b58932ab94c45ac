"""What a growing batch does to physics, by learning-rate rule, learning-rate warm-up and order of showers: the ablation of large batches.

    python analysis/large_batch.py STUDY [--target VALUE] [--hold EPOCHS] [--markdown] [--results DIR] [--output DIR] [--log]

Writes large_batch_by_showers, _by_updates, _to_target, _energies and _noise_scale (PNG, SVG, CSV, JSON each) and large_batch.md with the
tables and what is missing of an unfinished study. Definitions: ``gan3d.scaling.quality``, ``gan3d.scaling.ablation``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import drawing
import large_batch_figures as figures
import pandas as pd
import yaml
from large_batch_tables import page

from gan3d.config.problem import split
from gan3d.errors import ConfigError
from gan3d.records import METRICS
from gan3d.scaling.ablation import GRID, RANKS, REFERENCE, curves, in_grid_order, missing_trials, noise_scales, shared, with_settings
from gan3d.scaling.quality import Target, quality_note, quality_summary, time_to_quality
from gan3d.scaling.speedup import SEED_KEY
from gan3d.tracking import frames

LOW, HIGH = "physics.shower_distance_low_energy", "physics.shower_distance_high_energy"


@dataclass(frozen=True, slots=True)
class Ablation:
    """All that is drawn: of epochs and of trials with recipes that share a training repeated, and what is not there yet."""

    study: frames.StudyInfo
    target: Target
    metrics: tuple[str, ...]
    epochs: pd.DataFrame
    trials: pd.DataFrame
    missing: pd.DataFrame

    @property
    def note(self) -> str:
        """For every figure."""
        seeds = len(self.trials[SEED_KEY].unique())
        state = f" Unfinished: {len(self.missing)} trials are missing." if len(self.missing) else ""
        return f"Virtual ranks: one worker imitates them one after the other. {seeds} seeds.{state}"


def main() -> int:
    """Draw; 2 if the study is no such ablation."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--target", type=float, default=None, help="value that counts as reached; without: the study's objective.target")
    parser.add_argument("--hold", type=int, default=2, help="epochs in a row that have to be at the target")
    parser.add_argument("--markdown", action="store_true", help="print the tables, too")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """All figures and tables; returns the study's run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study, trials, epochs = frames.study(*source), frames.trials(*source), frames.epochs(*source)
    ablation = ablation_of(study, trials, epochs, target_of(arguments, study))
    draw_ablation(arguments, ablation)
    return study.run_id


def target_of(arguments: argparse.Namespace, study: frames.StudyInfo) -> Target:
    """What is to be reached: as asked here, or by the study.

    Raises:
        ConfigError: Neither says.
    """
    value = study.objective_target if arguments.target is None else arguments.target
    if value is None:
        message = f"study {study.name!r} has no target, so there is no time to it. Give --target VALUE of {study.objective_metric}."
        raise ConfigError(message, key="objective.target")
    return Target(study.objective_metric, value, study.objective_direction, arguments.hold)


def ablation_of(study: frames.StudyInfo, trials: pd.DataFrame, epochs: pd.DataFrame, target: Target) -> Ablation:
    """Put together what was measured.

    Raises:
        ConfigError: Nothing is, or all trials have as many virtual ranks.
    """
    if epochs.empty:
        message = f"study {study.name!r} has {len(trials)} trials and no epoch yet: nothing to draw."
        raise ConfigError(message)
    settings = settings_of(study.yaml_text)
    if RANKS not in epochs or len(epochs[RANKS].unique()) < 2:
        message = f"study {study.name!r} is no ablation of large batches: {RANKS} does not differ between its trials."
        raise ConfigError(message, key=RANKS)
    metrics = tuple(dict.fromkeys([target.metric, *(name for name in (LOW, HIGH) if epochs[name].notna().any())]))
    reached = time_to_quality(epochs, target, metrics[1:], trials)
    ablated = shared(with_settings(reached, settings))
    drawn = shared(with_settings(epochs, settings))
    return Ablation(study, target, metrics, drawn, ablated, missing_trials(ablated, planned_samples(study, settings)))


def settings_of(yaml_text: str) -> dict[str, Any]:
    """The study's own value of every key of the grid, for what was not sampled."""
    written = yaml.safe_load(yaml_text) or {}
    found = {}
    for key in (*GRID, REFERENCE, SEED_KEY):
        node = written
        for part in split(key):
            node = node.get(part) if isinstance(node, Mapping) else None
        found[key] = node
    return found


def planned_samples(study: frames.StudyInfo, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Values of the search space by key, as samples that differ in one key: what an unfinished study will yet train."""
    written = (yaml.safe_load(study.yaml_text) or {}).get("search_space") or {}
    ranges = {key: one["choice"] for key, one in written.items() if key in settings and isinstance(one, Mapping) and "choice" in one}
    return [{key: value} for key, values in ranges.items() for value in values]


def draw_ablation(arguments: argparse.Namespace, ablation: Ablation) -> None:
    """Every figure with its table, and the page of tables."""
    facts = {
        "study": ablation.study.name,
        "target": {"metric": ablation.target.metric, "value": ablation.target.value, "hold": ablation.target.hold},
        "provenance": ablation.study.provenance,
        "missing": ablation.missing.to_dict("records"),
    }
    title = f"{ablation.study.name}: {ablation.study.question}"
    floors = {name: float(ablation.epochs[f"{name}_floor"].mean()) for name in ablation.metrics if f"{name}_floor" in METRICS}
    lines = curves(ablation.epochs, ablation.metrics)
    for axis in ("showers", "updates"):
        figure = figures.curves_figure(lines, axis, ablation.target, floors)
        drawing.heading(figure, title, f"{ablation.note} Lines: mean over seeds; bands: least to most. Dotted: floor; dashed: target.")
        drawing.publish(arguments, f"large_batch_by_{axis}", figure, lines, facts)
    summary = in_grid_order(quality_summary(ablation.trials, GRID))
    figure = figures.target_figure(ablation.trials, summary)
    drawing.heading(figure, title, f"{ablation.note} {quality_note(ablation.target)} Small: a seed; large: median, misses as infinite.")
    drawing.publish(arguments, "large_batch_to_target", figure, summary, facts)
    figure, finals = figures.energies_figure(ablation.trials, ablation.metrics, floors)
    drawing.heading(figure, title, f"{ablation.note} Mean of the last 3 epochs. Small: a seed; large: mean of seeds. Dotted: floor.")
    drawing.publish(arguments, "large_batch_energies", figure, finals, facts | {"floors": floors})
    scales = noise_scales(ablation.epochs[~ablation.epochs["shared"]])
    if len(scales):
        figure = figures.noise_figure(scales, ablation.trials)
        note = "Thin: a recipe, mean over seeds; thick: geometric mean of recipes. Dashed: the global batch of the ranks in this colour."
        drawing.heading(
            figure, title, f"{ablation.note} {note} With the seed's order ranks share their showers and differ by less than all noise."
        )
        drawing.publish(arguments, "large_batch_noise_scale", figure, scales, facts)
    write_page(arguments, page(ablation.trials, summary, ablation.missing, ablation.target, ablation.metrics, floors))


def write_page(arguments: argparse.Namespace, text: str) -> None:
    """The tables as Markdown in a file and, if asked for, on the screen."""
    file = arguments.output / "large_batch.md"
    file.write_text(text, encoding="utf-8")
    arguments.written.append(file)
    if arguments.markdown:
        print(text)


if __name__ == "__main__":
    sys.exit(main())
