"""Teams that the cost model predicts stand beside those that were measured, and are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from step_times import epochs_of
from test_predict import STUDY, TRUTH, publish
from test_verdict_teams import search, teams
from typer.testing import CliRunner
from verdict_pages import page_of

from gan3d.cli.app import app
from gan3d.errors import DataError
from gan3d.verdict.answer import Asked, answer_of
from gan3d.verdict.predictions import read_predictions


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `gan3d predict --json` prints, of made-up step times."""
    folder = tmp_path_factory.mktemp("predicted")
    results = publish(folder / "results", epochs_of(TRUTH, batches=(8, 16)))
    asked = ["predict", str(STUDY), "--fabric", "10GbE", "--global-batch", "16", "--workers-per-node", "2", "--results", str(results)]
    done = CliRunner().invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.stderr
    (folder / "prediction.json").write_text(done.stdout)
    return folder / "prediction.json"


def test_predicted_teams_answer_where_nobody_has_formed_them(document: Path) -> None:
    (curve,) = read_predictions([document])
    told = {row["world_size"]: row for row in json.loads(document.read_text())["curve"]}
    assert [(one.workers, one.nodes) for one in curve.sizes] == [(1, 1), (2, 1), (4, 2), (8, 4), (16, 8)]
    assert all(one.speed_up == pytest.approx(one.workers * told[one.workers]["efficiency"]) for one in curve.sizes)
    answer = answer_of([search("b", 1, 1.5), teams(1, 2)], asked=Asked(target=0.2), predictions=[curve])
    rows = [row for row in answer.fastest() if row["predicted_on"]]
    assert [(row["at_most"], row["known"]) for row in rows] == [(size, "predicted") for size in (2, 4, 8, 16)]
    assert rows[1]["hours_to_target"] == pytest.approx(1.5 / curve.sizes[2].speed_up)
    assert answer.as_document()["fastest_on_at_most_nodes"][-1]["at_most"] == 8
    notes = "\n".join(answer.not_measured())
    assert "Teams on 10GbE are predicted by the cost model from scaling, not measured." in notes
    assert "No team was larger than one machine (2 workers" in notes
    page = page_of(answer)
    assert "predicted on 10GbE from scaling, strong scaling" in page
    assert "Team, strong scaling, predicted on 10GbE" in page


def test_other_documents_are_refused_with_the_place(document: Path, tmp_path: Path) -> None:
    content = json.loads(document.read_text())
    for changes, where in (({"curve": []}, "curve"), ({"workers_per_node": 0}, "workers_per_node"), ({"kind": "both"}, "kind")):
        (tmp_path / "a.json").write_text(json.dumps(content | changes))
        with pytest.raises(DataError, match=f"not what gan3d predict --json prints: {where}"):
            read_predictions([tmp_path / "a.json"])
