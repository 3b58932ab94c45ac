"""Files and overrides in, a study out; or one error that names place, key, value, rule and way out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from bad_combinations import BAD_COMBINATIONS
from bad_costs import BAD_COSTS
from bad_inputs import BAD_INPUTS, SPACE, STUDY, BadInput
from bad_objectives import BAD_OBJECTIVES

from gan3d.config.load import load_study
from gan3d.errors import ConfigError

#: What a user should never have to read.
JARGON = re.compile(
    r"pydantic|validation error|traceback|nonetype|\bdict\b|\btuple\b|\bliteral\b|input_value|errors\.pydantic|<class|_Absent",
    re.IGNORECASE,
)
PLACE = re.compile(r"((study|space)\.yaml(:\d+)?|--set .*?): ")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the valid study, and the current one, so that messages show short paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf-8")
    return tmp_path


def refusal(bad: BadInput) -> ConfigError:
    """Write the files and load them."""
    for name, content in (("study.yaml", bad.study), ("space.yaml", bad.space)):
        Path(name).unlink()
        if content is not None:
            Path(name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_study(Path("study.yaml"), bad.overrides)
    return caught.value


@pytest.mark.parametrize("bad", [*BAD_INPUTS, *BAD_COSTS, *BAD_OBJECTIVES, *BAD_COMBINATIONS], ids=lambda bad: bad.name)
def test_every_bad_input_is_refused_with_place_rule_and_way_out(bad: BadInput, folder: Path) -> None:
    error = refusal(bad)
    message = str(error)
    for fragment in bad.expected:
        assert fragment in message, message
    assert message.startswith(f"{error.where}: ")
    for line in message.splitlines():
        assert PLACE.match(line), line
        assert line.endswith((".", "?")), line
        assert len(re.split(r"[.?:,;] ", line)) >= 2, f"a rule and a way out: {line}"
    assert not JARGON.search(message), message
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def test_bad_inputs_have_different_names() -> None:
    assert len({bad.name for bad in (*BAD_INPUTS, *BAD_COSTS)}) == len(BAD_INPUTS) + len(BAD_COSTS)


def test_the_study_the_bad_inputs_are_made_from_is_good(folder: Path) -> None:
    loaded = load_study(Path("study.yaml"))
    assert loaded.study.training.epochs == 4
    assert loaded.text == STUDY
    assert loaded.base == Path()
    assert loaded.search_space_path == Path("space.yaml")
    assert loaded.overrides == ()


def test_numbers_in_scientific_notation_are_numbers(folder: Path) -> None:
    learning_rate = load_study(Path("study.yaml")).study.search_space.ranges["training.generator.learning_rate"]
    assert learning_rate.ends == (1e-4, 1e-2)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("training.epochs=7", ("training", "epochs"), 7),
        ("training.generator.learning_rate=1e-3", ("training", "generator", "learning_rate"), 1e-3),
        ("training.generator.filters=[32, 16, 8]", ("training", "generator", "filters"), (32, 16, 8)),
        ("training.generator.filters.1=32", ("training", "generator", "filters"), (16, 32, 16)),
        ("training.discriminator.filters.3=16", ("training", "discriminator", "filters"), (32, 8, 8, 16)),
        ("training.optimiser.name=adam", ("training", "optimiser", "name"), "adam"),
        ("training.polar_angle=true", ("training", "polar_angle"), True),
        ("data.train=['a*.h5', $B/c.h5]", ("data", "train"), ("a*.h5", "$B/c.h5")),
        ("trials.number=null", ("trials", "number"), None),
        ("question=What = what?", ("question",), "What = what?"),
    ],
)
def test_any_field_can_be_overridden(override: str, field: tuple[str, ...], value: object, folder: Path) -> None:
    found: object = load_study(Path("study.yaml"), [override]).study
    for name in field:
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_the_last_override_of_a_key_counts(folder: Path) -> None:
    assert load_study(Path("study.yaml"), ["training.epochs=7", "training.epochs=8"]).study.training.epochs == 8


def test_a_range_can_be_overridden(folder: Path) -> None:
    study = load_study(Path("study.yaml"), ["search_space.training.generator.filters.0={choice: [8, 64]}"]).study
    assert study.search_space.ranges["training.generator.filters.0"].ends == (8, 64)


def test_a_search_space_may_be_written_in_the_study(folder: Path) -> None:
    inline = "search_space:\n  training.global_batch: {choice: [8, 16, 32, 64, 2, 4]}"
    Path("study.yaml").write_text(STUDY.replace("search_space: space.yaml", inline), encoding="utf-8")
    loaded = load_study(Path("study.yaml"))
    assert loaded.search_space_path is None
    assert loaded.study.search_space.grid_size == 6


def test_the_search_space_is_relative_to_the_study_and_shown_without_detours(folder: Path) -> None:
    (folder / "studies").mkdir()
    (folder / "studies" / "study.yaml").write_text(STUDY.replace("space.yaml", "../space.yaml"), encoding="utf-8")
    (folder / "space.yaml").write_text("training.epoch: {min: 1, max: 2}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^space\.yaml:1: unknown key training\.epoch"):
        load_study(Path("studies/study.yaml"))


def test_a_folder_is_not_a_study(folder: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_study(folder)


def test_loading_a_study_needs_no_heavy_package() -> None:
    code = "import sys, gan3d.config.load, gan3d.config.schema; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "ray", "optuna", "mlflow", "h5py", "numpy", "pandas", "scipy"} & set(found)
