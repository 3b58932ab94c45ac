"""The whole page in a browser: a scaling curve, a predicted one, the fastest on so many nodes, timings, exported generators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page
from test_verdict_teams import teams
from verdict_pages import IN_A_BROWSER, opened, page_of
from verdict_records import gate, two_batches

from gan3d.verdict.answer import Answer, Asked, answer_of
from gan3d.verdict.teams import Curve, TeamSize

pytestmark = [IN_A_BROWSER, pytest.mark.timeout(300)]

PHONE = 390
#: What would end a script, or begin one in it that its own end does not close.
HOSTILE = "<!--<script>.onnx"
ROW: dict[str, Any] = {"model": HOSTILE, "format": "onnx", "precision": "int8", "threads": 1, "batch": 1, "mean_ms": 1.5, "spread_ms": 0.1}
ROW |= {"median_ms": 1.5, "peak_memory_mb": 321.0, "speed_up": 467.0}
SEED = {"geant4_seconds": 17.0, "3dgan_seconds": 0.007, "batch": 128, "cores": 56, "machine": "two Platinums", "energy_gev": [10, 500]}
TIMING: dict[str, Any] = {"machine": {"processor": "A </script> processor", "cores": 2}, "energy_gev": [10, 100], "rows": [ROW]}
TIMING |= {"monte_carlo_seconds": 0.7, "monte_carlo_machine": "A Xeon", "seed": SEED}
FILE = "results/of/a/study/with/a/rather/long/path/generator_that_was_exported_in_eight_bits.onnx"


def everything() -> Answer:
    """All that a page can have; one trial has no cost."""
    search = two_batches()
    search.trials.loc[0, ["core_hours", "kwh"]] = float("nan")
    placed = replace(teams(1, 2, 4), nodes={0: 1, 1: 1, 2: 2, 3: 1, 4: 1, 5: 2})
    exported = replace(gate(search, 3, passes=True), format="onnx", precision="int8", what=FILE)
    gates = [gate(search, number, passes=number != 5) for number in (3, 4, 5)]
    sizes = (TeamSize(1, *[1.0] * 6, 3, 1), *(TeamSize(n, 0.9 * n, 0.8 * n, 0.95 * n, 0.9, 0.8, 0.95, 3, n) for n in (8, 64)))
    predicted = Curve("teams", "strong", 16, 0, sizes, predicted_on="25GbE")
    return answer_of([replace(search, nodes=dict.fromkeys(range(6), 1)), placed], [*gates, exported], [TIMING], Asked(0.22), [predicted])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, list[str]]]:
    with opened(page_of(everything()), tmp_path_factory.mktemp("rendered"), width=PHONE) as found:
        yield found


def cells(page: Page, table: str) -> list[list[str]]:
    """Of its rows, without its head."""
    found: list[list[str]] = page.locator(f"#{table} tr").evaluate_all("rows => rows.map(row => [...row.cells].map(one => one.innerText))")
    return found[1:]


def test_all_is_drawn_without_an_error(drawn: tuple[Page, list[str]]) -> None:
    page, problems = drawn
    for name in ("recipes", "scaling", "generation"):
        assert page.locator(f"#{name}-plot .main-svg").count() > 0
    curves = page.evaluate("document.getElementById('scaling-plot').data.map(one => [one.name, one.x, one.line.dash])")
    assert [name for name, *_ in curves] == ["teams, strong", "teams, strong, predicted on 25GbE", "ideal"]
    assert curves[0][1:] == [[1, 2, 4], "solid"]
    assert curves[1][1:] == [[1, 8, 64], "dash"]
    assert problems == []


def test_tables_say_what_is_fastest_and_what_was_exported(drawn: tuple[Page, list[str]]) -> None:
    page, _ = drawn
    fastest = cells(page, "fastest")
    assert [row[0] for row in fastest] == [
        *("1 node", "2 nodes", "8 nodes", "64 nodes"),
        *("1 worker", "2 workers", "4 workers", "8 workers", "64 workers"),
    ]
    assert [row[1] for row in fastest if row[0] == "2 nodes"] == ["4 workers on 2 nodes"]
    assert {row[5].partition(" ")[0] for row in fastest} == {"measured:", "scaled", "predicted"}
    ((what, form, _, verdict, _),) = cells(page, "exported")
    assert (what, form) == (FILE, "onnx, int8")
    assert verdict.startswith("passes")
    assert HOSTILE in page.evaluate("document.getElementById('generation-plot').data[0].name")


def test_a_filter_leaves_what_passes(drawn: tuple[Page, list[str]]) -> None:
    page, problems = drawn
    shown = page.locator("#recipes tbody tr:not([hidden])")
    assert shown.count() == 2
    page.fill("#most", "1")
    assert shown.count() == 1
    page.check("#passing")
    assert shown.count() == 0
    page.uncheck("#passing")
    page.fill("#most", "")
    assert shown.count() == 2
    assert problems == []


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_nothing_is_wider_than_the_screen(drawn: tuple[Page, list[str]], width: int) -> None:
    page, problems = drawn
    page.set_viewport_size({"width": width, "height": 844})
    page.wait_for_function(
        "limit => [...document.querySelectorAll('.plot .main-svg')].every(one => one.getBoundingClientRect().right <= limit)", arg=width
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """limit => [...document.querySelectorAll("body *")]
          .filter(one => !one.closest("script, svg, .wide > *") && one.getClientRects().length)
          .filter(one => one.getBoundingClientRect().right > limit + 0.5).map(one => one.tagName + one.id)""",
        width,
    )
    assert outside == []
    assert problems == []
