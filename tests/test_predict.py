"""`gan3d predict` as its user meets it: on a study's records, for a network that is named; errors with their way out."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from step_times import Truth, epochs_of
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.config.load import dump_study, load_study
from gan3d.scaling.fabrics import all_reduce_seconds, declared, route_of
from gan3d.scaling.prediction import WORLD_SIZES
from gan3d.tracking import published
from gan3d.training.buckets import hiding_shares, update_buckets

STUDY = Path(__file__).parent.parent / "studies" / "scaling.yaml"
TRUTH = Truth(fixed=0.02, per_shower=0.01, spread=0.05, communication=0.004, scatter=0.02)


def publish(folder: Path, epochs: pd.DataFrame) -> Path:
    """Made-up records of studies/scaling.yaml, as a folder of published frames."""
    study = load_study(STUDY).study
    epochs = epochs.assign(run_id="run" + epochs["trial"].astype(str), reason="", digest="")
    epochs["training.scaling"] = "weak"
    trials = epochs.drop_duplicates("trial")[["trial", "run_id", "state", "reason", "digest", "world_size", "global_batch"]]
    started = pd.to_datetime(trials["trial"], unit="s", utc=True)
    facts = {
        "name": study.name,
        "question": study.question,
        "objective_metric": study.objective.metric,
        "objective_direction": "maximize",
        "objective_target": None,
        "state": "complete",
        "run_id": "study",
        "provenance": {},
    }
    published.publish(folder, facts, dump_study(study), trials.assign(started=started, ended=started), epochs)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("results"), epochs_of(TRUTH, batches=(8, 16)))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", str(STUDY), *map(str, arguments)], terminal_width=200)


def document(*arguments: object) -> dict:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def refused(*arguments: object) -> str:
    done = call(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_the_page_has_the_curve_the_largest_teams_and_what_was_assumed(results: Path) -> None:
    done = call("--fabric", "10GbE", "--batch-per-worker", 8, "--results", results)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("scaling: 8 showers per step on a worker; 3 updates per step reduce")
    assert "ring all-reduces over 10GbE (declared: 20 us, 1.18 GB/s)" in lines[0]
    assert lines[2].split()[:6] == ["workers", "batch", "each", "step,", "ms", "showers/s"]
    first = [line.split()[0] for line in lines if line.strip()]
    assert [int(word) for word in first if word.isdigit() and int(word) in WORLD_SIZES][: len(WORLD_SIZES)] == list(WORLD_SIZES)
    assert first.index("90") < first.index("70") < first.index("assumed")
    assert "teams of one size only (2)" in done.stdout
    assert "10GbE is declared, not measured" in done.stdout
    shares = next(line for line in lines if line.split()[:1] == ["256"]).split()[-6:]
    assert sum(map(float, shares[::2])) == pytest.approx(100, abs=0.2)


def test_json_is_the_model_in_numbers(results: Path) -> None:
    found = document("--fabric", "10GbE", "--batch-per-worker", 8, "--results", results)
    settings = load_study(STUDY).study.trial_settings(load_study(STUDY).study.default_sample)
    updates, shares = update_buckets(settings), hiding_shares(settings)
    assert found["updates"] == [list(buckets) for buckets in updates]
    assert found["hidden_behind"] == list(shares)
    assert [row["world_size"] for row in found["curve"]] == list(WORLD_SIZES)
    eight = found["curve"][3]
    route = route_of(None, declared("10GbE"), 1)
    waits = (all_reduce_seconds(buckets[-1], 8, route)[0] for buckets in updates)  # earlier ones are hidden
    wire = sum(max(0.0, wait - share * TRUTH.computing(8)) for wait, share in zip(waits, shares, strict=True))
    assert eight["communication_seconds"] == pytest.approx(TRUTH.communication + wire, rel=0.1)
    assert eight["computing_seconds"] == pytest.approx(TRUTH.computing(8), rel=0.05)
    assert eight["efficiency_low"] < eight["efficiency"] < eight["efficiency_high"]
    for name, truth in (("fixed_seconds", TRUTH.fixed), ("seconds_per_shower", TRUTH.per_shower), ("spread", TRUTH.spread)):
        assert found["calibration"][name]["low"] < truth < found["calibration"][name]["high"]
    ninety, seventy = found["largest_teams"]
    assert (ninety["efficiency"], seventy["efficiency"]) == (0.9, 0.7)
    assert ninety["low"] <= ninety["value"] <= ninety["high"] <= seventy["looked_up_to"] == 256
    assert found["software"] is None
    assert found["assumed"]


def test_which_batch_is_fixed_is_the_users_or_the_studys(results: Path) -> None:
    weak = document("--fabric", "omni-path", "--batch-per-worker", 12, "--results", results)
    assert (weak["kind"], weak["batch_per_worker"], weak["global_batch"]) == ("weak", 12, None)
    strong = document("--fabric", "omni-path", "--global-batch", 64, "--results", results)
    assert (strong["kind"], strong["curve"][-1]["world_size"]) == ("strong", 64)
    own = document("--fabric", "omni-path", "--results", results)
    assert (own["kind"], own["global_batch"]) == ("strong", 16)


def test_faster_networks_and_better_algorithms_pay(results: Path) -> None:
    def last(*arguments: object) -> float:
        return document("--batch-per-worker", 8, "--results", results, *arguments)["curve"][-1]["efficiency"]

    assert last("--fabric", "10GbE") < last("--fabric", "25GbE") < last("--fabric", "omni-path") < 1
    assert last("--fabric", "10GbE") < last("--fabric", "10GbE", "--algorithm", "tree")
    assert last("--fabric", "10GbE") < last("--fabric", "10GbE", "--workers-per-node", 8, "--algorithm", "hierarchical")


def test_all_reduces_that_were_measured_are_a_network_or_a_nodes_software(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "here.json"
    points = [[size, 2 * 3e-4 + size / 5e8] for size in (1024, 65536, 1 << 20, 1 << 22)]
    file.write_text(json.dumps({"world_size": 2, "points": points}))
    measured = document("--fabric", file, "--batch-per-worker", 8, "--results", results)
    assert (measured["software"]["name"], measured["wire"]) == ("here", None)
    assert measured["software"]["latency_seconds"]["value"] == pytest.approx(3e-4)
    both = document("--fabric", "25GbE", "--software", file, "--batch-per-worker", 8, "--results", results)
    assert (both["wire"]["name"], both["software"]["name"]) == ("25GbE", "here")
    assert both["curve"][-1]["communication_seconds"] > measured["curve"][-1]["communication_seconds"]
    assert "went through the library's software" in refused("--fabric", file, "--software", file, "--results", results)


def test_a_single_block_has_no_interval(tmp_path: Path) -> None:
    folder = publish(tmp_path / "one", epochs_of(TRUTH, batches=(8,), blocks=1))
    found = document("--fabric", "25GbE", "--results", folder)
    assert found["curve"][-1]["efficiency_low"] is None
    assert found["largest_teams"][0]["low"] is None
    shown = call("--fabric", "25GbE", "--results", folder).stdout
    assert "workers, no interval" in shown
    assert "nan" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fabric", "40GbE"], "no such fabric: 40GbE. Declared are 10GbE, 25GbE, omni-path, hdr-infiniband"),
        (["--fabric", "none.json"], "--fabric none.json is not a file. `python -m gan3d.training.fabric > none.json` measures"),
        (["--fabric", "25GbE", "--software", "none.json"], "--software none.json is not a file"),
        (["--fabric", "25GbE", "--global-batch", "8", "--batch-per-worker", "8"], "two questions: ask one at a time"),
        (["--fabric", "25GbE", "--batch-per-worker", "0"], "greater than or equal to 1"),
        ([], "Missing option '--fabric'"),
    ],
)
def test_a_mistake_is_named_with_its_way_out(results: Path, arguments: list[str], message: str) -> None:
    said = refused(*arguments, "--results", results).replace("│", " ")
    assert message in " ".join(said.split())


def test_a_study_that_was_not_run_or_tells_too_little_is_refused(tmp_path: Path) -> None:
    said = refused("--fabric", "25GbE", "--results", tmp_path)
    assert f"study scaling was not run in {tmp_path}. Run it (gan3d run {STUDY})" in said
    lone = publish(tmp_path / "lone", epochs_of(TRUTH, world_sizes=(1,)))
    assert "all trials had one. Sample workers.per_trial" in refused("--fabric", "25GbE", "--results", lone)
    short = publish(tmp_path / "short", epochs_of(TRUTH, num_epochs=1))
    assert "no epoch after 1 warm-up epochs" in refused("--fabric", "25GbE", "--results", short)


def test_help_has_an_example() -> None:
    shown = CliRunner().invoke(app, ["predict", "--help"])
    assert shown.exit_code == 0
    assert "Example: gan3d predict" in " ".join(shown.stdout.split())
