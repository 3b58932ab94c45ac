"""One contract for every sampler, and what Optuna's storage holds after each way a trial can end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from optuna.trial import TrialState
from small_study import load_small_study
from tune_results import epoch_result, failed_result

from gan3d.config.load import LoadedStudy
from gan3d.config.objective import Objective
from gan3d.config.study import Sampler
from gan3d.data.paths import on_this_node
from gan3d.errors import ConfigError, DataError
from gan3d.search.files import found_from, written_in
from gan3d.search.optuna_trials import best_of
from gan3d.search.samplers import distributions, make_sampler, open_optuna_study
from gan3d.search.searcher import FINISHED, MOST_STARTS, OptunaSearcher
from gan3d.tracking.outcome import ACTOR_LOST, EPOCH, FAILED

pytestmark = pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning")

SPACE = {
    "training.generator.filters.0": {"min": 16, "max": 64, "step": 16},
    "training.global_batch": {"choice": [8, 16]},
    "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
}
NUMBERS = SPACE | {"training.global_batch": {"min": 8, "max": 64, "step": 8}}
FINITE = {"training.generator.filters.0": {"min": 16, "max": 32, "step": 16}, "training.global_batch": {"choice": [8, 16]}}
#: With two blocks nobody asks for the filters of the third, nor with three for those of the fourth.
CONDITIONAL = {
    "training.discriminator.filters.3": {"min": 16, "max": 64, "step": 16, "when": {"training.discriminator.blocks": [4]}},
    "training.discriminator.filters.2": {"min": 16, "max": 64, "step": 16, "when": {"training.discriminator.blocks": [3, 4]}},
    "training.discriminator.blocks": {"min": 2, "max": 4},
}


def load(folder: Path, sampler: dict[str, Any], space: dict[str, Any] = SPACE, number: int | None = 6) -> LoadedStudy:
    trials = {} if number is None else {"trials": {"number": number}}
    return load_small_study(folder, space, sampler=sampler, **trials)


def searcher(loaded: LoadedStudy, folder: Path) -> OptunaSearcher:
    opened = open_optuna_study(loaded.study, folder / "journal.log")
    return OptunaSearcher(loaded.study, opened, trials_folder=folder / "trials", base=loaded.base)


def stored(loaded: LoadedStudy, folder: Path) -> list[optuna.trial.FrozenTrial]:
    return open_optuna_study(loaded.study, folder / "journal.log").trials


def astuple_of(trial: optuna.trial.FrozenTrial) -> tuple[Any, ...]:
    return trial.state, trial.intermediate_values, trial.values


def samples_of(search: OptunaSearcher, number: int = 100, before: int = 0) -> list[dict[str, Any]]:
    """Ask until there are no more, ending each trial at once with a made-up objective that follows from how many there were ``before``."""
    found: list[dict[str, Any]] = []
    for turn in range(number):
        config = search.suggest(str(turn))
        if not isinstance(config, dict):
            break
        found.append(config["sample"])
        search.on_trial_complete(str(turn), epoch_result(3, float(before + len(found))))
    return found


#: All there are, and those that learn nothing from trials that have ended.
EVERY = get_args(Sampler.model_fields["name"].annotation)
BLIND = ("random", "quasi_random", "grid")


def settings_of(name: str) -> dict[str, Any]:
    """Of a sampler that models something from the fourth trial on."""
    return {"name": name} if name == "grid" else {"name": name, "seed": 5, "startup_trials": 3, "population": 3}


def load_for(folder: Path, name: str, seed: int = 5) -> LoadedStudy:
    folder.mkdir(exist_ok=True)
    space = {"grid": FINITE, "cmaes": NUMBERS}.get(name, SPACE)
    settings = settings_of(name) | ({} if name == "grid" else {"seed": seed})
    return load(folder, settings, space, None if name == "grid" else 9)


@pytest.mark.parametrize("name", EVERY)
class TestEverySampler:
    def test_samples_lie_in_the_space_and_are_as_many_as_asked_for(self, name: str, tmp_path: Path) -> None:
        loaded = load_for(tmp_path, name)
        samples = samples_of(searcher(loaded, tmp_path))
        assert len(stored(loaded, tmp_path)) == loaded.study.num_trials
        assert all(loaded.study.search_space.contains(sample) for sample in samples)

    def test_every_sample_is_a_valid_trial(self, name: str, tmp_path: Path) -> None:
        loaded = load_for(tmp_path, name)
        for sample in samples_of(searcher(loaded, tmp_path)):
            assert loaded.study.trial_settings(sample).training.generator.filters[0] == sample["training.generator.filters.0"]

    def test_the_same_seed_proposes_the_same_samples_and_another_seed_others(self, name: str, tmp_path: Path) -> None:
        first, again, other = (
            samples_of(searcher(load_for(tmp_path / run, name, seed), tmp_path / run)) for run, seed in (("a", 5), ("b", 5), ("c", 6))
        )
        assert first == again
        assert (first != other) == (name != "grid")

    def test_an_interrupted_study_proposes_what_an_uninterrupted_one_does(self, name: str, tmp_path: Path) -> None:
        whole, parts = (load_for(tmp_path / run, name) for run in ("whole", "parts"))
        uninterrupted = samples_of(searcher(whole, tmp_path / "whole"))
        found: list[dict[str, Any]] = []
        while len(found) < len(uninterrupted):
            found += samples_of(searcher(parts, tmp_path / "parts"), 2, before=len(found))
        assert found == uninterrupted

    def test_no_sample_is_trained_twice(self, name: str, tmp_path: Path) -> None:
        loaded = load_for(tmp_path, name)
        search = searcher(loaded, tmp_path)
        trained = samples_of(search)
        assert max(Counter(tuple(sorted(sample.items())) for sample in trained).values()) == 1
        assert len(trained) + len(search.untrained) == loaded.study.num_trials

    def test_without_ended_trials_only_those_that_learn_propose_something_else(self, name: str, tmp_path: Path) -> None:
        """Trials side by side, as many as there are: none ends before the last begins."""
        apart, together = (load_for(tmp_path / run, name) for run in ("apart", "together"))
        one_by_one = samples_of(searcher(apart, tmp_path / "apart"))
        search = searcher(together, tmp_path / "together")
        asked = [search.suggest(str(turn)) for turn in range(together.study.num_trials)]
        assert (one_by_one == [config["sample"] for config in asked if config is not None]) == (name in BLIND)


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"gp", "cmaes", "quasi_random"}))
def test_a_blocks_filters_are_sampled_only_where_there_is_the_block(name: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, settings_of(name), CONDITIONAL, None if name == "grid" else 12)
    search = searcher(loaded, tmp_path)
    samples = samples_of(search)
    assert all(loaded.study.search_space.contains(sample) for sample in samples)
    assert {sample["training.discriminator.blocks"] for sample in samples} == {2, 3, 4}
    for sample in samples:
        filters = [key for key in sample if key.startswith("training.discriminator.filters")]
        assert len(filters) == max(0, sample["training.discriminator.blocks"] - 2)
        loaded.study.trial_settings(sample)
    if name == "grid":
        assert len(samples) == loaded.study.num_trials == 1 + 4 + 4 * 4


@pytest.mark.parametrize("name", ["gp", "cmaes", "quasi_random"])
def test_a_sampler_of_whole_samples_is_refused_where_some_have_fewer_keys(name: str, tmp_path: Path) -> None:
    message = rf"sampler\.name = {name} needs every key in every sample, but training\.discriminator\.filters\.3 is sampled only when"
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, {"name": name}, CONDITIONAL)


def test_a_sample_that_would_train_as_an_earlier_one_is_told_and_not_trained(tmp_path: Path) -> None:
    """How trial 0 ended, for a trial of the same sample."""
    for name, result in {
        "complete": epoch_result(3, 0.5),
        "pruned": epoch_result(1, 0.5),
        "failed": failed_result("DivergedError: x"),
    }.items():
        (tmp_path / name).mkdir()
        loaded = load(tmp_path / name, {"name": "random"})
        search = searcher(loaded, tmp_path / name)
        first = search.suggest("a")
        assert first is not None
        search.on_trial_complete("a", result)
        search._optuna.enqueue_trial(first["sample"])
        second = search.suggest("b")
        assert second is not None
        assert second["number"] == 2
        twin, record = stored(loaded, tmp_path / name)[1], search.untrained[0]
        assert (record.number, record.sample, record.state, record.seconds) == (1, first["sample"], name, 0)
        assert record.reason.startswith("not trained: it would train as trial 0 did")
        assert (twin.state, twin.intermediate_values, twin.values) == astuple_of(stored(loaded, tmp_path / name)[0])
        assert twin.user_attrs["reason"] == record.reason


@pytest.mark.parametrize(
    ("changes", "result"),
    [({}, "lost"), ({"objective": {"metric": "timing.showers_per_second"}}, "complete")],
    ids=["its actor was lost", "speed is measured again"],
)
def test_what_may_end_otherwise_is_trained_again(changes: dict[str, Any], result: str, tmp_path: Path) -> None:
    loaded = load_small_study(tmp_path, SPACE, sampler={"name": "random"}, trials={"number": 3}, **changes)
    search = searcher(loaded, tmp_path)
    first = search.suggest("a")
    assert first is not None
    value = epoch_result(3, 0.5)
    search.begin("a")
    search.on_trial_complete("a", None if result == "lost" else value, error=result == "lost")
    search._optuna.enqueue_trial(first["sample"])
    again = search.suggest("b")
    assert again is not None
    assert (again["number"], again["sample"]) == (1, first["sample"])


def test_a_list_of_choices_is_nothing_for_cma_es(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sampler\.name = cmaes proposes numbers between two ends, but training\.global_batch is a list"):
        load(tmp_path, {"name": "cmaes"})


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
        (epoch_result(3, 0.5), False, TrialState.COMPLETE, None),
        (epoch_result(1, 0.5), False, TrialState.PRUNED, "stopped by the scheduler after epoch 1 of 3"),
        (failed_result("DivergedError: x"), False, TrialState.FAIL, "DivergedError: x"),
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
    search.begin("a")
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
        search.on_trial_result("a", epoch_result(epoch, value))
    search.on_trial_complete("a", epoch_result(3, 0.6, best=0.2))
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
    before.on_trial_result("lost", epoch_result(1, 0.4))
    after = searcher(loaded, tmp_path)
    assert after.num_open == 5
    again = after.suggest("found")
    assert again is not None
    assert (again["number"], again["sample"], again["digest"]) == (config["number"], config["sample"], config["digest"])
    after.on_trial_result("found", epoch_result(1, 0.4))
    after.on_trial_complete("found", epoch_result(3, 0.3))
    assert stored(loaded, tmp_path)[1].intermediate_values == {1: 0.4, 3: 0.3}


def test_a_trial_that_could_not_begin_is_proposed_again_but_not_for_ever(tmp_path: Path) -> None:
    """Tune gives a trial up at once whose actor was killed between two trials."""
    loaded = load_for(tmp_path, "random")
    search = searcher(loaded, tmp_path)
    asked = samples_of(search, number=8)
    config = search.suggest("last")
    assert config is not None
    for turn in range(MOST_STARTS - 1):
        assert search.suggest(f"one more {turn}") is None, "the last one may come back"
        search.on_trial_complete("last", None, error=True)
        assert search.num_open == 1
        assert search.suggest("last") == config
    search.begin("last")
    assert search.suggest("one more") is FINISHED
    search.on_trial_complete("last", epoch_result(3, 0.1))
    assert [trial.state for trial in stored(loaded, tmp_path)] == [TrialState.COMPLETE] * 9
    assert search.untrained == []

    again = load_for(tmp_path / "again", "random")
    search = searcher(again, tmp_path / "again")
    for _ in range(MOST_STARTS):
        config = search.suggest("first")
        assert config is not None
        search.on_trial_complete("first", None, error=True)
    assert [(record.number, record.state, record.reason) for record in search.untrained] == [(0, "failed", ACTOR_LOST)]
    assert samples_of(search) == [*asked[1:], stored(loaded, tmp_path)[8].params]


def test_a_trial_whose_sample_was_never_finished_gets_the_rest_of_it(tmp_path: Path) -> None:
    whole, halved = (load_for(tmp_path / run, "random") for run in ("whole", "halved"))
    expected = samples_of(searcher(whole, tmp_path / "whole"))
    samples_of(searcher(halved, tmp_path / "halved"), number=1)
    opened = open_optuna_study(halved.study, tmp_path / "halved" / "journal.log")
    opened.sampler = make_sampler(halved.study, 1)
    opened.ask({key: distributions(halved.study.search_space)[key] for key in list(SPACE)[:2]})
    assert samples_of(searcher(halved, tmp_path / "halved")) == expected[1:]
    assert [trial.number for trial in stored(halved, tmp_path / "halved")] == list(range(9))


def test_files_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/physicist")
    monkeypatch.setenv("SHOWERS", "showers")
    data = load(tmp_path, {"name": "random"}).study.data.model_copy(
        update={"train": ("~/a.h5", "../b_*.h5", "$SHOWERS/c.h5"), "validation": ("/d.h5",)}
    )
    found = found_from(data, Path("/studies/mine"))
    assert found.train == ("/physicist/a.h5", "/studies/b_*.h5", "/studies/mine/showers/c.h5")
    assert found.validation == ("/d.h5",)
    assert written_in(data, Path("/studies/mine")) == {
        "train": ["/physicist/a.h5", "/studies/b_*.h5", "$SHOWERS/c.h5"],
        "validation": ["/d.h5"],
    }
    monkeypatch.delenv("SHOWERS")
    with pytest.raises(DataError, match="SHOWERS is not defined"):
        found_from(data, Path("/studies/mine"))


def test_a_node_s_own_variables_count_where_it_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOWERS", raising=False)
    assert on_this_node("$SHOWERS/c.h5", "/driver/c.h5") == "/driver/c.h5"
    monkeypatch.setenv("SHOWERS", "/node/7")
    assert on_this_node("$SHOWERS/c.h5", "/driver/c.h5") == "/node/7/c.h5"
    assert on_this_node("$SHOWERS/$RUN/c.h5", "/driver/c.h5") == "/driver/c.h5"
    assert on_this_node("/shared/c.h5", "/shared/c.h5") == "/shared/c.h5"
    monkeypatch.setenv("SHOWERS", "beside/the/study")
    assert on_this_node("$SHOWERS/c.h5", "/driver/c.h5") == "/driver/c.h5"


def test_the_best_is_a_complete_trial_where_there_is_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"name": "random"})
    search = searcher(loaded, tmp_path)
    for name, result in (("a", epoch_result(1, 0.1)), ("b", epoch_result(3, 0.4)), ("c", epoch_result(3, 0.3))):
        search.suggest(name)
        search.on_trial_complete(name, result)
    records = {record.number: record for record in search.records()}
    goals = [Objective(metric=metric) for metric in ("physics.shower_distance", "timing.showers_per_second")]
    assert [best.number for objective in goals if (best := best_of(records, objective))] == [2, 1]
    pruned_only = {0: records[0]}
    assert best_of(pruned_only, goals[0]) == records[0]
    assert best_of({}, goals[0]) is None
