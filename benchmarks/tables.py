"""Rows as a table, and the recorded results as the text of README.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.harness import Row

#: What is between these lines of README.md is written by the command.
BEGIN, END = "<!-- results: written by python -m benchmarks.run -->", "<!-- end of results -->"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table's texts: one line per case and variant, one column per unit."""

    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Grid:
        """Medians with their extremes, in the order in which they came."""
        cells: dict[tuple[str, str], dict[str, Row]] = {}
        for row in rows:
            cells.setdefault((row.case, row.variant), {})[row.unit] = row
        units = tuple(dict.fromkeys(unit for line in cells.values() for unit in line))
        lines = [(*names, *(figure(line.get(unit)) for unit in units), rounds(line.values())) for names, line in cells.items()]
        return cls(("case", "variant", *units, "rounds"), tuple(lines))


def figure(row: Row | None) -> str:
    """Median (lowest-highest); only the figure where it was measured once."""
    if row is None:
        return ""
    if row.rounds == 1:
        return short(row.value)
    return f"{short(row.value)} ({short(row.lowest)}-{short(row.highest)})"


def short(value: float) -> str:
    """Three significant digits, none of them lost before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def rounds(rows: Iterable[Row]) -> str:
    """How often a line's figures were measured."""
    return "/".join(str(number) for number in dict.fromkeys(row.rounds for row in rows))


def rich_table(title: str, rows: Sequence[Row]) -> Table:
    """For a terminal."""
    grid = Grid.of(rows)
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(grid.header):
        table.add_column(name, justify="left" if number < 2 else "right")
    for line in grid.lines:
        table.add_row(*line)
    return table


def markdown(results: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """One section per recorded benchmark, in the order of ``titles`` (name to what it measures)."""
    return "\n".join(line for name, title in titles.items() if name in results for line in _section(name, title, results[name]))


def _section(name: str, title: str, result: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {name}", "", title, "", _conditions(result), "")
    grid = Grid.of(Row(**row) for row in result["rows"])
    yield _line(grid.header)
    yield _line(["---"] * 2 + ["---:"] * (len(grid.header) - 2))
    yield from map(_line, grid.lines)
    yield ""


def _conditions(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    cores = machine.get("usable_cores", machine["logical_cores"])
    hardware = f"{machine['cpu']}, {cores} cores, {machine['memory_gib']} GiB, {machine['capability']}"
    return f"{result['date']}, commit {result['commit']}; {hardware}; Python {machine['python']}, torch {machine['torch']}."


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replaced(text: str, between: str) -> str:
    """``text`` with ``between`` between the markers.

    Raises:
        ValueError: a marker is not there.
    """
    head, _, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        message = f"no {BEGIN} followed by {END}"
        raise ValueError(message)
    return f"{head}{BEGIN}\n\n{between}\n{END}{tail}"
