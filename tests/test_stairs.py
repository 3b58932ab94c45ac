"""A staircase: what its names stand for, the grid it makes with blocks, `--set`, dump and load, and everything that makes it none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan3d.config.document import parse_document
from gan3d.config.load import dump_study, load_study
from gan3d.config.schema import study_json_schema
from gan3d.config.stairs import STAIRS, Stairs
from gan3d.config.study import Study
from gan3d.errors import ConfigError
from gan3d.scaling.speedup import MIN_BLOCKS
from gan3d.search.blocks import ordered_grid
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import OptunaSearcher
from gan3d.terminal.standing import Standing

jsonschema = pytest.importorskip("jsonschema")  # comes with ray

ROOT = Path(__file__).resolve().parents[1]
SEED = "training.seed"
#: A stair to a line, from line 5 on, so that errors can be told by their line.
CHANGES = {
    "start": "{workers.threads_per_worker: 2, workers.onednn: false, workers.convolutions: plain}",
    "oneDNN": "{workers.onednn: true}",
    "more filters": "{training.generator.filters.1: 16}",
    "2 workers": "{workers.per_trial: 2, workers.threads_per_worker: 1}",
    "smaller step": "{training.generator.learning_rate: 1}",
}
STUDY = """\
name: example
question: Which?
search_space:
  stairs:
STAIRS
  training.seed: {choice: [1, 2, 3]}
sampler: {name: grid, blocks: training.seed}
objective: {metric: timing.showers_per_second}
workers: {one_node: true}
training: {batch_per_worker: 8}
data: {train: [train.h5], validation: [validation.h5]}
"""


def text_of(changes: dict[str, str], text: str = STUDY) -> str:
    return text.replace("STAIRS", "\n".join(f"    {name}: {change}" for name, change in changes.items()))


def load(folder: Path, changes: dict[str, str] = CHANGES, overrides: tuple[str, ...] = (), text: str = STUDY) -> Study:
    (folder / "study.yaml").write_text(text_of(changes, text), encoding="utf-8")
    return load_study(folder / "study.yaml", overrides).study


# --- what a name stands for ----------------------------------------------------------------------------------------------------------


def test_a_stair_is_all_that_was_changed_up_to_it(tmp_path: Path) -> None:
    study = load(tmp_path)
    trials = {name: study.trial_settings({STAIRS: name, SEED: 2}) for name in CHANGES}
    assert [trial.workers.onednn for trial in trials.values()] == [False, True, True, True, True]
    assert [trial.training.generator.filters[1] for trial in trials.values()] == [6, 6, 16, 16, 16]
    assert [(trial.world_size, trial.threads_per_worker) for trial in trials.values()] == [(1, 2)] * 3 + [(2, 1)] * 2
    assert {trial.workers.convolutions for trial in trials.values()} == {"plain"}
    assert {trial.training.seed for trial in trials.values()} == {2}
    assert len({trial.digest() for trial in trials.values()}) == len(CHANGES)


def test_a_stair_says_after_how_many_epochs_its_trials_end(tmp_path: Path) -> None:
    study = load(tmp_path, CHANGES | {"longer": "{training.epochs: 2000}"})
    assert study.epochs_of({STAIRS: "start", SEED: 1}) == study.training.epochs != 2000
    assert study.epochs_of({STAIRS: "longer", SEED: 1}) == 2000
    standing = Standing(study, now=0.0)
    standing.start(0, {STAIRS: "longer", SEED: 1}, now=0.0)
    assert standing.running[0].epochs == 2000


def test_the_highest_stair_is_all_changes_together(tmp_path: Path) -> None:
    stairs = load(tmp_path).search_space.stairs
    assert stairs is not None
    together: dict[str, Any] = {}
    for change in stairs.changes.values():
        together |= change
    assert stairs.settings_at(stairs.values[-1]) == together
    assert set(stairs.keys) == set(together)


def test_the_largest_world_size_of_any_stair_is_the_teams(tmp_path: Path) -> None:
    assert load(tmp_path).max_world_size == 2


def test_whole_numbers_of_a_fractional_knob_are_fractions(tmp_path: Path) -> None:
    stairs = load(tmp_path).search_space.stairs
    assert stairs is not None
    rate = stairs.changes["smaller step"]["training.generator.learning_rate"]
    assert (rate, type(rate)) == (1.0, float)


def test_the_default_sample_is_the_lowest_stair(tmp_path: Path) -> None:
    assert load(tmp_path).default_sample == {STAIRS: "start", SEED: 1}


def test_a_key_is_found_where_it_was_written_last(tmp_path: Path) -> None:
    stairs = load(tmp_path).search_space.stairs
    assert stairs is not None
    key = "workers.threads_per_worker"
    assert [stairs.path_of(key, name)[2] for name in CHANGES] == ["start", "start", "start", "2 workers", "2 workers"]
    assert stairs.path_of(key)[2] == "start"


# --- grid and samplers ---------------------------------------------------------------------------------------------------------------


def test_each_block_holds_every_stair_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    study = load(tmp_path)
    samples = list(ordered_grid(study))
    assert study.num_trials == len(samples) == 3 * len(CHANGES)
    assert [sample[SEED] for sample in samples] == [seed for seed in (1, 2, 3) for _ in CHANGES]
    orders = [tuple(sample[STAIRS] for sample in samples if sample[SEED] == seed) for seed in (1, 2, 3)]
    assert all(sorted(order) == sorted(CHANGES) for order in orders)
    assert len(set(orders)) == 3


def test_the_search_proposes_stairs_by_name(tmp_path: Path) -> None:
    study = load(tmp_path)
    search = OptunaSearcher(study, open_optuna_study(study, tmp_path / "journal.log"), trials_folder=tmp_path / "trials", base=tmp_path)
    config = search.suggest("1")
    assert isinstance(config, dict)
    assert config["sample"] == next(ordered_grid(study))


# --- files and overrides -------------------------------------------------------------------------------------------------------------


def test_dump_then_load_is_the_identity_and_keeps_the_order(tmp_path: Path) -> None:
    study = load(tmp_path)
    (tmp_path / "again.yaml").write_text(dump_study(study), encoding="utf-8")
    again = load_study(tmp_path / "again.yaml").study
    assert again == study
    assert list(ordered_grid(again)) == list(ordered_grid(study))
    assert again.search_space.stairs is not None
    assert again.search_space.stairs.values == tuple(CHANGES)


def test_stairs_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    space = yaml.safe_load(text_of(CHANGES))["search_space"]
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    apart = re.sub(r"search_space:\n(  .*\n)+", "search_space: space.yaml\n", text_of(CHANGES))
    assert load(tmp_path, text=apart).search_space == load(tmp_path).search_space


def test_stairs_validate_against_the_published_schema(tmp_path: Path) -> None:
    schema = study_json_schema()
    jsonschema.validate(parse_document(text_of(CHANGES), "study.yaml").data, schema)
    for wrong in ({"start": "{}"}, {"start": "{}", "other": "{workers.onedn: true}"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(parse_document(text_of(wrong), "study.yaml").data, schema)


@pytest.mark.parametrize(
    ("override", "name", "key", "value"),
    [
        ("search_space.stairs.more filters.training.generator.filters.1=32", "more filters", "training.generator.filters.1", 32),
        ("search_space.stairs.more filters.training.generator.filters.2=16", "more filters", "training.generator.filters.2", 16),
        ("search_space.stairs.batch={training.batch_per_worker: 32}", "batch", "training.batch_per_worker", 32),
    ],
)
def test_an_override_changes_one_stair_and_those_above(override: str, name: str, key: str, value: int, tmp_path: Path) -> None:
    stairs, before = load(tmp_path, overrides=(override,)).search_space.stairs, load(tmp_path).search_space.stairs
    assert stairs is not None
    assert before is not None
    assert stairs.changes[name][key] == value
    place = stairs.values.index(name)
    for other in stairs.values[:place]:
        assert stairs.settings_at(other) == before.settings_at(other)
    assert all(stairs.settings_at(other)[key] == value for other in stairs.values[place:])


# --- everything that makes it none ---------------------------------------------------------------------------------------------------

NO_NAME = "is no name of a stair: up to 40 letters, digits, blanks and / _ -, no number, and no word such as true or none"


def changed(name: str, change: str) -> dict[str, str]:
    return {**CHANGES, name: change}


@pytest.mark.parametrize(
    ("changes", "place", "fragments"),
    [
        ({"start": "{}"}, ":4", ('stairs = {"start": {}} must be at least two stairs', "Write {start: {}, more threads:")),
        (changed("a.b", "{workers.per_trial: 2}"), ":10", (f"stairs.a.b {NO_NAME}",)),
        (changed("none", "{workers.per_trial: 2}"), ":10", (f"stairs.none {NO_NAME}", "Choose another name.")),
        (changed("1e3", "{workers.per_trial: 2}"), ":10", (f"stairs.1e3 {NO_NAME}",)),
        (changed("inf", "{workers.per_trial: 2}"), ":10", (f"stairs.inf {NO_NAME}",)),
        (changed("x" * 41, "{workers.per_trial: 2}"), ":10", (NO_NAME,)),
        (changed('"trailing "', "{workers.per_trial: 2}"), ":10", (NO_NAME,)),
        (changed("oneDNN", "true"), ":6", ("stairs.oneDNN = true must be dotted keys and values", "each stair changes the one before")),
        (changed("oneDNN", "[16, 32]"), ":6", ("stairs.oneDNN = [16, 32] must be dotted keys and values",)),
        (changed("oneDNN", "{}"), ":6", ("stairs.oneDNN changes nothing", "Only the first stair may: remove it.")),
        (changed("oneDNN", "{workers.onedn: true}"), ":6", ("unknown key workers.onedn; did you mean workers.onednn?",)),
        (changed("oneDNN", "{workers.one_node: false}"), ":6", ("workers.one_node cannot be sampled", "chosen once for the study")),
        (changed("oneDNN", "{training.generator: 3}"), ":6", ("training.generator is a section, not a single value",)),
        (changed("oneDNN", "{training.generator.filters: 3}"), ":6", ("training.generator.filters is a list",)),
        (changed("oneDNN", "{trials.number: 3}"), ":6", ("trials.number belongs to the study, not to a trial",)),
        (changed("oneDNN", "{training.seed: 4}"), ":6", ("training.seed is changed by a stair and has a range too", "from stairs.oneDNN")),
        (changed("oneDNN", "{workers.onednn: 1}"), ":6", ("workers.onednn = 1 must be true or false", "Correct it in stairs.oneDNN.")),
        (
            changed("oneDNN", "{workers.memory_format: contigous}"),
            ":6",
            ("workers.memory_format = contigous must be one of channels_last, contiguous; did you mean contiguous?",),
        ),
        (
            changed("oneDNN", "{workers.onednn: false}"),
            ":6",
            ("workers.onednn = false is that already on the stair before", "Remove it from stairs.oneDNN."),
        ),
        (
            changed("oneDNN", "{workers.onednn: true, training.generator.filters.0: 64}"),
            ":6",
            ("training.generator.filters.0 is that already on the stair before", "Remove it from stairs.oneDNN."),
        ),
        (changed("last", "{training.epochs: 25}"), ":10", ("stairs.last changes nothing: its trials are as on the stair before",)),
        (
            changed("last", "{training.epochs: 3, training.loss_weights.polar_angle: 1}"),
            ":10",
            ("training.loss_weights.polar_angle changes nothing on this stair: it acts only with training.polar_angle: true",),
        ),
        (
            changed("last", "{workers.threads_per_worker: 2}"),
            ":10",
            ("workers.threads_per_worker = 2 makes 4 threads, more than the 2 CPUs of the study's largest trial", "3 of 18 samples fail"),
        ),
        (
            changed("oneDNN", "{workers.convolutions: measured, workers.memory_format: contiguous}"),
            ":6",
            ("workers.memory_format = contiguous acts only where torch computes all convolutions", "samples fail"),
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:60],
)
def test_what_is_no_staircase_is_refused_where_it_is_written(
    changes: dict[str, str], place: str, fragments: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changes)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'study.yaml'}{place}: "), message
    for fragment in fragments:
        assert fragment in message, message


def test_a_list_is_no_staircase(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stairs = \[start, oneDNN\] must be at least two stairs, each with a name"):
        load(tmp_path, overrides=("search_space.stairs=[start, oneDNN]",))


def test_a_bad_stair_does_not_hide_the_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {**CHANGES, "oneDNN": "{workers.onednn: 1}", "true": "{}", "2 workers": "{workers.per_trial: 0}"})
    assert [line.partition("study.yaml:")[2].partition(":")[0] for line in str(caught.value).splitlines()] == ["6", "8", "10"]


def test_speeds_cannot_be_stairs_of_a_study_of_physics(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"workers\.onednn cannot be sampled: it changes how fast a trial is, not what it learns"):
        load(tmp_path, overrides=("objective.metric=physics.shower_distance",))


def test_a_figure_of_stairs_needs_stairs(tmp_path: Path) -> None:
    text = re.sub(r"  stairs:\nSTAIRS\n", "", STUDY) + "figures: [single_node]\n"
    with pytest.raises(ConfigError, match=r"figures = \[single_node\] needs a staircase: the search space has no stairs"):
        load(tmp_path, text=text)


def test_a_sample_of_no_stair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stairs = attic is none of the stairs\. Use one of start, oneDNN, more filters"):
        load(tmp_path).trial_settings({STAIRS: "attic"})


def test_stairs_are_the_same_with_and_without_their_word() -> None:
    changes = {"start": {}, "end": {"workers.onednn": True}}
    assert Stairs.model_validate(changes) == Stairs(changes=changes)
    assert Stairs.model_validate(changes).model_dump() == changes


# --- the study that comes with the project -------------------------------------------------------------------------------------------


def test_the_single_node_study_climbs_the_seeds_stairs_first() -> None:
    """Kernels, filters, workers, each the only change; both cores are busy on every stair; the networks of the start come back."""
    study = load_study(ROOT / "studies" / "single_node.yaml").study
    assert study.search_space.stairs is not None
    assert len(study.search_space.ranges[SEED].values or ()) >= MIN_BLOCKS
    assert (study.sampler.blocks, study.trials.concurrent, study.figures) == (SEED, 1, ("single_node",))
    trials = [study.trial_settings({STAIRS: name, SEED: 1}) for name in study.search_space.stairs.values]
    assert all(trial.world_size * trial.threads_per_worker == 2 for trial in trials)
    filters = [trial.training.generator.filters[1:] + trial.training.discriminator.filters[1:] for trial in trials]
    seed, multiples = (6, 6, 8, 8, 8), (16,) * 5
    assert filters == [seed] * 2 + [multiples] * (len(trials) - 4) + [seed] * 2
    assert [trial.workers.onednn for trial in trials] == [False] + [True] * (len(trials) - 1)
    assert [trial.world_size for trial in trials] == [1] * 3 + [2] * (len(trials) - 3)
    assert {trial.workers.convolutions for trial in trials[:4]} == {"plain"}
    assert {trial.workers.memory_format for trial in trials[:4]} == {"contiguous"}
    assert {trial.batch_per_worker for trial in trials[:-1]} == {8}, "as the seed's"
