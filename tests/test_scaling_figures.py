"""Figures of scaling beyond the curves: laws, time-to-quality, prediction. "Never" and "undetermined" are words in them, not gaps."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import re
import sys
from dataclasses import fields
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from logged import log_epoch

from gan3d.config.load import dump_study, load_study
from gan3d.records import PHASES, EpochRecord, Losses, PhysicsDistance, Timing, TrialRecord
from gan3d.scaling.draws import Estimate
from gan3d.scaling.forecast import Forecast
from gan3d.scaling.prediction import Work
from gan3d.tracking.store import StudyTracker, default_tracking_uri

ROOT = Path(__file__).resolve().parents[1]
SERIAL, SEEDS = 0.1, (1, 2, 3)
SHOWERS, STEPS = 128.0, 8.0
#: Shower distance by epoch: at the target of 0.2 from epoch 2 on; in one block too late to be held; in none.
SOON, LATE, NEVER = (0.5, 0.2, 0.1, 0.1), (0.5, 0.4, 0.3, 0.1), (0.5, 0.4, 0.3, 0.3)
DISTANCES = {1: (SOON, SOON, SOON), 2: (SOON, SOON, LATE), 4: (NEVER, NEVER, NEVER)}
ENDINGS = ("png", "csv", "svg", "json")


def planned(kinds, sizes, objective="metric: physics.shower_distance, target: 0.2"):
    """The repository's own study of scaling, cut down."""
    space = {"training.scaling": kinds, "workers.per_trial": sizes, "training.seed": SEEDS}
    ranges = ", ".join(f"{key}: {{choice: {json.dumps(values)}}}" for key, values in space.items() if len(values) > 1)
    changes = [f"search_space={{{ranges}}}", f"objective={{{objective}}}", f"training.scaling={kinds[0]}"]
    batches = ["training.global_batch=16", "training.batch_per_worker=8"]
    return load_study(ROOT / "studies" / "scaling.yaml", [*changes, *batches]).study


def timing(world_size, epoch, block):
    """A step of Amdahl's, whose team computes, waits and talks; the first epoch is slow, and validation is not training."""
    seconds = STEPS * (1 + block / 100) * (SERIAL + (1 - SERIAL) / world_size) * (10.0 if epoch == 1 else 1.0)
    waits = {"straggler_wait": 0.02 * seconds, "exposed_communication": 0.03 * seconds} if world_size > 1 else {}
    spent = dict.fromkeys(PHASES, 0.0) | {"optimiser": 0.1 * seconds, "validation": 7.0 * world_size} | waits
    spent["generator"] = seconds - sum(spent.values()) + spent["validation"]
    known = {f"{phase}_seconds_{end}": value for phase, value in spent.items() for end in ("mean", "max")}
    known |= {"epoch_seconds": seconds + spent["validation"], "showers_per_second": SHOWERS / seconds}
    known |= {"num_showers": SHOWERS, "num_steps": STEPS, "world_size": world_size, "epochs_since_start": epoch}
    return Timing(**({entry.name: 0.0 for entry in fields(Timing)} | known))


def write(folder, name, study, distances):
    """A trial for every kind, world size and seed; of each, the epochs of ``distances``."""
    tracker = StudyTracker.open(default_tracking_uri(folder), study_name=name, results=folder, resume=False)
    tracker.log_study(study.question, dump_study(study), [], {}, {}, objective=study.objective)
    kinds = study.search_space.values_of("training.scaling", study.training.scaling)
    for number, (kind, world_size, block) in enumerate(itertools.product(kinds, distances, range(len(SEEDS)))):
        sample = {"training.scaling": kind, "workers.per_trial": world_size, "training.seed": SEEDS[block]}
        tracker.start_trial(number, sample, study.trial_settings(sample).model_dump(), "")
        for epoch, distance in enumerate(distances[world_size][block], start=1):
            physics = PhysicsDistance(**({entry.name: 1.0 for entry in fields(PhysicsDistance)} | {"shower_distance": distance}))
            losses = Losses(**{entry.name: 1.0 for entry in fields(Losses)})
            log_epoch(tracker, number, EpochRecord(epoch, losses, physics, timing(world_size, epoch, block)))
        tracker.end_trial(TrialRecord(number, sample, "complete", "", 4, None, 5.0))
    assert tracker.end()


@pytest.fixture(scope="module")
def results(tracked_folder):
    folder = tracked_folder("scaling")
    write(folder, "strong", planned(["strong"], (1, 2, 4)), DISTANCES)
    pair = {size: [distances[:2] for distances in DISTANCES[size]] for size in (1, 2)}
    write(folder, "pair", planned(["strong", "weak"], (1, 2), "metric: timing.showers_per_second, target: 1"), pair)
    return folder


def drawn_into(folder, results, study, *options):
    """Draws a study in this process and returns the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "analysis"))
        patch.setattr(sys, "argv", ["scaling_curves", study, "--results", str(results), "--output", str(folder), *options])
        return importlib.import_module("scaling_curves").main()


@pytest.fixture
def script(results, tmp_path):
    return functools.partial(drawn_into, tmp_path, results)


@pytest.fixture(scope="module")
def strong(results, tmp_path_factory):
    """All figures of strong scaling, drawn once."""
    folder = tmp_path_factory.mktemp("strong")
    assert drawn_into(folder, results, "strong", "--fabric", "25GbE") == 0
    return folder


@pytest.fixture
def panels(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "analysis"))
    return importlib.import_module("scaling_panels")


@pytest.fixture
def prediction(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "analysis"))
    return importlib.import_module("scaling_prediction")


def written(folder):
    return sorted(path.stem for path in folder.iterdir() if path.suffix == ".png")


def said(file):
    """All that a figure says, without its drawing and its line ends."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", file.read_text(encoding="utf-8"))).split())


def test_the_law_of_the_timings_is_drawn_and_told(strong):
    laws = pd.read_csv(strong / "scaling_laws.csv").set_index("law")
    assert laws.loc["amdahl", ["sigma", "sigma_low", "sigma_high"]].tolist() == pytest.approx([SERIAL] * 3, abs=1e-6)
    table = pd.read_csv(strong / "scaling_curves.csv")
    training = table[table["rate"] == "training"]
    assert training["speedup_amdahl"].tolist() == pytest.approx(training["speedup"].tolist())
    assert table.loc[table["rate"] == "whole_epoch", "speedup_amdahl"].isna().all(), "laws are of training"
    facts = json.loads((strong / "scaling_curves.json").read_text(encoding="utf-8"))
    assert [law["law"] for law in facts["laws"]] == ["amdahl", "universal"]
    assert facts["laws"][0]["sigma"] == pytest.approx(SERIAL)
    assert "Amdahl: σ = 10 [10, 10] %" in said(strong / "scaling_curves.svg")


def test_an_undetermined_law_is_no_curve_but_a_reason(strong):
    laws = pd.read_csv(strong / "scaling_laws.csv").set_index("law")
    assert laws.loc["universal", "undetermined"].startswith("undetermined: universal has 3 parameters")
    assert np.isnan(laws.loc["universal", "sigma"])
    drawn = said(strong / "scaling_curves.svg")
    assert "Undetermined: universal has 3 parameters" in drawn
    assert "Universal: " not in drawn


def test_time_to_quality_stands_beside_throughput(strong):
    table = pd.read_csv(strong / "scaling_quality.csv").set_index("world_size")
    assert table[["reached", "run"]].to_numpy().tolist() == [[3, 3], [2, 3], [0, 3]]
    curve = pd.read_csv(strong / "scaling_curves.csv")
    training = curve[curve["rate"] == "training"].set_index("world_size")
    assert table["throughput_efficiency"].tolist() == pytest.approx(training["efficiency"].tolist())
    # As many epochs on one and on two workers, so the two efficiencies agree, though validation takes twice as long on two.
    assert table.loc[2, "efficiency"] == pytest.approx(training.loc[2, "efficiency"])
    assert np.isnan(table.loc[4, "efficiency"])


def test_never_is_a_word(strong):
    table = pd.read_csv(strong / "scaling_quality.csv").set_index("world_size")
    assert table.loc[4, "seconds_median"] == "never"
    facts = json.loads((strong / "scaling_quality.json").read_text(encoding="utf-8"))
    assert facts["rows"][-1]["seconds_median"] == "never"
    assert {row["seconds"] for row in facts["trials"] if row["world_size"] == 4} == {"never"}
    drawn = said(strong / "scaling_quality.svg")
    for words in ("never", "0/3", "2/3", "3/3", "held for 2 epochs", "the clock stands still in validation and checkpoint", "FEWER THAN 5"):
        assert words in drawn


def test_a_target_can_be_asked_for(script, tmp_path):
    assert script("strong", "--target", "physics.shower_distance", "0.35", "--hold", "1") == 0
    table = pd.read_csv(tmp_path / "scaling_quality.csv")
    assert (table["reached"] == 3).all()
    facts = json.loads((tmp_path / "scaling_quality.json").read_text(encoding="utf-8"))
    assert facts["target"] == {"metric": "physics.shower_distance", "value": 0.35, "direction": "minimize", "hold": 1}


def test_a_target_nobody_reached_is_drawn_all_the_same(script, tmp_path):
    assert script("strong", "--target", "physics.shower_distance", "0.01") == 0
    table = pd.read_csv(tmp_path / "scaling_quality.csv")
    assert table["efficiency"].isna().all()
    assert (table["seconds_median"] == "never").all()


def test_two_workers_leave_laws_undetermined_and_predict_nothing_unasked(script, tmp_path):
    assert script("pair") == 0
    assert written(tmp_path) == ["scaling_curves"], "a target that is not of physics is not quality"
    assert pd.read_csv(tmp_path / "scaling_laws.csv")["undetermined"].str.contains("there are 2").all()
    drawn = said(tmp_path / "scaling_curves.svg")
    assert "Undetermined: amdahl has 2 parameters" in drawn
    assert "gustafson has 2 parameters, so 3 world sizes can test it; there are 2 (1, 2)" in drawn


def test_a_prediction_begins_at_one_worker_and_its_parts_add_up(strong):
    assert written(strong) == ["scaling_curves", "scaling_prediction", "scaling_quality"]
    table = pd.read_csv(strong / "scaling_prediction.csv")
    assert table["world_size"].tolist() == [1, 2, 4, 8, 16], "a global batch of 16 is split over no more"
    assert table["efficiency"].iloc[0] == 1.0
    parts = table[["computing_seconds", "straggler_seconds", "communication_seconds"]].sum(axis="columns")
    assert parts.tolist() == pytest.approx(table["step_seconds"].tolist())
    assert (table["efficiency_low"] <= table["efficiency"]).all()
    assert (table["efficiency"] <= table["efficiency_high"]).all()


def test_a_prediction_is_drawn_with_what_was_measured(strong):
    facts = json.loads((strong / "scaling_prediction.json").read_text(encoding="utf-8"))
    curve = pd.read_csv(strong / "scaling_curves.csv")
    measured = curve.loc[curve["rate"] == "training", "efficiency"]
    assert [row["efficiency"] for row in facts["measured"]] == pytest.approx(measured.tolist())
    assert facts["wire"]["origin"] == "declared"
    assert [row["efficiency"] for row in facts["largest_teams"]] == [0.9, 0.7]
    assert {row["looked_up_to"] for row in facts["largest_teams"]} == {16}
    assert any("extrapolation" in sentence for sentence in facts["assumed"]["strong"])
    drawn = said(strong / "scaling_prediction.svg")
    for words in ("predicted on 25GbE", "90 % up to", "70 % up to", "measured, on the study's own network", "Grey: larger than any team"):
        assert words in drawn


def test_both_kinds_are_predicted_from_one_calibration_on_a_network_that_was_measured(script, tmp_path):
    """Strong and weak scaling meet where their batches do: these two trials of a block do not make two blocks of it."""
    points = [[size, 2 * (1e-4 + size / 2 / 1e9)] for size in (1 << 10, 1 << 16, 1 << 20, 1 << 24)]
    (tmp_path / "here.json").write_text(json.dumps({"world_size": 2, "points": points}), encoding="utf-8")
    assert script("pair", "--fabric", str(tmp_path / "here.json")) == 0
    table = pd.read_csv(tmp_path / "scaling_prediction.csv")
    assert table.groupby("kind")["world_size"].max().to_dict() == {"strong": 16, "weak": 256}
    facts = json.loads((tmp_path / "scaling_prediction.json").read_text(encoding="utf-8"))
    assert facts["wire"] is None
    assert facts["software"]["latency_seconds"]["value"] == pytest.approx(1e-4, rel=1e-3)
    drawn = said(tmp_path / "scaling_prediction.svg")
    for words in (
        "1, 2 workers, 3 blocks",
        "here (measured: 100 us, 1 GB/s)",
        "Teams of one size only (2)",
        "Strong scaling",
        "Weak scaling",
    ):
        assert words in drawn
    assert "No trial of one worker" not in drawn


def test_a_study_without_one_worker_begins_on_the_predicted_curve(prediction):
    curve = pd.DataFrame({"world_size": [1, 2, 4], "efficiency": [1.0, 0.9, 0.8]})
    measured = pd.DataFrame({"world_size": [2, 4], "base": 2, "efficiency": [1.0, 0.9], "efficiency_low": 0.8, "efficiency_high": 1.0})
    one = prediction.Prediction(Forecast(Work(((1,),), batch_per_worker=8), None, None, curve, {}), measured)
    assert one.on_curve["efficiency"].tolist() == pytest.approx([0.9, 0.81])


@pytest.mark.parametrize(
    ("work", "estimate", "text"),
    [
        ({"batch_per_worker": 8}, (12, 9, 16), "12 [9, 16] workers"),
        ({"batch_per_worker": 8}, (100, 30, 256), "100 [30, 256 or more] workers"),
        ({"batch_per_worker": 8}, (256, 256, 256), "256 or more workers"),
        ({"batch_per_worker": 8}, (1, 1, 1), "1 worker"),
        ({"batch_per_worker": 8}, (5, float("nan"), float("nan")), "5 workers"),
        ({"global_batch": 64}, (64, 32, 64), "64 [32, 64] workers, one shower each"),
        ({"global_batch": 512}, (256, 256, 256), "256 or more workers"),
    ],
)
def test_the_largest_team_is_said_with_its_interval(prediction, work, estimate, text):
    curve = pd.DataFrame({"world_size": [1, 256]})
    one = prediction.Prediction(Forecast(Work(((1,),), **work), None, None, curve, {}), pd.DataFrame())
    assert prediction.team_text(Estimate(*estimate), one) == text


def test_the_same_numbers_give_the_same_bytes(strong, script, tmp_path):
    assert script("strong", "--fabric", "25GbE") == 0
    files = [path for path in strong.iterdir() if path.suffix in {".svg", ".json", ".csv"}]
    assert len(files) == 10
    assert all(path.read_bytes() == (tmp_path / path.name).read_bytes() for path in files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "physics.shower_distance", "little"], "'little' is no number"),
        (["--target", "losses.generator_total", "1"], "losses.generator_total is no metric that is better when lower or when higher"),
        (["--target", "physics.shower_distances", "1"], "physics.shower_distances"),
        (["--target", "physics.shower_distance", "0.1", "--hold", "0"], "held for at least one epoch"),
        (["--fabric", "pigeons"], "Declared are 10GbE, 25GbE, omni-path, hdr-infiniband"),
        (["--fabric", "pigeons.json"], "pigeons.json"),
    ],
)
def test_what_cannot_be_asked_for_is_told_in_a_sentence(script, capsys, options, message):
    assert script("strong", *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["strong", "weak"])
def test_bars_are_equally_high_where_scaling_is_ideal(panels, kind):
    """Also where an epoch of weak scaling is one pass over the showers, which takes n workers an n-th of the time."""
    sizes = pd.Index([1, 2, 4])
    seconds = pd.DataFrame({phase: 8.0 / sizes.to_numpy() for phase in PHASES}, index=sizes)
    figure, axes = panels.drawing.plt.subplots()
    panels.draw_phases(axes, kind, seconds, pd.Series(100.0, sizes))
    heights = np.array([bar.get_height() for bar in axes.patches]).reshape(len(PHASES), len(sizes)).sum(axis=0)
    panels.drawing.plt.close(figure)
    assert heights.tolist() == pytest.approx([1e3 * 8 * 8.0 / 100] * 3)


def test_errors_of_a_figure_reach_to_the_ends_of_intervals(panels):
    curve = pd.DataFrame({"speedup": [1.0, 2.0], "speedup_low": [np.nan, 1.5], "speedup_high": [np.nan, 3.0]})
    assert panels.errors(curve, "speedup").tolist() == [[0.0, 0.5], [0.0, 1.0]]
