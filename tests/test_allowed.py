"""No sampler proposes what is forbidden; with the same seed the same samples, interrupted or not, whatever was refused on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from small_study import load_small_study
from tune_results import epoch_result

from gan3d.config.load import LoadedStudy
from gan3d.config.study import Sampler
from gan3d.search import allowed
from gan3d.search.allowed import NO_GENERATION, AllowedSampler
from gan3d.search.samplers import distributions, make_sampler, open_optuna_study, suggest
from gan3d.search.searcher import OptunaSearcher

pytestmark = pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning")

FILTERS, BATCH, RATE = "training.generator.filters.0", "training.global_batch", "training.generator.learning_rate"
NUMBERS: dict[str, Any] = {
    FILTERS: {"min": 16, "max": 64, "step": 16},
    BATCH: {"min": 8, "max": 64, "step": 8},
    RATE: {"min": 1e-4, "max": 1e-2, "log": True},
}
#: Seven of ten samples; the settings as written are among them.
MOST = [
    {BATCH: {"min": 32}, RATE: {"max": 2e-3}},
    {FILTERS: [16, 32], RATE: {"min": 6e-4}},
    {FILTERS: [48, 64], BATCH: {"max": 16}},
]
SPACES: dict[str, dict[str, Any]] = {
    name: NUMBERS | {BATCH: {"choice": [*range(8, 65, 8)]}} for name in get_args(Sampler.model_fields["name"].annotation)
}
SPACES["cmaes"] = NUMBERS
SPACES["grid"] = SPACES["tpe"] | {RATE: {"choice": [1e-4, 5e-4, 1e-3, 1e-2]}}
BLOCKS, THIRD, FOURTH = "training.discriminator.blocks", "training.discriminator.filters.2", "training.discriminator.filters.3"
CONDITIONAL: dict[str, Any] = {
    FOURTH: {"min": 16, "max": 64, "step": 16, "when": {BLOCKS: [4]}},
    THIRD: {"min": 16, "max": 64, "step": 16, "when": {BLOCKS: [3, 4]}},
    RATE: {"min": 1e-4, "max": 1e-2, "log": True},
    BLOCKS: {"min": 2, "max": 4},
}
DEEP = [{BLOCKS: [4], RATE: {"min": 1e-3}}, {THIRD: {"min": 48}, FOURTH: {"min": 32}}, {BLOCKS: [2], RATE: {"max": 5e-4}}, {FOURTH: [16]}]

WITH_CONDITIONS = ("tpe", "nsga2", "random")
#: Name → ranges, if they are not the sampler's own, and combinations.
CASES: dict[str, tuple[dict[str, Any] | None, list[dict[str, Any]]]] = {
    "plain": (None, MOST),
    "conditional": (CONDITIONAL, DEEP),
    "free": (None, []),
}

#: Each proposal of a Gaussian process takes a second.
TRIALS = {"gp": 8}


def load(folder: Path, name: str, space: dict[str, Any], forbidden: list[dict[str, Any]], seed: int = 5) -> LoadedStudy:
    folder.mkdir(exist_ok=True)
    if name == "grid":
        return load_small_study(folder, space | {"forbidden": forbidden})
    sampler = {"name": name, "seed": seed, "startup_trials": 3, "population": 3}
    return load_small_study(folder, space | {"forbidden": forbidden}, sampler=sampler, trials={"number": TRIALS.get(name, 18)})


def searcher(loaded: LoadedStudy, folder: Path) -> OptunaSearcher:
    opened = open_optuna_study(loaded.study, folder / "journal.log")
    return OptunaSearcher(loaded.study, opened, trials_folder=folder / "trials", base=loaded.base)


def merit_of(sample: dict[str, Any]) -> float:
    """Best where it is forbidden, so that samplers that learn are drawn there."""
    return abs(sample.get(RATE, 0) - 1e-3) * 100 + sample.get(FILTERS, 0) / 64 - sample.get(BATCH, 0) / 64 - sample.get(FOURTH, 0) / 64


def samples_of(search: OptunaSearcher, number: int = 1_000) -> list[dict[str, Any]]:
    """Ask until there are no more, ending each trial at once with what its sample is worth."""
    found: list[dict[str, Any]] = []
    while len(found) < number and isinstance(config := search.suggest(str(len(found))), dict):
        search.on_trial_complete(str(len(found)), epoch_result(3, merit_of(config["sample"])))
        found.append(config["sample"])
    return found


@pytest.mark.parametrize("name", SPACES)
class TestEverySampler:
    def test_nothing_forbidden_is_proposed_and_every_trial_is_trained(self, name: str, tmp_path: Path) -> None:
        loaded = load(tmp_path, name, SPACES[name], MOST)
        search, space = searcher(loaded, tmp_path), loaded.study.search_space
        samples = samples_of(search)
        assert all(space.contains(sample) for sample in samples)
        assert all(record.reason.startswith("not trained: it would train as") for record in search.untrained)
        assert len(samples) + len(search.untrained) == loaded.study.num_trials
        assert all(space.contains(record.sample) for record in search.untrained)

    def test_without_combinations_it_would_be(self, name: str, tmp_path: Path) -> None:
        restricted = load(tmp_path / "restricted", name, SPACES[name], MOST).study.search_space
        samples = samples_of(searcher(load(tmp_path / "free", name, SPACES[name], []), tmp_path / "free"))
        assert sum(restricted.forbidden_by(sample) is not None for sample in samples) > len(samples) / 3

    def test_the_same_seed_proposes_the_same_samples_and_another_seed_others(self, name: str, tmp_path: Path) -> None:
        first, again, other = (
            samples_of(searcher(load(tmp_path / run, name, SPACES[name], MOST, seed), tmp_path / run))
            for run, seed in (("a", 5), ("b", 5), ("c", 6))
        )
        assert first == again
        assert (first != other) == (name != "grid")

    def test_an_interrupted_study_proposes_what_an_uninterrupted_one_does(self, name: str, tmp_path: Path) -> None:
        whole, parts = (load(tmp_path / run, name, SPACES[name], MOST) for run in ("whole", "parts"))
        uninterrupted = samples_of(searcher(whole, tmp_path / "whole"))
        found: list[dict[str, Any]] = []
        while part := samples_of(searcher(parts, tmp_path / "parts"), 2):
            found += part
        assert found == uninterrupted


@pytest.mark.parametrize("name", WITH_CONDITIONS)
def test_ranges_with_conditions_keep_to_it_too(name: str, tmp_path: Path) -> None:
    runs = []
    for run in ("first", "again"):
        loaded = load(tmp_path / run, name, CONDITIONAL, DEEP)
        search = searcher(loaded, tmp_path / run)
        runs.append(samples_of(search))
        assert all(loaded.study.search_space.contains(sample) for sample in runs[-1])
        assert len(runs[-1]) + sum("it would train as" in record.reason for record in search.untrained) == loaded.study.num_trials
    assert runs[0] == runs[1]
    assert {sample[BLOCKS] for sample in runs[0]} == {2, 3, 4}


@pytest.mark.parametrize(
    ("name", "space"),
    [
        *((name, "plain") for name in (*WITH_CONDITIONS, "gp", "cmaes")),
        *((name, "conditional") for name in WITH_CONDITIONS),
        ("gp", "free"),
    ],
)
def test_a_sample_that_a_kill_cut_short_gets_the_rest_it_would_have_had(name: str, space: str, tmp_path: Path) -> None:
    """Killed before each of its values, in a trial of random draws and in one that the sampler models."""
    _cut_everywhere(name, space, tmp_path)


@pytest.mark.parametrize(("name", "space"), [("tpe", "plain"), ("tpe", "conditional"), ("cmaes", "plain")])
def test_so_does_one_that_was_drawn_near_what_was_refused(name: str, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowed, "MOST_ASKED", 1)
    _cut_everywhere(name, space, tmp_path)


def _cut_everywhere(name: str, space: str, tmp_path: Path) -> None:
    ranges, forbidden = CASES[space]
    ranges = ranges or SPACES[name]
    whole = load(tmp_path / "whole", name, ranges, forbidden)
    expected = samples_of(searcher(whole, tmp_path / "whole"), 8)
    for ended in (1, 7):
        for drawn in range(1, len(expected[ended])):
            folder = tmp_path / f"{ended} {drawn}"
            cut = load(folder, name, ranges, forbidden)
            assert samples_of(searcher(cut, folder), ended) == expected[:ended]
            _draw_and_die(cut, folder, drawn)
            assert samples_of(searcher(cut, folder), 1) == [expected[ended]]


def _draw_and_die(loaded: LoadedStudy, folder: Path, number: int) -> None:
    """Begin the next trial's sample, as the searcher does, and leave it there."""
    opened, space = open_optuna_study(loaded.study, folder / "journal.log"), loaded.study.search_space
    opened.sampler = make_sampler(loaded.study, len(opened.trials))
    trial, found = opened.ask(), distributions(space)
    for key in space.conditions:
        if len(trial.params) < number and all(trial.params.get(parent) in values for parent, values in space.conditions[key].items()):
            suggest(trial, key, found[key])


def test_a_sequence_that_goes_on_after_a_kill_still_completes_nothing_forbidden(tmp_path: Path) -> None:
    """The position of `quasi_random` is in the storage: the rest of a sample is of another point."""
    for drawn in (1, 2):
        for ended in range(1, 12):
            folder = tmp_path / f"{drawn} {ended}"
            loaded = load(folder, "quasi_random", SPACES["quasi_random"], MOST)
            samples_of(searcher(loaded, folder), ended)
            _draw_and_die(loaded, folder, drawn)
            assert loaded.study.search_space.contains(samples_of(searcher(loaded, folder), 1)[0])


def test_nothing_is_drawn_into_a_corner(tmp_path: Path) -> None:
    """After 16 filters every batch would be forbidden, though no combination is complete with them alone."""
    corner = [
        {FILTERS: [16], BATCH: {"max": 32}},
        {FILTERS: [16], BATCH: {"min": 40}, RATE: {"max": 1e-3}},
        {FILTERS: [16], RATE: {"min": 1e-3}},
    ]
    loaded = load(tmp_path, "random", NUMBERS, corner)
    search = searcher(loaded, tmp_path)
    assert FILTERS in {key for sample in samples_of(search) for key in sample if sample[FILTERS] != 16}
    assert search.untrained == []


def test_where_all_proposals_are_refused_one_is_drawn_that_the_sampler_learns_nothing_wrong_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sampler that is never asked twice proposes random samples instead; CMA-ES counts them to no generation."""
    monkeypatch.setattr(allowed, "MOST_ASKED", 0)
    loaded = load(tmp_path, "cmaes", NUMBERS, MOST)
    samples = samples_of(searcher(loaded, tmp_path))
    assert all(loaded.study.search_space.contains(sample) for sample in samples)
    monkeypatch.setattr(allowed, "MOST_ASKED", 1)
    loaded = load(tmp_path / "once", "cmaes", NUMBERS, MOST)
    samples_of(searcher(loaded, tmp_path / "once"))
    trials = open_optuna_study(loaded.study, tmp_path / "once" / "journal.log").trials
    generations = [value for trial in trials for name, value in trial.system_attrs.items() if name.endswith(":generation")]
    assert NO_GENERATION in generations
    assert max(generations) > NO_GENERATION


def test_a_forbidden_sample_that_nobody_drew_fails_before_it_begins_and_says_why(tmp_path: Path) -> None:
    loaded = load(tmp_path, "random", NUMBERS, MOST)
    search = searcher(loaded, tmp_path)
    search._optuna.enqueue_trial({FILTERS: 16, BATCH: 8, RATE: 1e-3})
    config = search.suggest("next")
    assert config is not None
    assert config["number"] == 1
    (record,) = search.untrained
    assert (record.number, record.state, record.epochs) == (0, "failed", 0)
    assert "forbidden.1 forbids this sample: {training.generator.filters.0: [16, 32]," in record.reason


def test_only_a_space_with_combinations_gets_the_sampler_around(tmp_path: Path) -> None:
    kinds = [type(make_sampler(load(tmp_path, "tpe", NUMBERS, forbidden).study, 3)) for forbidden in ([], MOST)]
    assert kinds == [optuna.samplers.TPESampler, AllowedSampler]
