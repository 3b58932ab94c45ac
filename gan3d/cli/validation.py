"""`gan3d validate`: showers of any origin, or a trial's, against Monte Carlo; every number beside its floor."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from gan3d.data.paths import files_here
from gan3d.data.showers import Showers
from gan3d.generation.card import Card
from gan3d.generation.generator import Generator, place_of
from gan3d.generation.trained import load_trained
from gan3d.terminal.console import console_for
from gan3d.validation.collection import generated_like, halves, read_in_blocks
from gan3d.validation.gate import LIMIT
from gan3d.validation.loading import detector_of, is_of_trial, load
from gan3d.validation.refusals import refuse_few
from gan3d.validation.report import Known, Report, validate_showers
from gan3d.validation.sides import MOST_COMPARED

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


@dataclass(frozen=True, slots=True)
class Validated:
    """What was found."""

    report: Report
    card: Card | None
    """Of the generator, if it was one: of a trial, or of an exported file."""
    warnings: tuple[str, ...]
    """What is to be known of the reference."""


def validated(asked: Validation) -> Validated:
    """Read or generate, and judge.

    Raises:
        ConfigError: there is nothing of that name, or the generator was trained on the reference.
        DataError: a file cannot be read, or there are too few showers.
    """
    console = console_for(stderr=True)
    loaded = load(asked.what, asked.reference, asked.training, most=asked.most, most_reference=2 * asked.most)
    reference, origin = loaded.reference, loaded.origin
    card = None if isinstance(origin, Showers) else origin.card
    showers, more = (origin, None) if isinstance(origin, Showers) else made(origin, reference, asked)
    training = () if asked.is_quick else asked.training or trained_on(asked.what)
    num_x, num_y, num_layers = reference.cells.shape[1:]
    learnt = read_in_blocks(training, loaded.crop_to, like=(num_x, num_y, num_layers)) if training else None
    report = validate_showers(
        showers,
        reference,
        detector_of(asked.reference, asked.calorimeter),
        known=Known(learnt, 0.0 if card is None else card.threshold_gev, more),
        seed=asked.seed,
        is_quick=asked.is_quick,
        progress=lambda what: console.print(f"{what} ..."),
    )
    return Validated(report, card, loaded.warnings)


def made(generator: Generator, reference: Showers, asked: Validation) -> tuple[Showers, Showers | None]:
    """A generator's showers with the energies of the half that gives the floor, whatever order the reference is in, and more of them.

    Raises:
        DataError: there are too few energies.
    """
    refuse_few(len(reference), len(reference))
    places = halves(len(reference), len(reference) // 2, asked.seed)
    showers = generated_like(generator, reference.take(places.others), asked.seed)
    missing = places.theirs[: max(0, MOST_COMPARED - len(showers))]
    if asked.is_quick or len(missing) == 0:
        return showers, None
    # Other noise: showers with the same would be twins.
    return showers, generated_like(generator, reference.take(missing), asked.seed + 1)


def trained_on(what: Path) -> tuple[Path, ...]:
    """The training files of a trial, as far as they are here; none of an exported file, which does not name them."""
    if not is_of_trial(what):
        return ()
    data = load_trained(*place_of(what)).settings.data
    return files_here([*data.train, *(data.pretrain or ())])


def show_validation(asked: Validation, *, as_json: bool) -> bool:
    """Print; returns whether the showers passed."""
    found = validated(asked)
    report = found.report
    for text in found.warnings:
        console_for(stderr=True).print(text, soft_wrap=True, markup=False, highlight=False)
    if as_json:
        card = found.card
        document = {
            "what": str(asked.what),
            "settings": card and card.study_settings,
            "generator": of_card(card),
            "warnings": found.warnings,
        }
        document |= plain(report)
        typer.echo(json.dumps(document, ensure_ascii=False))
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
    tables = [gate_table(report), response_table(report), angle_table(report), profile_table(report), physics_table(report)]
    for table in (*tables, *slow_tables(report)):
        if table.row_count:
            console.print(table)
    for name, why in report.not_measured.items():
        console.print(f"{name} not measured: {why}.", soft_wrap=True, markup=False, highlight=False)
    return report.passes


def of_card(card: Card | None) -> dict[str, Any] | None:
    """Whose showers were judged: those of an exported file have the settings of its trial, and are not the trial's."""
    return None if card is None else card.model_dump(include={"format", "precision", "epoch", "parent_sha256"})


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


def angle_table(report: Report) -> Table:
    """In bins of polar angle, in mrad; empty where there are none."""
    table = Table(
        *(
            escape(name)
            for name in ("polar angle [rad]", "measured minus own, over the reference's [mrad]", "floor", "spread", "the reference's")
        )
    )
    for one in report.angles:
        difference = f"{1e3 * one.difference:+.1f} ± {1e3 * one.error:.1f}"
        others = (f"{1e3 * value:.1f}" for value in (one.floor, one.spread, one.reference_spread))
        table.add_row(f"{one.low:.2f} to {one.high:.2f}", difference, *others)
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
    table = Table(f"physics distance, version {report.physics_version}", "showers", "floor")
    for name, one in report.physics.items():
        table.add_row(name.replace("_", " "), with_error(one.value, one.error), with_error(one.floor, one.floor_error))
    return table


def slow_tables(report: Report) -> Sequence[Table]:
    """None after a quick validation."""
    if not report.distances:
        return ()
    distances = Table("", "showers", "of each kind", "floor", "of each half")
    for name, one in report.distances.items():
        texts = with_error(one.value, one.error), str(one.num_showers), with_error(one.floor, one.floor_error), str(one.num_floor)
        distances.add_row(name.replace("_", " "), *texts)
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
