"""Searches compared on a surface of trained GANs: python -m benchmarks.search [--seeds 50] [--write].

Each method searches again and again for one of the best 2 % of shower distances, then, with the cost of an epoch as a trade-off, for
95 % of the hypervolume that all trained GANs cover. Nothing is trained: the program's own searcher and early stopping are told what the
trainings published in benchmarks/search/surface told (`studies/search_surface.yaml`). `--write` puts the tables into README.md here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.search.compare import BEST_SHARE, VOLUME_SHARE, Distance, Found, Interval, Volume, budget, found, mean, ratio
from benchmarks.search.replay import METHODS
from benchmarks.search.surface import Surface

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- table: written by python -m benchmarks.search --write -->", "<!-- end of table -->"


def main() -> int:
    """Compare, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--surface", type=Path, default=HERE / "surface", help="folder of published frames")
    parser.add_argument("--seeds", type=int, default=50, help="searches per method")
    parser.add_argument("--write", action="store_true", help="write README.md and results.json beside the surface")
    arguments = parser.parse_args()
    surface = Surface.read(arguments.surface)
    tables = {}
    for title, question in (("distance", Distance(surface)), ("volume", Volume(surface))):
        with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
            work = partial(found, question=question, surface=surface, seeds=range(1, arguments.seeds + 1))
            tables[title] = list(pool.map(work, METHODS))
        Console().print(rich_table(TITLES[title], rows_of(tables[title], budget(surface))))
    if arguments.write:
        write(surface, tables, arguments.seeds)
    return 0


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
    page = HERE / "README.md"
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    lines = [f"{len(surface.trainings)} trainings, {seeds} searches per method; means with 95 % intervals.", ""]
    for title, methods in tables.items():
        lines += [f"### {TITLES[title]}", "", f"| {' | '.join(HEADER)} |", f"| --- |{' ---: |' * (len(HEADER) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows_of(methods, budget(surface))] + [""]
    page.write_text(head + BEGIN + "\n\n" + "\n".join(lines) + "\n" + END + tail, encoding="utf-8")
    content: dict[str, Any] = {title: [asdict(one) for one in methods] for title, methods in tables.items()}
    (HERE / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
