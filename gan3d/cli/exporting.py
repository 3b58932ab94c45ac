"""`gan3d export`: a trial's generator as a file for other libraries, judged before it is written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.table import Table

from gan3d.cli.generation import best_of
from gan3d.cli.outputs import refuse_taken
from gan3d.data.paths import find_files
from gan3d.errors import ConfigError, DataError
from gan3d.generation.card import FormatName, Precision
from gan3d.generation.formats.catalog import FORMATS, format_of, see_that_there_is
from gan3d.generation.formats.made import Format
from gan3d.generation.generator import Generator, place_of
from gan3d.generation.trained import load_trained
from gan3d.terminal.console import console_for
from gan3d.validation.collection import read_all
from gan3d.validation.exporting import Export, Judged, tried
from gan3d.validation.loading import detector_of
from gan3d.validation.refusals import SMALLEST_NUMBER
from gan3d.validation.seen import refuse_learnt, seen_by, warnings_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of `gan3d export`."""

    model: Path
    output: Path
    format: FormatName | None
    precision: Precision
    reference: tuple[Path, ...]
    calorimeter: str | None
    most: int
    seed: int
    may_fall_through: bool
    may_replace: bool

    def file_and_format(self) -> tuple[Path, FormatName]:
        """The output with its suffix, and the format that it or --format says.

        Raises:
            ConfigError: they say none, or not the same.
        """
        told = format_of(self.output)
        name = self.format or next((name for name, kind in FORMATS.items() if kind is told), None)
        if name is None:
            suffixes = ", ".join(f"{kind.suffix} ({name})" for name, kind in FORMATS.items())
            message = f"{self.output} does not say which format. Give --format, or a name that ends on one of {suffixes}."
            raise ConfigError(message, key="format")
        suffix = FORMATS[name].suffix
        if told not in (None, FORMATS[name]):
            message = f"{self.output} is no name of a file of {name}, which end on {suffix}."
            raise ConfigError(message, key="format")
        return (self.output if told else self.output.with_name(self.output.name + suffix)), name


def export_and_show(wanted: Wanted, *, as_json: bool) -> tuple[Judged, Path | None]:
    """Export, judge, write if it may be; returns what was found, and the file if it was written.

    Raises:
        ConfigError: there is no such trial or format, the file exists, or the trial was trained on the reference.
        DataError: the trial or the reference cannot be read, or nothing can be written.
    """
    output, name = wanted.file_and_format()
    see_that_there_is(name, wanted.precision)
    refuse_place(output, FORMATS[name], may_replace=wanted.may_replace)
    model, console = best_of(wanted.model), console_for(stderr=True)
    if format_of(model):
        message = "it is an exported generator already. Export from the trial that it was made of."
        raise ConfigError(message, where=str(model))
    parent = Generator.load(model)
    paths = wanted.reference or validated_with(model)
    seen = seen_by(model)
    refuse_learnt(paths, seen)
    warnings = warnings_of(paths, seen)
    for text in warnings:
        console.print(text, soft_wrap=True, markup=False, highlight=False)
    reference = read_all(paths, 2 * wanted.most, parent.grid if parent.card.crop else None)
    if len(reference) < 2 * SMALLEST_NUMBER:
        named = ", ".join(str(path) for path in paths)
        message = (
            f"{len(reference)} showers in {named}: the gate needs {2 * SMALLEST_NUMBER} at least. Give more Monte Carlo with --reference."
        )
        raise ConfigError(message, key="reference")
    asked = Export(model, name, wanted.precision, reference, detector_of(paths, wanted.calorimeter), wanted.seed)
    console.print(f"converting to {name}, {wanted.precision} ...")
    card, save = asked.converted()
    judged = asked.judged(card, tried(card, save), lambda what: console.print(f"{what} ..."))
    written = output if judged.passes or wanted.may_fall_through else None
    if written is not None:
        try:
            save_whole(lambda path: save(path, judged.card), written, FORMATS[name])
        except OSError as problem:
            message = f"cannot be written: {problem}"
            raise DataError(message, file=str(written)) from problem
    show(judged, written, warnings, as_json=as_json)
    return judged, written


def refuse_place(output: Path, kind: Format, *, may_replace: bool) -> None:
    """See that the files of a format may be written there, before minutes go into them.

    Raises:
        ConfigError: one is there already and may not be replaced, or is a folder; or the folder cannot be written to.
    """
    for file in kind.files(output):
        refuse_taken(file, may_replace=may_replace, option="--replace to write it anew")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        message = f"its folder cannot be made: {problem}"
        raise ConfigError(message, where=str(output)) from problem
    if not os.access(output.parent, os.W_OK):
        message = "nothing may be written to its folder. Give another one."
        raise ConfigError(message, where=str(output))


def save_whole(save: Callable[[Path], None], output: Path, kind: Format) -> None:
    """Save beside the place and put each file there when all are whole, so that what a kill cuts off replaces nothing."""
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as beside:
        made = Path(beside) / output.name
        save(made)
        for file, target in zip(kind.files(made), kind.files(output), strict=True):
            file.replace(target)


def validated_with(model: Path) -> tuple[Path, ...]:
    """The validation files of a trial.

    Raises:
        ConfigError: they are not here.
    """
    folder, state = place_of(model)
    data = load_trained(folder, state).settings.data
    try:
        return find_files(data.validation, Path.cwd())
    except DataError as problem:
        message = f"the trial's validation files are not here ({problem}). Give Monte Carlo showers with --reference."
        raise ConfigError(message, key="reference") from problem


def show(judged: Judged, written: Path | None, warnings: Sequence[str], *, as_json: bool) -> None:
    """Print what was found, and where it lies."""
    card = judged.card
    if as_json:
        found = {
            "file": None if written is None else str(written),
            "passes": judged.passes,
            "warnings": warnings,
            "difference": judged.difference,
            "card": json.loads(card.as_json()),
            "parent": json.loads(judged.parents.model_dump_json()),
        }
        typer.echo(json.dumps(found))
        return
    console, table = console_for(), Table("showers", "held against", "gate")
    named = f"{card.format}, {card.precision}"
    for one in card.verdicts:
        table.add_row(named, "Monte Carlo" if one.against == "monte_carlo" else "the trial's own", one.in_words())
    table.add_row("the trial's own", "Monte Carlo", judged.parents.in_words())
    console.print(table)
    console.print(f"With the same noise a shower's deposited energy differs by {judged.difference:.2%} (root mean square).")
    if written is None:
        text = "Nothing was written: its showers fall through the gate. With --force it is written all the same, and its card says so."
    else:
        text = f"{written} ({written.stat().st_size / 1e6:.1f} MB)" + ("" if judged.passes else ", although it falls through the gate")
    console.print(text, soft_wrap=True, markup=False, highlight=False)
