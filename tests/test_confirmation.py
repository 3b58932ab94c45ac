"""The study that confirms another one: its contenders are those samples, with seeds that nobody had, and it runs as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_study import load_small_study, write_study
from typer.testing import CliRunner

from gan3d.cli.app import app
from gan3d.cli.results import JOURNAL
from gan3d.config.load import dump_study, read_study
from gan3d.config.study import Study
from gan3d.errors import ConfigError
from gan3d.records import TrialRecord
from gan3d.search.confirmation import LONGEST_NAME, confirmation_of, fresh_seeds

SPACE: dict[str, Any] = {
    "training.discriminator.blocks": {"min": 3, "max": 4},
    "training.discriminator.filters.3": {"choice": [4, 8], "when": {"training.discriminator.blocks": [4]}},
    "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
    "training.seed": {"choice": [1, 5]},
}
BEST = {"training.discriminator.blocks": 3, "training.generator.learning_rate": 0.004, "training.seed": 5}
REFERENCES = {"few filters": {"training.generator.filters.1": 2, "training.discriminator.filters.3": 8}}


def study_of(folder: Path, **changes: Any) -> Study:
    return load_small_study(folder, SPACE, sampler={"name": "random"}, **changes).study


def record(sample: dict[str, Any]) -> TrialRecord:
    return TrialRecord(7, sample, "complete", "", 3, 0.2, 10.0)


def confirmed(study: Study, sample: dict[str, Any], **changes: Any) -> Study:
    return confirmation_of(study, record(sample), **({"seeds": 3, "core_seconds": 90.0, "base": Path("/showers")} | changes))


def digest_without_seed(study: Study, sample: dict[str, Any]) -> str:
    """Of what is trained, apart from the seed, the epochs and where the showers are."""
    settings = study.trial_settings(sample)
    training = settings.training.model_copy(update={"seed": 0, "epochs": 1})
    files = settings.data.model_copy(update={"train": ("a",), "validation": ("b",)})
    return settings.model_copy(update={"training": training, "data": files}).digest()


def test_each_contender_is_trained_as_it_was_meant(tmp_path: Path) -> None:
    study = study_of(tmp_path, references=REFERENCES)
    found = confirmed(study, BEST)
    default = study.default_sample
    assert default is not None
    meant = {"default": default, "few filters": REFERENCES["few filters"], "best": BEST}
    assert len(found.grid) == 9
    for sample in found.grid:
        assert digest_without_seed(found, sample) == digest_without_seed(study, meant[sample["stairs"]]), sample
    assert len({digest_without_seed(found, sample) for sample in found.grid}) == 3


def test_seeds_are_fresh_and_every_contender_has_them_all(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    assert fresh_seeds(study, 3) == [6, 7, 8]
    found = confirmed(study, BEST)
    assert {(sample["stairs"], sample["training.seed"]) for sample in found.grid} == {
        (name, seed) for name in ("default", "best") for seed in (6, 7, 8)
    }
    assert found.sampler.blocks == "training.seed"


def test_all_end_at_the_same_core_seconds_and_nothing_is_chosen(tmp_path: Path) -> None:
    found = confirmed(study_of(tmp_path, budget={"wall_hours": 1}), BEST)
    assert (found.scheduler.name, found.scheduler.rungs_in, found.scheduler.most) == ("none", "core_seconds", 90.0)
    assert found.training.epochs == 12
    assert not found.budget.limits
    # The best trial had 3 epochs; forty times its cost are 120, and four times as many for a contender that is cheaper.
    assert confirmed(study_of(tmp_path), BEST, stretch=40.0).training.epochs == 480


def test_it_is_a_study_that_a_file_can_hold(tmp_path: Path) -> None:
    found = confirmed(study_of(tmp_path, references=REFERENCES), BEST)
    assert read_study(dump_study(found), "again") == found
    assert found.data.train == ("/showers/train.h5",)
    long = confirmed(study_of(tmp_path, name="a" * LONGEST_NAME), BEST)
    assert len(long.name) == LONGEST_NAME
    assert long.name.endswith("_confirmation")


def test_a_reference_that_trains_as_the_default_does_is_trained_once(tmp_path: Path) -> None:
    study = study_of(tmp_path, references={"twin": {"training.generator.filters.1": 4}})
    assert {sample["stairs"] for sample in confirmed(study, BEST).grid} == {"default", "best"}


def test_beside_some_contenders_only(tmp_path: Path) -> None:
    study = study_of(tmp_path, references=REFERENCES)
    found = confirmed(study, BEST, against=("few filters",))
    assert {sample["stairs"] for sample in found.grid} == {"few filters", "best"}
    assert "better than few filters, with fresh seeds" in found.question
    for sample in found.grid:
        meant = REFERENCES["few filters"] if sample["stairs"] == "few filters" else BEST
        assert digest_without_seed(found, sample) == digest_without_seed(study, meant)
    with pytest.raises(ConfigError, match=r"--against many filters: no contender has this name\. There are: default, few filters"):
        confirmed(study, BEST, against=("many filters",))


def test_there_is_nothing_to_confirm_where_the_default_sample_is_the_best(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    assert study.default_sample is not None
    with pytest.raises(ConfigError, match="nothing to confirm"):
        confirmed(study, study.default_sample)
    with pytest.raises(ConfigError, match="nothing to confirm"):
        confirmed(study, study.default_sample | {"training.seed": 5})  # luck alone


def test_a_study_that_is_not_there_or_has_no_best_trial_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nowhere = CliRunner().invoke(app, ["confirm", "nobody"])
    assert nowhere.exit_code == 2
    assert "no study was run in" in nowhere.output
    study = study_of(tmp_path)
    folder = tmp_path / "results" / "small"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    (folder / JOURNAL).touch()
    empty = CliRunner().invoke(app, ["confirm", "small", "--json"])
    assert empty.exit_code == 2
    assert "no trial with an objective" in json.loads(empty.stdout)["error"]["message"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")  # Ray's and MLflow's own
def test_a_search_is_confirmed_as_a_user_confirms_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Nothing is learnt at the learning rate that is written, so that another sample wins.
    space = {"training.generator.learning_rate": {"min": 1e-9, "max": 1e-2, "log": True}}
    generator = {"filters": [4, 4, 4], "kernel": 3, "normalisation": "group", "noise_dim": 8, "learning_rate": 1e-9}
    training = {
        "epochs": 3,
        "global_batch": 16,
        "generator": generator,
        "discriminator": {"filters": [4, 4, 4, 4], "normalisation": "group"},
    }
    path = write_study(
        tmp_path,
        space,
        sampler={"name": "random", "seed": 3},
        trials={"number": 4},
        references={"few filters": {"training.generator.filters.1": 2}},
        workers={"per_trial": 1},
        training=training,
    )
    found = CliRunner().invoke(app, ["run", str(path)])
    assert found.exit_code == 0, found.output
    assert "gan3d confirm small" in found.output
    planned = CliRunner().invoke(app, ["confirm", "small", "--seeds", "2", "--plan", "--json"])
    assert json.loads(planned.stdout)["num_trials"] == 6
    told = CliRunner().invoke(app, ["confirm", "small", "--seeds", "2", "--core-seconds", "8", "--json"])
    assert told.exit_code == 0, told.output
    summary = json.loads(told.stdout)
    assert [trial["state"] for trial in summary["trials"]] == ["complete"] * 6
    most = json.loads((tmp_path / "results" / "small_confirmation" / "figures" / "confirmation.json").read_text(encoding="utf-8"))
    table = pd.DataFrame(most["rows"]).set_index("contender")
    # A trial that the machine held up in its first epoch is left out of the comparison, and said to be.
    trained = [*most["trials"], *most["left_out"]]
    assert sorted(trial["contender"] for trial in trained) == ["best", "best", "default", "default", "few filters", "few filters"]
    assert table["seeds"].to_dict() == pd.DataFrame(most["trials"])["contender"].value_counts().to_dict()
    assert (tmp_path / "results" / "small" / "confirmation.yaml").exists()
    some = CliRunner().invoke(app, ["confirm", "small", "--against", "few filters", "--plan", "--json"])
    assert json.loads(some.stdout)["num_trials"] == 6
    again = CliRunner().invoke(app, ["confirm", "small", "--seeds", "2"])
    assert again.exit_code == 2
    assert "--resume" in again.output
