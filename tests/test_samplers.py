"""One contract for every sampler, and what Optuna's storage holds after each way a trial can end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from small_study import load_small_study

from gan3d.config.load import LoadedStudy
from gan3d.errors import DataError
from gan3d.search.samplers import distributions, open_optuna_study
from gan3d.search.searcher import OptunaSearcher, best_of, found_from
from gan3d.tracking.outcome import BEST, EPOCH, FAILED, REASON

pytestmark = pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning")

SPACE = {
    "training.generator.filters.0": {"min": 16, "max": 64, "step": 16},
    "training.global_batch": {"choice": [8, 16]},
    "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
}
FINITE = {"training.generator.filters.0": {"min": 16, "max": 32, "step": 16}, "training.global_batch": {"choice": [8, 16]}}
METRIC = "physics.shower_distance"


def load(folder: Path, sampler: dict[str, Any], space: dict[str, Any] = SPACE, number: int | None = 6) -> LoadedStudy:
    trials = {} if number is None else {"trials": {"number": number}}
    return load_small_study(folder, space, sampler=sampler, **trials)


def searcher(loaded: LoadedStudy, folder: Path) -> OptunaSearcher:
    opened = open_optuna_study(loaded.study, folder / "journal.log")
    return OptunaSearcher(loaded.study, opened, trials_folder=folder / "trials", base=loaded.base)


def stored(loaded: LoadedStudy, folder: Path) -> list[optuna.trial.FrozenTrial]:
    return open_optuna_study(loaded.study, folder / "journal.log").trials


def ended(epoch: int, value: float) -> dict[str, Any]:
    return {METRIC: value, EPOCH: epoch, FAILED: False, REASON: "", BEST: value, "time_total_s": 1.0}


def samples_of(search: OptunaSearcher, number: int = 100) -> list[dict[str, Any]]:
    """Ask until there are no more, ending each trial at once with a made-up objective."""
    found: list[dict[str, Any]] = []
    for turn in range(number):
        config = search.suggest(str(turn))
        if not isinstance(config, dict):
            break
        found.append(config["sample"])
        search.on_trial_complete(str(turn), ended(3, float(len(found))))
    return found


@pytest.mark.parametrize("name", ["tpe", "random", "grid"])
class TestEverySampler:
    def space(self, name: str) -> dict[str, Any]:
        return FINITE if name == "grid" else SPACE

    def settings(self, name: str) -> dict[str, Any]:
        return {"name": name} if name == "grid" else {"name": name, "seed": 5}

    def load(self, folder: Path, name: str) -> LoadedStudy:
        return load(folder, self.settings(name), self.space(name), None if name == "grid" else 6)

    def test_samples_lie_in_the_space_and_are_as_many_as_asked_for(self, name: str, tmp_path: Path) -> None:
        loaded = self.load(tmp_path, name)
        samples = samples_of(searcher(loaded, tmp_path))
        assert len(samples) == loaded.study.num_trials
        assert all(loaded.study.search_space.contains(sample) for sample in samples)

    def test_every_sample_is_a_valid_trial(self, name: str, tmp_path: Path) -> None:
        loaded = self.load(tmp_path, name)
        for sample in samples_of(searcher(loaded, tmp_path)):
            assert loaded.study.trial_settings(sample).global_batch == sample["training.global_batch"]

    def test_the_same_seed_proposes_the_same_samples(self, name: str, tmp_path: Path) -> None:
        loaded = self.load(tmp_path, name)
        for run in ("a", "b"):
            (tmp_path / run).mkdir()
        assert samples_of(searcher(loaded, tmp_path / "a")) == samples_of(searcher(loaded, tmp_path / "b"))

    def test_a_resumed_study_proposes_no_sample_of_a_continuous_space_twice(self, name: str, tmp_path: Path) -> None:
        loaded = self.load(tmp_path, name)
        first = samples_of(searcher(loaded, tmp_path), number=3)
        second = samples_of(searcher(loaded, tmp_path))
        counts = Counter(tuple(sorted(sample.items())) for sample in first + second)
        assert sum(counts.values()) == loaded.study.num_trials
        assert max(counts.values()) == 1


def test_a_grid_is_the_product_of_its_ranges(tmp_path: Path) -> None:
    samples = samples_of(searcher(load(tmp_path, {"name": "grid"}, FINITE, None), tmp_path))
    assert sorted(tuple(sample.values()) for sample in samples) == [(16, 8), (16, 16), (32, 8), (32, 16)]


def test_the_settings_as_written_are_tried_first(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"name": "tpe"})
    assert samples_of(searcher(loaded, tmp_path), number=1) == [loaded.study.default_sample]


def test_quantised_logarithmic_and_listed_ranges_keep_their_kind(tmp_path: Path) -> None:
    found = distributions(load(tmp_path, {"name": "random"}).study.search_space)
    assert found["training.generator.filters.0"] == optuna.distributions.IntDistribution(16, 64, step=16)
    assert found["training.generator.learning_rate"] == optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)
    assert found["training.global_batch"] == optuna.distributions.CategoricalDistribution((8, 16))


@pytest.mark.parametrize(
    ("result", "error", "state", "reason"),
    [
        (ended(3, 0.5), False, TrialState.COMPLETE, None),
        (ended(1, 0.5), False, TrialState.PRUNED, "stopped by the scheduler after epoch 1 of 3"),
        (
            {METRIC: float("inf"), EPOCH: 1, FAILED: True, REASON: "DivergedError: x", BEST: None},
            False,
            TrialState.FAIL,
            "DivergedError: x",
        ),
        (None, True, TrialState.FAIL, "the trial's actor was lost"),
    ],
    ids=["complete", "pruned", "diverged", "lost"],
)
def test_optuna_is_told_the_truth(
    result: dict[str, Any] | None, error: bool, state: TrialState, reason: str | None, tmp_path: Path
) -> None:
    loaded = load(tmp_path, {"name": "tpe"})
    search = searcher(loaded, tmp_path)
    search.suggest("a")
    search.on_trial_complete("a", result, error=error)
    trial = stored(loaded, tmp_path)[0]
    assert trial.state == state
    assert trial.user_attrs.get("reason") == reason
    assert trial.intermediate_values == ({result[EPOCH]: 0.5} if result is not None and not result[FAILED] else {})


def test_the_objective_is_that_of_the_best_epoch_and_the_curve_is_kept(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"name": "tpe"})
    search = searcher(loaded, tmp_path)
    search.suggest("a")
    for epoch, value in ((1, 0.9), (2, 0.2), (2, 0.2)):
        search.on_trial_result("a", ended(epoch, value))
    search.on_trial_complete("a", ended(3, 0.6) | {BEST: 0.2})
    trial = stored(loaded, tmp_path)[0]
    assert trial.value == 0.2
    assert trial.intermediate_values == {1: 0.9, 2: 0.2, 3: 0.6}
    record = next(search.records())
    assert (record.state, record.objective, record.epochs) == ("complete", 0.2, 3)


def test_an_interrupted_trial_is_taken_up_first_under_its_number_and_sample(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"name": "random"})
    before = searcher(loaded, tmp_path)
    samples_of(before, number=1)
    config = before.suggest("lost")
    assert config is not None
    before.on_trial_result("lost", ended(1, 0.4))
    after = searcher(loaded, tmp_path)
    assert after.num_open == 5
    again = after.suggest("found")
    assert again is not None
    assert (again["number"], again["sample"], again["digest"]) == (config["number"], config["sample"], config["digest"])
    after.on_trial_result("found", ended(1, 0.4))
    after.on_trial_complete("found", ended(3, 0.3))
    assert stored(loaded, tmp_path)[1].intermediate_values == {1: 0.4, 3: 0.3}


def test_a_trial_whose_sample_was_never_finished_has_failed(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"name": "random"})
    opened = open_optuna_study(loaded.study, tmp_path / "journal.log")
    samples_of(OptunaSearcher(loaded.study, opened, trials_folder=tmp_path, base=loaded.base), number=1)
    opened.ask().suggest_categorical("training.global_batch", [8, 16])
    search = searcher(loaded, tmp_path)
    assert [record.state for record in search.records()] == ["complete", "failed"]
    assert "while its sample was drawn" in search.refused[0].reason


def test_files_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/physicist")
    monkeypatch.setenv("SHOWERS", "showers")
    data = load(tmp_path, {"name": "random"}).study.data.model_copy(
        update={"train": ("~/a.h5", "../b_*.h5", "$SHOWERS/c.h5"), "validation": ("/d.h5",)}
    )
    found = found_from(data, Path("/studies/mine"))
    assert found.train == ("/physicist/a.h5", "/studies/b_*.h5", "/studies/mine/showers/c.h5")
    assert found.validation == ("/d.h5",)
    monkeypatch.delenv("SHOWERS")
    with pytest.raises(DataError, match="SHOWERS is not defined"):
        found_from(data, Path("/studies/mine"))


def test_the_best_is_a_complete_trial_where_there_is_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"name": "random"})
    search = searcher(loaded, tmp_path)
    for name, result in (("a", ended(1, 0.1)), ("b", ended(3, 0.4)), ("c", ended(3, 0.3))):
        search.suggest(name)
        search.on_trial_complete(name, result)
    records = {record.number: record for record in search.records()}
    assert [best.number for direction in ("minimize", "maximize") if (best := best_of(records, direction))] == [2, 1]
    pruned_only = {0: records[0]}
    assert best_of(pruned_only, "minimize") == records[0]
    assert best_of({}, "minimize") is None
