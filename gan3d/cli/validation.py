"""`gan3d validate`: showers of any origin, or a trial's, against Monte Carlo; every number beside its floor."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from gan3d.data.paths import find_files
from gan3d.data.shower_file import open_shower_file
from gan3d.errors import ConfigError, DataError
from gan3d.generation.formats.catalog import format_of
from gan3d.generation.generator import Generator
from gan3d.generation.trained import load_trained
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.terminal.console import console_for
from gan3d.training.checkpoint import TrialFolder
from gan3d.validation.collection import generated_like, halves, read_all, read_in_blocks
from gan3d.validation.detector import Detector
from gan3d.validation.gate import LIMIT
from gan3d.validation.report import Report, refuse_few, validate_showers
from gan3d.validation.seen import Seen, refuse_learnt, seen_by, warnings_of

#: Lines of the gate, and of separation powers, on a terminal; the JSON document has them all.
NUM_LINES = 8


@dataclass(frozen=True, slots=True)
class Validation:
    """The options of `gan3d validate`."""

    what: Path
    reference: tuple[Path, ...]
    training: tuple[Path, ...]
    calorimeter: str | None
    most: int
    seed: int
    is_quick: bool


def validated(asked: Validation) -> tuple[Report, str | None]:
    """Read or generate, and judge; returns also the digest of the settings of the trial whose generator it was, if it was one.

    Raises:
        ConfigError: there is nothing of that name, or the generator was trained on the reference.
        DataError: a file cannot be read, or there are too few showers.
    """
    console, settings, threshold_gev = console_for(stderr=True), None, 0.0
    refuse_learnt(asked.reference, seen_in(asked.what), asked.training)
    if asked.what.is_dir() or format_of(asked.what):
        generator = Generator.load(asked.what)
        settings, threshold_gev = generator.card.study_settings, generator.card.threshold_gev
        crop_to = generator.grid if generator.card.crop else None
        reference = read_all(asked.reference, 2 * asked.most, crop_to)
        refuse_few(len(reference), len(reference))
        # Whatever order the reference is in: the energies of those that give the floor.
        others = reference.take(halves(len(reference), len(reference) // 2, asked.seed).others)
        showers, training = generated_like(generator, others, asked.seed), asked.training or trained_on(asked.what)
    elif asked.what.is_file():
        crop_to, training = None, asked.training
        reference, showers = read_all(asked.reference, 2 * asked.most), read_all([asked.what], asked.most)
    else:
        message = "there is no such file and no such folder. Name a file of showers, the folder of a trial, or an exported generator."
        raise ConfigError(message, where=str(asked.what))
    layout = open_shower_file(asked.reference[0]).layout
    detector = Detector.told_by(layout) if asked.calorimeter is None else Detector.of(calorimeter(asked.calorimeter))
    num_x, num_y, num_layers = reference.cells.shape[1:]
    report = validate_showers(
        showers,
        reference,
        detector,
        training=read_in_blocks(training, crop_to, like=(num_x, num_y, num_layers)) if training and not asked.is_quick else None,
        threshold_gev=threshold_gev,
        seed=asked.seed,
        is_quick=asked.is_quick,
        progress=lambda what: console.print(f"{what} ..."),
    )
    return report, settings


def seen_in(what: Path) -> Seen:
    """The shower files of a trial; none of an exported file, nor of showers, which do not name them."""
    return seen_by(what) if what.is_dir() else {}


def trained_on(what: Path) -> tuple[Path, ...]:
    """The training files of a trial, as far as they are here; none of an exported file, which does not name them."""
    if not what.is_dir():
        return ()
    try:
        return find_files(load_trained(TrialFolder(what)).settings.data.train, Path.cwd())
    except DataError:
        return ()


def show_validation(asked: Validation, *, as_json: bool) -> bool:
    """Print; returns whether the showers passed."""
    report, settings = validated(asked)
    warnings = warnings_of(asked.reference, seen_in(asked.what))
    for text in warnings:
        console_for(stderr=True).print(text, soft_wrap=True, markup=False, highlight=False)
    if as_json:
        found = {"what": str(asked.what), "settings": settings, "warnings": warnings} | plain(report)
        typer.echo(json.dumps(found, ensure_ascii=False))
        return report.passes
    console = console_for()
    verdict = (
        "pass" if report.passes else f"do not pass: {sum(one.is_flagged for one in report.findings)} of {len(report.findings)} numbers"
    )
    console.print(
        f"{report.num_showers} showers {verdict} the gate of {LIMIT:g} standard deviations ({report.num_judged} against as many of"
        f" {report.num_reference})",
        soft_wrap=True,
    )
    for table in (gate_table(report), response_table(report), profile_table(report), physics_table(report), *slow_tables(report)):
        console.print(table)
    for name, why in report.not_measured.items():
        console.print(f"{name} not measured: {why}.", soft_wrap=True, markup=False, highlight=False)
    return report.passes


def gate_table(report: Report) -> Table:
    """The worst of the gate's numbers."""
    table = Table("gate, worst first", "value", "floor", "standard deviations")
    for one in report.findings[:NUM_LINES]:
        table.add_row(one.name, f"{one.value:.4f}", f"{one.floor_mean:.4f} ± {one.floor_spread:.4f}", f"{one.deviations:.1f}")
    return table


def response_table(report: Report) -> Table:
    """In bins of incident energy."""
    table = Table("incident energy [GeV]", "response over the reference's, minus 1 [%]", "floor [%]")
    for one in report.response:
        difference = f"{100 * one.difference:+.2f} ± {100 * one.error:.2f}"
        table.add_row(f"{one.low_gev:.0f} to {one.high_gev:.0f}", difference, f"{100 * one.floor:.2f}")
    return table


def profile_table(report: Report) -> Table:
    """Along each axis."""
    table = Table("profile, furthest off", "share of the energy [%]", "over the reference's, minus 1 [%]", "floor [%]")
    for one in report.profiles:
        deviation = f"{100 * one.deviation:+.1f} ± {100 * one.error:.1f}"
        table.add_row(f"{one.axis} {one.place}", f"{100 * one.share:.1f}", deviation, f"{100 * one.floor:.1f}")
    return table


def physics_table(report: Report) -> Table:
    """The ten distances and their mean, as training knows them."""
    table = Table("physics distance", "showers", "floor")
    for name, one in report.physics.items():
        table.add_row(name.replace("_", " "), with_error(one.value, one.error), with_error(one.floor, one.floor_error))
    return table


def slow_tables(report: Report) -> Sequence[Table]:
    """None after a quick validation."""
    if not report.distances:
        return ()
    distances = Table("", "showers", "floor")
    for name, one in report.distances.items():
        distances.add_row(name.replace("_", " "), with_error(one.value, one.error), with_error(one.floor, one.floor_error))
    powers = Table("separation power, largest first", "showers", "floor")
    ordered = sorted(report.separation_powers.items(), key=lambda entry: -entry[1][0])
    for name, (value, floor) in ordered[:NUM_LINES]:
        powers.add_row(name, f"{value:.4f}", f"{floor:.4f}")
    return distances, powers


def with_error(value: float, error: float) -> str:
    """As text."""
    if math.isnan(value):
        return "not measured"
    return f"{value:.4f}" if math.isnan(error) else f"{value:.4f} ± {error:.4f}"


def plain(report: Report) -> dict[str, Any]:
    """As JSON has it: no number that JSON has not."""
    found = asdict(report) | {"passes": report.passes}
    found["findings"] = [asdict(one) | {"deviations": one.deviations, "is_flagged": one.is_flagged} for one in report.findings]
    cleaned: dict[str, Any] = json.loads(json.dumps(found), parse_constant=lambda _name: None)
    return cleaned
