"""The verdict page's tables: one row is recommended, whatever studies call their recipes, and trials are counted beside what they say."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from verdict_records import SEEDS, gate, records, two_batches

from gan3d.verdict.answer import Answer, Asked, answer_of
from gan3d.verdict.evidence import Records

ROOT = Path(__file__).resolve().parents[1]
STAIRS: dict[str, Any] = {
    "stairs": {"default": {"training.global_batch": 16}, "best": {"training.global_batch": 32}},
    "training.seed": {"choice": [1, 2]},
}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], str]:
    """What draws the page."""
    monkeypatch.syspath_prepend(str(ROOT / "analysis"))
    module = importlib.import_module("verdict_page")
    return lambda answer: str(module.page(answer.as_document()))


def stairs(name: str, *distances: float) -> Records:
    samples = [(stair, distance, seed) for stair, distance in zip(("default", "best"), distances, strict=True) for seed in (1, 2)]
    rows = [{"stairs": stair, "training.seed": seed, "seconds": 10, "distances": [distance]} for stair, distance, seed in samples]
    return records(name, rows, STAIRS)


def rows_of(text: str, table: str) -> list[list[str]]:
    """Cells of the table's rows."""
    body = text[text.index(f'<table id="{table}"') :]
    body = body[: body.index("</table>")]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)]
    return [row for row in rows if row]


def test_one_row_is_recommended_though_two_studies_have_the_stair(page: Callable[[Answer], str]) -> None:
    text = page(answer_of([stairs("a", 0.3, 0.2), stairs("b", 0.3, 0.1)]))
    assert re.findall(r'<tr data-name="([^"]+)" class="recommended"', text) == ["b: best"]
    assert text.count('"recommended": true') == 1
    assert len(set(re.findall(r'<tr data-name="([^"]+)"', text))) == 4


def test_counts_of_trials_stand_beside_gate_and_time(page: Callable[[Answer], str]) -> None:
    search = two_batches()
    text = page(answer_of([search], [gate(search, 0, passes=True)], asked=Asked(target=0.215)))
    large, small = rows_of(text, "recipes")
    assert (large[3], large[4]) == ("2 h (3 of 3)", "not held")
    assert (small[3], small[4]) == ("not by most (1 of 3)", "not known (1 of 3)")
    assert "0 of 3 trials held against it" in text
    assert "reached by 3 of 3" in text


def test_what_was_measured_otherwise_has_a_table_of_its_own(page: Callable[[Answer], str]) -> None:
    search = two_batches()
    data = {"train": ["a.h5"], "validation": ["b.h5"], "max_validation_showers": 64}
    row = {"training.seed": 1, "training.global_batch": 16, "seconds": 10, "distances": [0.01]}
    text = page(answer_of([search, records("few", [row], SEEDS, data=data)]))
    assert [row[:3] for row in rows_of(text, "not-ranked")] == [["few 0", "0.01 (one trial)", "0.05 (no interval)"]]
    assert {row[0] for row in rows_of(text, "recipes")} == {"search 0", "search 3"}
    assert "all measured on b.h5 (all)" in text
    assert 'id="not-ranked"' not in page(answer_of([search]))
