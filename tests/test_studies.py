"""Every shipped study and search space loads, is in the table, and says what the question needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from gan3d.config.document import parse_document
from gan3d.config.load import dump_study, load_study
from gan3d.config.schema import study_json_schema
from gan3d.config.study import Study
from gan3d.scaling.speedup import MIN_BLOCKS
from gan3d.search.plan import make_plan
from gan3d.search.resources import local_cluster

jsonschema = pytest.importorskip("jsonschema")  # comes with ray

ROOT = Path(__file__).parent.parent
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
REAL_SIZE = (
    "seed_baseline",
    "filters_batch_learning_rate",
    "scaling_1_to_16",
    "fidelity",
    "fidelity_confirmation",
    "fidelity_stairs",
    "fidelity_refinement",
    "seed_recipe",
)
#: Their showers are simulated by `make` before they run.
SIMULATED = ("large_batch", "large_batch_seed_network", "clic_wide", "calochallenge_2")


def shipped(name: str) -> Study:
    return load_study(ROOT / "studies" / f"{name}.yaml").study


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_loads_and_its_default_sample_is_a_trial(path: Path) -> None:
    study = load_study(path).study
    assert study.name == path.stem
    assert study.question.endswith("?")
    assert study.default_sample is not None
    assert study.trial_settings(study.default_sample).digest()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_the_same_after_dump_and_load(path: Path, tmp_path: Path) -> None:
    study = load_study(path).study
    (tmp_path / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    assert load_study(tmp_path / "study.yaml").study == study


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_conforms_to_the_published_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(parse_document(text, path.name).data, study_json_schema())


def test_the_published_schema_refuses_what_the_loader_refuses() -> None:
    schema = study_json_schema()
    written = parse_document((ROOT / "studies" / "quickstart.yaml").read_text(encoding="utf-8"), "quickstart.yaml").data
    for key, value in (("epoch", 3), ("epochs", 0), ("epochs", "three")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**written, "training": {**written["training"], key: value}}, schema)


@pytest.mark.parametrize(
    ("when", "is_valid"), [({"training.discriminator.blocks": [4]}, True), ({"training.discriminator.blocks": 4}, False)]
)
def test_the_published_schema_knows_conditions(when: object, is_valid: bool) -> None:
    written = parse_document((ROOT / "studies" / "quickstart.yaml").read_text(encoding="utf-8"), "quickstart.yaml").data
    space = {"training.discriminator.blocks": {"min": 3, "max": 4}, "training.discriminator.filters.3": {"choice": [16, 32], "when": when}}
    validator = jsonschema.Draft202012Validator(study_json_schema())
    assert validator.is_valid({**written, "search_space": space}) == is_valid


def test_every_knob_is_explained_in_the_published_schema() -> None:
    schema = study_json_schema()
    for name, definition in schema["$defs"].items():
        for key, field in definition.get("properties", {}).items():
            assert field.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_search_space_is_used_by_a_study(path: Path) -> None:
    used = [load_study(study).search_space_path for study in STUDIES]
    assert path.resolve() in [one.resolve() for one in used if one is not None]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_table_has_every_study_with_its_question_and_its_trials(path: Path) -> None:
    study = load_study(path).study
    rows = [line for line in (ROOT / "studies" / "README.md").read_text(encoding="utf-8").splitlines() if f"({path.name})" in line]
    assert len(rows) == 1
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert cells[1] == study.question
    assert cells[2].split()[0] == str(study.num_trials)
    assert study.sampler.name in cells[2].lower()


def test_the_quickstart_is_a_real_search_on_two_cores() -> None:
    study = shipped("quickstart")
    assert (study.sampler.name, study.scheduler.name) == ("tpe", "asha")
    assert study.num_trials >= 6
    assert study.max_world_size * study.workers.cpus_per_worker * study.trials.concurrent <= 2
    assert study.figures == ("search_progress", "shower_profiles")
    filters = [one for key, one in study.search_space.ranges.items() if ".filters." in key]
    assert filters
    assert {value for one in filters for value in one.values or ()} <= {16, 32}
    for sample in study.search_space.corners():
        trial = study.trial_settings(sample)
        assert {trial.training.generator.normalisation, trial.training.discriminator.normalisation} == {"group"}
        assert trial.training.generator.kernel == trial.training.discriminator.kernel == 3


def test_the_seed_baseline_is_the_seeds_recipe() -> None:
    trial = shipped("seed_baseline").trial_settings({})
    training = trial.training
    assert (trial.data.num_train_showers, trial.batch_per_worker, training.epochs, training.learning_rate_warmup_epochs) == (
        180_000,
        8,
        25,
        5,
    )
    assert (training.generator.filters, training.discriminator.filters) == ((64, 6, 6), (32, 8, 8, 8))
    assert training.generator.learning_rate == training.discriminator.learning_rate == 1e-3
    assert (training.optimiser.name, training.conditions, training.response) == ("rmsprop", "seed", "seed")


def test_the_real_search_covers_filters_in_multiples_of_16() -> None:
    ranges = shipped("filters_batch_learning_rate").search_space.ranges
    filters = {key: one.values for key, one in ranges.items() if ".filters." in key}
    assert len(filters) == 7
    assert set(filters.values()) == {(16, 32, 48, 64)}
    assert "training.global_batch" in ranges
    assert {key for key in ranges if key.endswith("learning_rate")} == {
        "training.generator.learning_rate",
        "training.discriminator.learning_rate",
    }


@pytest.mark.parametrize(("name", "world_sizes"), [("scaling_1_to_16", [1, 2, 4, 8, 16]), ("scaling", [1, 2])])
def test_the_scaling_studies_ask_for_both_kinds_in_five_blocks(name: str, world_sizes: list[int]) -> None:
    study = shipped(name)
    trials = [study.trial_settings(sample) for sample in study.search_space.grid()]
    assert sorted({trial.world_size for trial in trials}) == world_sizes
    for kind, fixed in (("strong", "global_batch"), ("weak", "batch_per_worker")):
        assert len({getattr(trial, fixed) for trial in trials if trial.training.scaling == kind}) == 1
    assert study.sampler.blocks == "training.seed"
    assert len({trial.training.seed for trial in trials}) >= MIN_BLOCKS
    assert (study.sampler.name, study.objective.metric, study.objective.direction) == ("grid", "timing.showers_per_second", "maximize")
    assert study.trials.concurrent == 1


def test_studies_of_real_size_find_their_showers_by_a_variable() -> None:
    for name in REAL_SIZE:
        assert all(pattern.startswith("$GAN3D_DATA/") for pattern in shipped(name).data.train + shipped(name).data.validation)


@pytest.mark.parametrize("path", [*STUDIES, *SPACES], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_another_yaml_reader_sees_the_same_keys(path: Path) -> None:
    """Ours is a part of YAML, not a dialect: only `1e-3` is text to a reader of YAML 1.1."""
    text = path.read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)) == list(parse_document(text, path.name).data)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_plans_before_its_showers_are_there(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAN3D_DATA", raising=False)
    if path.stem in SIMULATED:  # whoever ran `make large-batch` has them
        path = shutil.copy(path, tmp_path / path.name)
    plan = make_plan(load_study(path), local_cluster())
    assert plan.steps_per_epoch is not None
    assert plan.num_trials >= 1
    assert plan.largest.parameters >= plan.smallest.parameters > 0
    assert bool(plan.stock.missing) == (path.stem in (*REAL_SIZE, *SIMULATED))
    assert json.loads(json.dumps(plan.as_dict()))["study"] == path.stem
