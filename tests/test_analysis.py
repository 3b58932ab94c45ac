"""The scripts draw what the records say: tables hold the numbers, figures are there, mistakes are told without a traceback."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from held_out_showers import write_held_out
from logged import log_epoch
from small_study import GRID, write_showers

from gan3d.config.load import dump_study
from gan3d.config.objective import Objective
from gan3d.config.space import SearchSpace
from gan3d.config.study import Study
from gan3d.config.training import TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.records import PHASES, Cost, EpochRecord, Losses, PhysicsDistance, Timing, TrialRecord
from gan3d.tracking import frames
from gan3d.tracking.store import StudyTracker, default_tracking_uri
from gan3d.training.checkpoint import TrialFolder, save_state
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState

ANALYSIS = Path(__file__).resolve().parents[1] / "analysis"
SERIAL = 0.1
RATE, NAME = "training.generator.learning_rate", "training.optimiser.name"


def settings(world_size, **training):
    data = {"train": ["none.h5"], "validation": ["validation.h5"]}
    training = training or {"global_batch": 64}
    return TrialSettings.model_validate({"training": training, "workers": {"per_trial": world_size}, "data": data})


def record(epoch, **known):
    """An epoch's record of ones, but for what is known."""
    rows = ({entry.name: known.get(entry.name, 1.0) for entry in fields(kind)} for kind in (Losses, PhysicsDistance, Timing))
    losses, physics, timing = (kind(**row) for kind, row in zip((Losses, PhysicsDistance, Timing), rows, strict=True))
    cost = Cost(**{entry.name: known.get(entry.name, 1.0) for entry in fields(Cost)}) if "core_seconds" in known else None
    return EpochRecord(epoch, losses, physics, timing, cost=cost)


def search_study(name, **search_space):
    """A study's text as a run of it keeps it."""
    content = {"name": name, "question": "Which rate?", "search_space": {"ranges": search_space}, "training": {"global_batch": 64}}
    return dump_study(Study.model_validate(content | {"data": {"train": ["none.h5"], "validation": ["validation.h5"]}}))


def write_search(uri, results):
    tracker = StudyTracker.open(uri, study_name="search", results=results, resume=False)
    text = search_study("search", **{RATE: {"min": 1e-4, "max": 0.1, "log": True}, NAME: {"choice": ["adam", "rmsprop"]}})
    tracker.log_study("Which rate?", text, [], {}, {"usable_cores": 4}, objective=Objective())
    outcomes = [("complete", [4.0, 2.0]), ("pruned", [9.0]), ("failed", []), ("complete", [3.0, 1.0])]
    for number, (state, values) in enumerate(outcomes):
        sample = {RATE: 10.0 ** -(number + 1), NAME: ("adam", "rmsprop")[number % 2]}
        tracker.start_trial(number, sample, settings(1).model_dump(), "")
        for epoch, value in enumerate(values, start=1):
            log_epoch(tracker, number, record(epoch, shower_distance=value, shower_distance_floor=0.1, core_seconds=3.0))
        tracker.end_trial(TrialRecord(number, sample, state, "", len(values), min(values, default=None), 5.0))
    assert tracker.end()


def write_rates(uri, results):
    """Twenty trials whose objective is their rate's; of an older version, which logged no cost."""
    tracker = StudyTracker.open(uri, study_name="rates", results=results, resume=False)
    text = search_study("rates", **{RATE: {"min": 1e-5, "max": 0.1, "log": True}})
    tracker.log_study("Which rate?", text, [], {}, {}, objective=Objective())
    for number in range(20):
        sample, value = {RATE: 10.0 ** -(1 + number / 5)}, 20.0 - number
        tracker.start_trial(number, sample, settings(1).model_dump(), "")
        log_epoch(tracker, number, record(1, shower_distance=value))
        tracker.end_trial(TrialRecord(number, sample, "complete", "", 1, value, 5.0))
    assert tracker.end()


def write_scaling(uri, results, name, *trainings):
    """Amdahl's timings on 1, 2 and 4 workers, two seeds each; of every recipe given, which is sampled if it says its scaling."""
    tracker = StudyTracker.open(uri, study_name=name, results=results, resume=False)
    tracker.log_study("How fast?", "", [], {}, {}, objective=Objective(metric="timing.showers_per_second", direction="maximize"))
    trials = [(world_size, seed, training_of) for training_of in trainings for seed in (1, 2) for world_size in (1, 2, 4)]
    for number, (world_size, seed, training_of) in enumerate(trials):
        effective = settings(world_size, **training_of(world_size))
        kind = {"training.scaling": effective.training.scaling} if effective.training.scaling else {}
        tracker.start_trial(number, {"workers.per_trial": world_size, "training.seed": seed, **kind}, effective.model_dump(), "")
        seconds = (1 + seed / 100) * (SERIAL + (1 - SERIAL) / world_size)
        for epoch in (1, 2):
            slow_start = 10.0 if epoch == 1 else 1.0
            speed = 100 / (seconds * slow_start)
            log_epoch(tracker, number, record(epoch, epochs_since_start=epoch, num_showers=100.0, showers_per_second=speed))
        tracker.end_trial(TrialRecord(number, {}, "complete", "", 2, None, 5.0))
    assert tracker.end()


@pytest.fixture(scope="module")
def results(tracked_folder):
    folder = tracked_folder("studies")
    uri = default_tracking_uri(folder)
    write_search(uri, folder)
    write_rates(uri, folder)
    write_scaling(uri, folder, "strong", lambda _: {"global_batch": 64})
    write_scaling(uri, folder, "weak", lambda _: {"batch_per_worker": 16})
    both = {"global_batch": 64, "batch_per_worker": 16}
    write_scaling(uri, folder, "both", *(lambda _, kind=kind: both | {"scaling": kind} for kind in ("strong", "weak")))
    StudyTracker.open(uri, study_name="unborn", results=folder, resume=False)
    return folder


@pytest.fixture
def script(results, tmp_path, monkeypatch):
    """Runs a script in this process and returns its exit code; it writes into ``tmp_path``."""
    monkeypatch.syspath_prepend(str(ANALYSIS))

    def run(name, study, *options):
        monkeypatch.setattr(sys, "argv", [name, study, "--results", str(results), "--output", str(tmp_path), *options])
        return importlib.import_module(name).main()

    return run


def is_drawn(figure):
    """A picture with more in it than a background: many distinct grey values."""
    pixels = importlib.import_module("matplotlib.image").imread(figure)
    return min(pixels.shape[:2]) > 300 and len(np.unique(pixels[..., 0])) > 50


def test_search_progress_tells_the_best_so_far(script, tmp_path, capsys):
    assert script("search_progress", "search") == 0
    table = pd.read_csv(tmp_path / "search_progress.csv")
    assert table["best"].tolist() == [4.0, 2.0, 2.0, 2.0, 1.0]
    assert table["seconds"].is_monotonic_increasing
    assert table["core_seconds"].tolist() == [3.0, 6.0, 9.0, 12.0, 15.0]
    samples = pd.read_csv(tmp_path / "search_samples.csv")
    assert samples["training.generator.learning_rate"].tolist() == pytest.approx([0.1, 0.01, 0.001, 0.0001])
    names = ["search_progress.png", "search_progress.csv", "search_samples.png", "search_samples.csv"]
    names += [f"search_utilisation.{ending}" for ending in ("png", "csv", "svg", "json")]
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in names]
    assert all(is_drawn(tmp_path / name) for name in names if name.endswith(".png"))
    used = json.loads((tmp_path / "search_utilisation.json").read_text(encoding="utf-8"))
    assert (used["cpus"], used["source"], used["most_cpus"]) == (4.0, "of the driver's machine", 1.0)
    assert f"{used['mean']:.0%} of 4 CPUs" in (tmp_path / "search_utilisation.svg").read_text(encoding="utf-8")


def test_the_front_of_fidelity_is_what_was_best_for_as_little(script, tmp_path):
    assert script("fidelity_front", "search") == 0
    front = pd.read_csv(tmp_path / "fidelity_front.csv")
    assert front["core_hours"].tolist() == pytest.approx([3 / 3600, 6 / 3600])
    assert front["best"].tolist() == [3.0, 1.0]
    assert is_drawn(tmp_path / "fidelity_front.png")
    assert json.loads((tmp_path / "fidelity_front.json").read_text(encoding="utf-8"))["floor"] == pytest.approx(0.1)


def test_contenders_of_no_confirmation_are_refused(script, results, capsys):
    uri = default_tracking_uri(results)
    assert script("fidelity_front", "search", "--beside", "search", "--beside-uri", uri) == 2
    assert "has no contenders" in capsys.readouterr().err


def test_what_came_of_a_sample_is_not_taken_for_sampled(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    trials = pd.DataFrame({"trial": [0, 1], RATE: [0.1, 0.2], NAME: ["adam", "adam"], "best.timing.epoch_seconds": [1.0, 2.0]})
    assert importlib.import_module("search_progress").sampled_keys(trials) == [RATE]


def test_epochs_without_a_cost_leave_core_seconds_out(script, tmp_path):
    assert script("search_progress", "rates") == 0
    assert "core_seconds" not in pd.read_csv(tmp_path / "search_progress.csv").columns


def test_parameter_importance_tells_the_rate_from_luck(script, results, tmp_path):
    assert script("parameter_importance", "rates", "--draws", "15", "--log") == 0
    facts = json.loads((tmp_path / "parameter_importance.json").read_text(encoding="utf-8"))
    assert (facts["trials"], facts["doubt"]) == (20, "")
    assert [(row["key"], row["above_luck"]) for row in facts["rows"]] == [(RATE, True), ("(random column)", False)]
    drawn = (tmp_path / "parameter_importance.svg").read_text(encoding="utf-8")
    for said in ("best: trial 19", "above luck", "0.001"):
        assert said in drawn
    assert is_drawn(tmp_path / "parameter_importance.png")
    folder = frames.study(default_tracking_uri(results), "rates").artifact_dir / "figures"
    assert sorted(path.name for path in folder.iterdir()) == [f"parameter_importance.{ending}" for ending in ("csv", "json", "png", "svg")]


def test_too_few_trials_are_drawn_and_nothing_is_said_of_importance(script, tmp_path):
    assert script("parameter_importance", "search") == 0
    table = pd.read_csv(tmp_path / "parameter_importance.csv")
    assert table["key"].tolist() == [RATE, NAME]
    assert table["importance"].isna().all()
    drawn = (tmp_path / "parameter_importance.svg").read_text(encoding="utf-8")
    for said in ("too few trials: 3 of", "best: trial 3", "1 failed", "1 pruned", "none"):
        assert said in drawn


def test_lines_of_parallel_coordinates_pass_where_values_lie(monkeypatch):
    """Logarithmic where the range is; a choice by name; absent below the axes; the best on top."""
    monkeypatch.syspath_prepend(str(ANALYSIS))
    coordinates = importlib.import_module("parallel_coordinates")
    blocks, filters = "training.discriminator.blocks", "training.discriminator.filters.3"
    ranges = {RATE: {"min": 1e-4, "max": 1e-2, "log": True}, blocks: {"choice": [3, 4]}}
    space = SearchSpace(ranges={**ranges, filters: {"min": 16, "max": 64, "when": {blocks: [4]}}})
    rows = [(1e-4, 3, None, 4.0), (1e-3, 4, 64, 1.0), (1e-2, 4, 16, np.nan)]
    trials = pd.DataFrame(rows, columns=[RATE, blocks, filters, "best_objective"])
    places = coordinates.places_of(trials, space, list(space.ranges), coordinates.objective_scale(trials["best_objective"], "minimize"))
    absent, half = coordinates.ABSENT, coordinates.RIBBON / 4
    assert places[RATE].tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert places[blocks].tolist() == pytest.approx([0.0, 1.0 - half, 1.0 + half])
    assert places[filters].tolist() == pytest.approx([absent, 1.0, 0.0])
    assert places["objective"].tolist() == pytest.approx([0.0, 1.0, absent])


@pytest.mark.parametrize("study", ["strong", "weak"])
def test_scaling_curves_give_back_the_law_of_the_timings(script, results, tmp_path, study):
    assert script("scaling_curves", study, "--log") == 0
    table = pd.read_csv(tmp_path / "scaling_curves.csv")
    assert table["kind"].unique().tolist() == [study]
    training = table[table["rate"] == "training"]
    assert training["speedup"].to_numpy() == pytest.approx([1 / (SERIAL + (1 - SERIAL) / n) for n in (1, 2, 4)])
    assert training["serial_fraction"][1:].to_numpy() == pytest.approx(SERIAL)
    assert (table["blocks"] == 2).all()
    assert table["few_blocks"].all()
    assert set(table.columns) >= {f"{phase}_seconds" for phase in PHASES}
    assert is_drawn(tmp_path / "scaling_curves.png")
    folder = frames.study(default_tracking_uri(results), study).artifact_dir / "figures"
    names = [*(f"scaling_curves.{ending}" for ending in ("csv", "json", "png", "svg")), "scaling_laws.csv"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_scaling_curves_of_both_kinds_state_their_base_blocks_and_trials(script, results, tmp_path):
    assert script("scaling_curves", "both") == 0
    table = pd.read_csv(tmp_path / "scaling_curves.csv")
    assert table["kind"].unique().tolist() == ["strong", "weak"]
    facts = json.loads((tmp_path / "scaling_curves.json").read_text(encoding="utf-8"))
    assert (facts["base_world_size"], facts["block_key"], facts["blocks"], facts["few_blocks"]) == (1, "training.seed", 2, True)
    assert len(facts["trials"]) == 12
    assert facts["rows"][0]["serial_fraction"] is None, "the base has none"
    assert [row["speedup"] for row in facts["rows"]] == pytest.approx(table["speedup"].tolist())
    drawn = (tmp_path / "scaling_curves.svg").read_text(encoding="utf-8")
    for said in ("Strong scaling: speed-up", "Weak scaling: parallel efficiency", "Base: 1 worker", "2 blocks", "FEWER THAN 5 BLOCKS"):
        assert said in drawn
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in {".svg", ".json"}}
    assert script("scaling_curves", "both") == 0
    assert before == {name: (tmp_path / name).read_bytes() for name in before}, "the same numbers, the same bytes"


@pytest.mark.parametrize(
    ("name", "study", "options", "message"),
    [
        ("search_progress", "absent", [], "Studies there: both, rates, search, strong, unborn, weak"),
        ("search_progress", "unborn", [], "no epoch yet"),
        ("parameter_importance", "unborn", [], "no trial yet"),
        ("parameter_importance", "strong", [], "the text of study 'strong'"),
        ("scaling_curves", "search", [], "two world sizes"),
        ("shower_profiles", "unborn", [], "no trial with an objective"),
        ("shower_profiles", "search", ["--trial", "2"], "--results"),
        ("held_out", "search", ["--trial", "2", "--files", "none.h5"], "--results"),
        ("held_out", "search", ["--files", "none.h5"], "none.h5: no file matches"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_sentence(script, trained, capsys, name, study, options, message):
    assert script(name, study, *options) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(results):
    """The folder of the search's best trial as training leaves it, before its first step, and the showers it would train on."""
    train, validation = write_showers(results)
    networks = {"generator": {"filters": [4, 4, 4], "kernel": 3, "noise_dim": 8}, "discriminator": {"filters": [4, 4, 4, 4], "kernel": 3}}
    data = {"train": [str(train)], "validation": [str(validation)], "grid": GRID}
    effective = TrialSettings.model_validate({"training": {"global_batch": 16, **networks}, "workers": {"per_trial": 1}, "data": data})
    folder = TrialFolder(results / "trials" / "0003")
    folder.write_settings(effective.model_dump(mode="json"))
    state = TrainState(effective, Ranks()).state_dict()
    save_state(folder.best, {"state": state, "settings": effective.model_dump_json()})
    return effective.data


def test_shower_profiles_draw_the_best_trial_beside_the_monte_carlo(script, trained, tmp_path):
    assert script("shower_profiles", "search") == 0
    table = pd.read_csv(tmp_path / "shower_profiles.csv").set_index("curve")
    showers = ShowerSet.open(trained.validation)
    cells = showers.read(np.arange(len(showers))).cells
    deposited = np.where(cells < 1e-6, 0, cells).astype(np.float64).sum(axis=(1, 2, 3)).mean()
    for profile in ("Longitudinal profile", "Transverse profile, x", "Transverse profile, y"):
        assert table.loc[profile, "monte_carlo"].sum() == pytest.approx(deposited, rel=1e-5)
    assert table.loc["Occupancy", "monte_carlo"].sum() == pytest.approx(1.0)
    assert (table.loc["Longitudinal profile", "monte_carlo"] != table.loc["Longitudinal profile", "generated"]).any()
    assert is_drawn(tmp_path / "shower_profiles.png")


def test_held_out_tells_what_training_was_worth(script, trained, results, tmp_path, capsys):
    held_out = write_held_out(tmp_path)
    assert script("held_out", "search", "--files", str(held_out), "--noise-seeds", "1", "2", "--log") == 0
    printed = capsys.readouterr().out
    # The trial never made a step, so it is as far from the Monte Carlo as the untrained generator, exactly.
    assert "trained above untrained by 0.0 standard errors" in printed
    assert "trained above mean-shower baseline by" in printed
    table = pd.read_csv(tmp_path / "held_out.csv").set_index("source")
    assert len(table) == 4 * 11
    scalar = table.loc[table["quantity"] == "shower_distance", "distance"]
    assert scalar["floor"] < scalar["baseline"] < scalar["trained"] == scalar["untrained"]
    assert f"{scalar['trained']:.4f}" in printed
    assert (table["standard_error"] > 0).all()
    assert is_drawn(tmp_path / "held_out.png")
    folder = frames.study(default_tracking_uri(results), "search").artifact_dir
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["held_out.csv", "held_out.png"]


def test_held_out_refuses_the_trial_s_own_files(script, trained, capsys):
    assert script("held_out", "search", "--files", *trained.train) == 2
    assert "not held out" in capsys.readouterr().err


@pytest.mark.parametrize("width", [6.0, 11.0])
def test_no_heading_leaves_the_figure(monkeypatch, width):
    """Capitals are half again as wide as small letters: lines are measured, not counted."""
    monkeypatch.syspath_prepend(str(ANALYSIS))
    drawing = importlib.import_module("drawing")
    figure, _ = drawing.plt.subplots(figsize=(width, 5.0))
    drawing.heading(figure, "WHICH GENERATOR MAKES THE MOST MONTE CARLO? " * 4, "small print about how many trials there were " * 6)
    boxes = [text.get_window_extent() for text in figure.texts]
    drawing.plt.close(figure)
    assert all(box.x0 >= 0 and box.x1 <= width * figure.dpi for box in boxes)
    assert boxes[1].y1 <= boxes[0].y0


def test_numbers_that_are_none_are_null_in_facts_as_in_the_table(monkeypatch, tmp_path):
    """A trial none of whose epochs was finite has no value, and a target that was missed costs infinitely much."""
    monkeypatch.syspath_prepend(str(ANALYSIS))
    drawing = importlib.import_module("drawing")
    facts = {"floor": float("nan"), "trials": [{"value": np.float64("inf"), "seed": 3}], "ends": (0.5, float("-inf"))}
    arguments = argparse.Namespace(output=tmp_path, written=[])
    drawing.publish(arguments, "nothing", drawing.plt.figure(), pd.DataFrame({"value": [1.5, np.nan, np.inf]}), facts)
    told = json.loads((tmp_path / "nothing.json").read_text(encoding="utf-8"))
    assert told["rows"] == [{"value": 1.5}, {"value": None}, {"value": None}]
    assert (told["floor"], told["trials"], told["ends"]) == (None, [{"value": None, "seed": 3}], [0.5, None])


def test_profile_errors_are_those_of_a_mean(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    rng = np.random.default_rng(5)
    means = importlib.import_module("shower_curves").mean_and_error(torch.from_numpy(rng.normal(3.0, 2.0, (10_000, 4))))
    assert means.error == pytest.approx(2.0 / 100, rel=0.05)
    assert (np.abs(means.value - 3.0) < 5 * means.error).all()


def test_profiles_count_cells_above_the_detectors_threshold(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    curves = importlib.import_module("shower_curves")
    sample = curves.Sample(torch.full((40, 4, 4, 4), 2e-4), torch.linspace(10, 100, 40))
    for threshold, cells in ((1e-4, 64), (3e-4, 0)):
        found = {curve.title: curve for curve in curves.all_curves(sample, sample, threshold)}
        assert found["Cell energy spectrum"].generated.value.sum() == pytest.approx(cells)
        assert f"{threshold:g} GeV" in found["Occupancy"].x_label


def test_a_script_runs_from_the_folder_that_holds_the_results(results, tmp_path):
    """As a user runs it: a process of its own, defaults for everything, nothing on stderr."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "weak").symlink_to(results)
    command = [sys.executable, str(ANALYSIS / "scaling_curves.py"), "weak"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    names = [*(f"scaling_curves.{ending}" for ending in ("png", "csv", "svg", "json")), "scaling_laws.csv"]
    assert done.stdout.split() == [f"results/weak/figures/{name}" for name in names]
    assert (results / "figures" / "scaling_curves.png").is_file()
