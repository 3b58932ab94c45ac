"""Searches compared on a surface of trained GANs: python -m benchmarks.search [--seeds 50] [--write].

Each method searches again and again for one of the best 2 % of shower distances, then, with the cost of an epoch as a trade-off, for
95 % of the hypervolume that all trained GANs cover. Nothing is trained: the program's own searcher and early stopping are told what the
trainings published in benchmarks/search/surface told (`studies/search_surface.yaml`). `--write` puts the tables into README.md here.

With `--held-out` the question is one of the best 2 % of each of the ten distances that the shower distance is the mean of, by which nothing
about the search was chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.search.compare import BEST_SHARE, VOLUME_SHARE, Distance, Found, Interval, Volume, budget, mean, ratio, seconds_of
from benchmarks.search.replay import METHODS
from benchmarks.search.surface import Surface
from gan3d.physics.distance import DISTANCES

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- table: written by python -m benchmarks.search --write -->", "<!-- end of table -->"


BEGIN_HELD_OUT, END_HELD_OUT = "<!-- held out: written by python -m benchmarks.search --held-out --write -->", "<!-- end of held out -->"
#: The distances whose mean the shower distance is.
HELD_OUT = tuple(f"physics.{name}" for name in DISTANCES)
#: What the aims are about, and TPE alone.
METHODS_HELD_OUT = ("random + ASHA", "random", "TPE", "TPE + ASHA")
HEADER_HELD_OUT = ("distance", *(f"of {method}'s" for method in METHODS_HELD_OUT if method != "TPE + ASHA"))


def main() -> int:
    """Compare, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--surface", type=Path, default=HERE / "surface", help="folder of published frames")
    parser.add_argument("--seeds", type=int, default=50, help="searches per method")
    parser.add_argument("--held-out", action="store_true", help="search for each of the ten distances, by four methods, instead")
    parser.add_argument("--write", action="store_true", help="write README.md and results.json beside the surface")
    arguments = parser.parse_args()
    if arguments.held_out:
        held_out(arguments)
        return 0
    surface = Surface.read(arguments.surface)
    tables = {}
    for title, question in (("distance", Distance(surface)), ("volume", Volume(surface))):
        tables[title] = searched(surface, question, arguments.seeds, title)
        Console().print(rich_table(TITLES[title], rows_of(tables[title], budget(surface))))
    if arguments.write:
        write(surface, tables, arguments.seeds)
    return 0


def held_out(arguments: argparse.Namespace) -> None:
    """How TPE + ASHA does where nothing was chosen by what it found: one line per distance, and all together."""
    found: dict[str, list[Found]] = {}
    for metric in HELD_OUT:
        surface = Surface.read(arguments.surface, metric)
        found[metric] = searched(surface, Distance(surface), arguments.seeds, metric, METHODS_HELD_OUT)
    most = budget(Surface.read(arguments.surface))
    rows = [(metric.removeprefix("physics."), *ratios(methods, most)) for metric, methods in found.items()]
    logs = np.array([[np.log(ratio(*pair, most).value) for pair in pairs(methods)] for methods in found.values()])
    rows.append(
        (
            "geometric mean (of the ten)",
            *(
                f"{np.exp(column.mean()):.2f} ({better} of {len(logs)} below 1)"
                for column, better in zip(logs.T, (logs < 0).sum(axis=0), strict=True)
            ),
        )
    )
    table = Table(*HEADER_HELD_OUT, title="TPE + ASHA's core-seconds to one of the best 2 %", title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if arguments.write:
        lines = [f"{arguments.seeds} searches per method and distance; ratios of means with 95 % intervals.", ""]
        lines += [f"| {' | '.join(HEADER_HELD_OUT)} |", f"| --- |{' ---: |' * (len(HEADER_HELD_OUT) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        put_into_page("\n".join(lines), BEGIN_HELD_OUT, END_HELD_OUT)


def pairs(methods: list[Found]) -> list[tuple[Found, Found]]:
    """TPE + ASHA with each of the methods that it is compared with."""
    by_name = {one.method: one for one in methods}
    return [(by_name["TPE + ASHA"], by_name[other]) for other in METHODS_HELD_OUT if other != "TPE + ASHA"]


def ratios(methods: list[Found], most: float) -> list[str]:
    """As text."""
    return [text(ratio(*pair, most), 2) for pair in pairs(methods)]


def put_into_page(content: str, begin: str, end: str) -> None:
    """Between two lines of README.md."""
    page = HERE / "README.md"
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{head}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def searched(
    surface: Surface, question: Distance | Volume, num_seeds: int, title: str, methods: Sequence[str] = tuple(METHODS)
) -> list[Found]:
    """All searches of these methods, side by side on the machine's cores."""
    asked = list(product(methods, range(1, num_seeds + 1)))
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        answers = pool.map(partial(seconds_of, question=question, surface=surface), asked)
        told = list(track(answers, description=title, total=len(asked), console=Console(stderr=True)))
    seconds = dict(zip(asked, told, strict=True))
    return [Found(method, tuple(seconds[one] for one in asked if one[0] == method)) for method in methods]


TITLES = {
    "distance": f"core-seconds to one of the best {BEST_SHARE:.0%} of shower distances",
    "volume": f"core-seconds to {VOLUME_SHARE:.0%} of the hypervolume of distance and cost of an epoch",
}
HEADER = ("method", "mean core-seconds", "never", "of random + ASHA's", "of random's")


def rows_of(methods: list[Found], most: float) -> list[tuple[str, ...]]:
    """A line of text per method."""
    by_name = {one.method: one for one in methods}
    return [
        (
            one.method,
            text(mean(one, most), 0),
            f"{one.num_never} of {len(one.core_seconds)}",
            text(ratio(one, by_name["random + ASHA"], most), 2),
            text(ratio(one, by_name["random"], most), 2),
        )
        for one in methods
    ]


def text(one: Interval, digits: int) -> str:
    """An estimate with its interval."""
    return f"{one.value:,.{digits}f} ({one.low:,.{digits}f}-{one.high:,.{digits}f})"


def rich_table(title: str, rows: list[tuple[str, ...]]) -> Table:
    """For a terminal."""
    table = Table(*HEADER, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def write(surface: Surface, tables: dict[str, list[Found]], seeds: int) -> None:
    """The tables into README.md, every search into results.json."""
    lines = [f"{len(surface.trainings)} trainings, {seeds} searches per method; means with 95 % intervals.", ""]
    for title, methods in tables.items():
        lines += [f"### {TITLES[title]}", "", f"| {' | '.join(HEADER)} |", f"| --- |{' ---: |' * (len(HEADER) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows_of(methods, budget(surface))] + [""]
    put_into_page("\n".join(lines).rstrip(), BEGIN, END)
    content: dict[str, Any] = {title: [asdict(one) for one in methods] for title, methods in tables.items()}
    (HERE / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
