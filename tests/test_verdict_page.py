"""The verdict page in a browser: it draws without a network, filters, and fits a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAME = "beyond_the_seed"
PUBLISHED = ("--tracking-uri", str(ROOT / "studies" / "published" / NAME))

IN_A_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

pytestmark = pytest.mark.timeout(300)


def run(*arguments: str, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "analysis" / "verdict.py"), *arguments, "--output", str(output)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=200, cwd=output)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a search and its confirmation, with timings."""
    output = tmp_path_factory.mktemp("verdict")
    row = {"format": "onnx", "precision": "int8", "threads": 1, "mean_ms": 1.5, "spread_ms": 0.1, "median_ms": 1.5}
    rows = [row | {"batch": batch, "repeats": 10, "peak_memory_mb": 321.0, "speed_up": 467.0} for batch in (1, 128)]
    rows += [one | {"threads": 2} for one in rows]
    seed = {"geant4_seconds": 17.0, "3dgan_seconds": 0.007, "batch": 128, "cores": 56, "machine": "two Platinums", "energy_gev": [10, 500]}
    timing = {"energy_gev": [10, 100], "monte_carlo_seconds": 0.7, "monte_carlo_machine": "A Xeon", "seed": seed, "rows": rows}
    for number, processor in enumerate(("A </script> processor", "Another processor")):
        machine = {"processor": processor, "cores": 2, "system": "Linux"}
        own = [one | {"model": f"results/study_{number}/trials/0003"} for one in rows]
        (output / f"times{number}.json").write_text(json.dumps(timing | {"machine": machine, "rows": own}))
    places = [str(ROOT / "studies" / "published" / name) for name in (NAME, f"{NAME}_confirmation")]
    uris = [word for place in places for word in ("--tracking-uri", place)]
    done = run(NAME, f"{NAME}_confirmation", *uris, "--generation", "times0.json", "times1.json", output=output)
    assert done.returncode == 0, done.stderr
    sentence, *files = done.stdout.splitlines()
    assert "shower distance" in sentence
    assert files == [str(output / "verdict.html"), str(output / "verdict.json")]
    return output


def test_page_and_document_say_the_same(folder: Path) -> None:
    document, page = json.loads((folder / "verdict.json").read_text()), (folder / "verdict.html").read_text()
    assert document["recommended"]["name"] == "best"
    assert f"<strong>{document['recommended']['name']}</strong>" in page
    for text in document["not_measured"]:
        assert text.split("(")[0].strip()[:40] in page.replace("&#39;", "'")
    own = page[: page.index("<script>/")] + page[page.index('<script type="application/json"') :]
    assert 'src="http' not in own
    assert 'href="http' not in own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "there is no database"),
        ((NAME, "--tracking-uri", "a", "--tracking-uri", "b"), "2 tracking URIs for 1 studies"),
        ((NAME, *PUBLISHED, "--validation", "none.json"), "cannot be read"),
        ((NAME, *PUBLISHED, "--validation", "a.json"), "a.json: it is not what gan3d validate TRIAL --json prints: "),
        ((NAME, *PUBLISHED, "--generation", "b.json"), "b.json: it is not what gan3d benchmark generation --output writes: "),
    ],
)
def test_what_cannot_be_answered_ends_with_two(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "a.json").write_text('{"findings": [], "distances": [], "settings": "a"}')
    (tmp_path / "b.json").write_text('{"machine": {}, "rows": [{}], "monte_carlo_seconds": 1}')
    done = run(*arguments, output=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert message in done.stderr.replace("\n", " ")
    assert not (tmp_path / "verdict.html").exists()


def test_an_output_that_cannot_be_written_is_told_without_a_traceback(folder: Path) -> None:
    asked = (NAME, *PUBLISHED)
    for output, problem in ((folder / "times0.json", "File exists"), (folder / "times0.json" / "verdict", "Not a directory")):
        command = [sys.executable, str(ROOT / "analysis" / "verdict.py"), *asked, "--output", str(output)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"{output}: cannot be written: {problem}\n"


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[tuple[Page, list[str]]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else problems.append(request.url))
        page.goto((folder / "verdict.html").as_uri())
        page.wait_for_selector("#recipes-plot .main-svg")
        yield page, problems
        browser.close()


@IN_A_BROWSER
def test_it_draws_without_an_error_and_asks_nobody(opened: tuple[Page, list[str]]) -> None:
    page, problems = opened
    assert page.locator("#recipes-plot .scatterlayer .trace").count() == 3
    assert page.locator("#generation-plot .main-svg").count() > 0
    assert problems == []


def test_speed_ups_stand_beside_both_machines(folder: Path) -> None:
    page = (folder / "verdict.html").read_text()
    table = page[page.index('class="speed-ups"') :]
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in body.split("<tr>")[1:]]
    ours = ["onnx, int8", "1", "1", "1.5 ± 0.1", "321", "467", "A &lt;/script&gt; processor", "A Xeon: 0.7 s on one core, 55 GeV"]
    assert rows[0][1:] == ours
    assert [row[0] for row in rows[:8]] == ["study_0/trials/0003"] * 4 + ["study_1/trials/0003"] * 4, "trials of two studies"
    assert [row[7] for row in rows[4:8]] == ["Another processor"] * 4
    assert rows[-1][6:] == ["2429", "two Platinums", "the same: 17 s, 10 to 500 GeV"]


@IN_A_BROWSER
def test_curves_of_two_machines_are_told_apart(opened: tuple[Page, list[str]]) -> None:
    page, _ = opened
    lines = page.evaluate("document.getElementById('generation-plot').data.map(one => [one.name, one.line.color + one.line.dash])")
    assert len(lines) == 4
    assert len({name for name, _ in lines}) == len({colour for _, colour in lines}) == 4
    assert all(f"(study_{place // 2}/trials/0003)" in name for place, (name, _) in enumerate(lines))
    assert [name.rpartition("<br>")[2] for name, _ in lines] == ["A </script> processor"] * 2 + ["Another processor"] * 2


@IN_A_BROWSER
def test_filters_leave_what_was_asked_for(opened: tuple[Page, list[str]], folder: Path) -> None:
    page, problems = opened
    document = json.loads((folder / "verdict.json").read_text())
    shown = page.locator("#recipes tbody tr:not([hidden])")
    assert shown.count() == len(document["recipes"])
    page.check("#front")
    assert shown.count() == len(document["front"])
    page.select_option("#study", f"{NAME}_confirmation")
    names = {one["name"] for one in document["recipes"] if one["study"].endswith("confirmation")} & set(document["front"])
    assert set(shown.evaluate_all("rows => rows.map(row => row.dataset.name)")) == names
    page.check("#passing")
    assert shown.count() == 0
    assert page.inner_text("#shown").startswith("0 of")
    for name in ("#front", "#passing"):
        page.uncheck(name)
    page.select_option("#study", "")
    page.fill("#most", "0.01")
    assert shown.count() == sum(one["core_hours"]["value"] <= 0.01 for one in document["recipes"])
    page.fill("#most", "")
    assert problems == []


@IN_A_BROWSER
def test_columns_sort(opened: tuple[Page, list[str]]) -> None:
    page, _ = opened
    page.click("th button >> text=core-hours")
    values = page.locator("#recipes tbody tr").evaluate_all("rows => rows.map(row => Number(row.cells[2].dataset.value))")
    assert values == sorted(values)
    assert len(set(values)) > 3


@IN_A_BROWSER
def test_it_fits_a_phone(opened: tuple[Page, list[str]]) -> None:
    page, _ = opened
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


#: Between margins of 10 mm of A4, in pixels of 1/96 inch.
PAPER = 718
WIDTHS = "() => [...document.querySelectorAll('.plot .main-svg')].map(one => one.getBoundingClientRect().width)"
#: Right ends of all that a printed page shows; what lies in a box that scrolls is cut off there.
RIGHT_ENDS = """() => {
  const all = [...document.querySelectorAll("body *")];
  const shown = all.filter(one => !one.closest("script, svg, .filters") && one.getClientRects().length);
  const cut = shown.filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible");
  return [Math.max(...shown.map(one => one.getBoundingClientRect().right)), cut.map(one => one.className + one.id)];
}"""


@IN_A_BROWSER
def test_nothing_is_cut_off_on_paper(opened: tuple[Page, list[str]]) -> None:
    page, problems = opened
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function(f"() => ({WIDTHS})().every(width => width > 1000)")
    page.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = ({WIDTHS})(); }})")
    page.pdf(format="A4")
    printed = page.evaluate("window.printed")
    assert len(printed) == page.locator(".plot .main-svg").count() >= 4
    assert all(400 < width <= PAPER for width in printed), printed
    page.wait_for_function(f"() => ({WIDTHS})().every(width => width > 1000)")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    right, cut = page.evaluate(RIGHT_ENDS)
    assert right <= PAPER
    assert cut == []
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 390, "height": 844})
    assert problems == []
