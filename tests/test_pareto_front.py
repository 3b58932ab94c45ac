"""`analysis/pareto_front.py` draws what `gan3d.search.fronts` says of a study with trade-offs, and says where there is nothing to draw."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from logged import log_epoch
from test_analysis import ANALYSIS, RATE, is_drawn, record, settings

from gan3d.config.load import dump_study
from gan3d.config.study import Study
from gan3d.records import TrialRecord
from gan3d.tracking import frames
from gan3d.tracking.store import StudyTracker, default_tracking_uri

DISTANCE, JOULES, RESPONSE = "physics.shower_distance", "cost.joules", "physics.response"
#: State, then shower distance, joules and occupancy of its one epoch; the first is the settings as written.
TRIALS = [
    ("complete", 0.5, 400.0, 0.2),
    ("complete", 0.3, 900.0, 0.2),
    ("pruned", 0.9, 100.0, 0.2),
    ("complete", 0.2, 60.0, 0.6),
    ("failed", 0.1, 10.0, 0.2),
    ("complete", 0.45, 80.0, 0.2),
    ("running", 0.6, 700.0, 0.2),
]
LIMIT = [{"metric": "physics.occupancy", "at_most": 0.4}]


def write_search(folder, name, objective, *, costs=True, number=7):
    content = {"name": name, "question": "Which rate for how much energy?", "objective": objective, "training": {"global_batch": 64}}
    content["search_space"] = {"ranges": {RATE: {"min": 1e-4, "max": 0.1, "log": True}}}
    study = Study.model_validate(content | {"data": {"train": ["none.h5"], "validation": ["validation.h5"]}})
    tracker = StudyTracker.open(default_tracking_uri(folder), study_name=name, results=folder, resume=False)
    tracker.log_study(study.question, dump_study(study), [], {}, {}, objective=study.objective)
    for trial, (state, distance, joules, occupancy) in enumerate(TRIALS[:number]):
        sample = study.default_sample if trial == 0 else {RATE: 10.0 ** -(1 + trial / 4)}
        tracker.start_trial(trial, sample, settings(1).model_dump(), "")
        known = {"shower_distance": distance, "shower_distance_floor": 0.1, "response": 0.02 * (1 + trial), "response_floor": 0.01}
        cost = {"core_seconds": 60.0, "joules": joules} if costs else {}
        log_epoch(tracker, trial, record(1, **known, occupancy=occupancy, **cost))
        if state != "running":
            tracker.end_trial(TrialRecord(trial, sample, state, "", 1, distance, 5.0))
    assert tracker.end()


@pytest.fixture(scope="module")
def results(tracked_folder):
    folder = tracked_folder("studies")
    write_search(folder, "energy", {"trade_offs": [{"metric": JOULES}], "constraints": LIMIT})
    write_search(folder, "three", {"trade_offs": [{"metric": JOULES}, {"metric": RESPONSE}], "constraints": LIMIT})
    write_search(folder, "older", {"trade_offs": [{"metric": RESPONSE}]}, costs=False)
    write_search(folder, "none_kept", {"trade_offs": [{"metric": JOULES}], "constraints": [{**LIMIT[0], "at_most": 0.1}]})
    write_search(folder, "one", {})
    write_search(folder, "unborn", {"trade_offs": [{"metric": JOULES}]}, number=0)
    return folder


@pytest.fixture
def script(results, tmp_path, monkeypatch):
    """Runs the script in this process and returns its exit code; it writes into ``tmp_path``."""
    monkeypatch.syspath_prepend(str(ANALYSIS))

    def run(study, *options):
        monkeypatch.setattr(sys, "argv", ["pareto_front", study, "--results", str(results), "--output", str(tmp_path), *options])
        return importlib.import_module("pareto_front").main()

    return run


def told_by(folder: Path):
    return json.loads((folder / "pareto_front.json").read_text(encoding="utf-8")), (folder / "pareto_front.svg").read_text(encoding="utf-8")


def test_the_front_and_its_hypervolume_are_drawn_and_told(script, results, tmp_path):
    assert script("energy", "--log") == 0
    facts, drawn = told_by(tmp_path)
    assert (facts["front"], facts["default_trial"], facts["trials"]) == ([1, 5], 0, 7)
    assert facts["reference"] == pytest.approx([0.52, 982.0])
    assert facts["floors"] == {DISTANCE: pytest.approx(0.1)}
    assert facts["hypervolume"] == pytest.approx(0.07 * 902 + 0.15 * 82)
    table = pd.read_csv(tmp_path / "pareto_front.csv").set_index("trial")
    assert table.index.tolist() == [0, 1, 2, 3, 5, 6]
    assert table.loc[[0, 1, 2, 3, 5], "core_seconds"].tolist() == [60.0, 120.0, 180.0, 240.0, 360.0]
    assert table["hypervolume"].isna().tolist() == [False] * 5 + [True]
    assert table.loc[3, "is_kept"] == False  # noqa: E712 - numpy's
    for said in (
        "shower_distance against joules",
        "settings as written: trial 0",
        "hollow: breaks a constraint",
        "Monte Carlo floor",
        "pruned",
    ):
        assert said in drawn
    assert is_drawn(tmp_path / "pareto_front.png")
    folder = frames.study(default_tracking_uri(results), "energy").artifact_dir / "figures"
    assert sorted(path.name for path in folder.iterdir()) == [f"pareto_front.{ending}" for ending in ("csv", "json", "png", "svg")]
    before = (tmp_path / "pareto_front.svg").read_bytes()
    assert script("energy") == 0
    assert (tmp_path / "pareto_front.svg").read_bytes() == before, "the same numbers, the same bytes"


def test_each_trade_off_has_a_panel_and_a_reference_point_may_be_given(script, tmp_path):
    assert script("three", "--reference", "1", "1000", "1") == 0
    facts, drawn = told_by(tmp_path)
    assert facts["reference"] == [1.0, 1000.0, 1.0]
    assert set(facts["floors"]) == {DISTANCE, RESPONSE}
    for said in ("shower_distance against joules", "shower_distance against response", "Hypervolume of the front, by what it cost"):
        assert said in drawn
    assert script("three", "--reference", "1", "1000") == 2


def test_epochs_without_a_cost_leave_the_hypervolume_by_trials(script, tmp_path):
    assert script("older") == 0
    facts, drawn = told_by(tmp_path)
    assert "Hypervolume of the front, by trials" in drawn
    assert [row["core_seconds"] for row in facts["rows"]] == [None] * len(facts["rows"])


def test_where_no_trial_keeps_the_constraints_they_are_drawn_and_nothing_is_won(script, tmp_path):
    assert script("none_kept") == 0
    facts, drawn = told_by(tmp_path)
    assert (facts["front"], facts["reference"], facts["hypervolume"]) == ([], [], None)
    assert "no complete trial before" in drawn


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ("one", [], "has one objective, physics.shower_distance: its front is its best trial"),
        ("unborn", [], "none with a finished epoch yet"),
        ("absent", [], "Studies there: energy"),
        (
            "energy",
            ["--reference", "1"],
            "--reference has 1 values for 2 goals. Give one for each of physics.shower_distance, cost.joules.",
        ),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_sentence(script, capsys, study, options, message):
    assert script(study, *options) == 2
    assert message in capsys.readouterr().err
