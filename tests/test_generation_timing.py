"""`gan3d benchmark generation`: every generator by every batch. Times themselves are not judged."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from trained_states import settings, write
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.errors import DataError
from gan3d.generation.generator import CHUNK, Floats, Generator
from gan3d.generation.timing import Timed, monte_carlo_seconds, time_generators, timed
from gan3d.generation.trained import trial_folder


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One at normal incidence, one with angles."""
    folder, found = tmp_path_factory.mktemp("timed"), []
    for number, polar_angle in enumerate((False, True)):
        trial = trial_folder(folder, number)
        trial.path.mkdir(parents=True)
        write(trial.best, settings(polar_angle=polar_angle))
        found.append(trial.path)
    return found


@pytest.fixture
def monte_carlo(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "geant4.h5", "w") as file:
        file["cpu_s"], file["energy"] = np.array([1.0, 3.0]), np.array([[100.0], [300.0]])
    return tmp_path / "geant4.h5"


def test_each_batch_is_called_as_often_as_was_asked(trials: list[Path]) -> None:
    done: list[int] = []
    found = time_generators(trials, batches=(5, 1), repeats=3, progress=done.append)
    assert done == [1, 5]
    assert [(one.model, one.batch, one.threads) for one in found] == [(str(trial), batch, 1) for batch in (1, 5) for trial in trials]
    for one in found:
        assert len(one.seconds_per_shower) == 3
        assert 0 < min(one.seconds_per_shower) <= one.median <= max(one.seconds_per_shower)
        assert 50 < one.peak_memory_mb < 10_000


def test_what_is_timed_is_what_users_call(trials: list[Path]) -> None:
    loaded, asked = Generator.load(trials[1]), []

    def make(noise: Floats, energy: Floats, angle: Floats | None) -> Floats:
        assert angle is not None
        asked.append((noise.shape, energy.shape, angle.shape))
        return loaded.make(noise, energy, angle)

    assert timed(Generator(loaded.card, make), CHUNK + 3, np.random.default_rng(1)) > 0
    assert asked == [((size, 8), (size,), (size,)) for size in (CHUNK, 3)]


def test_mean_and_spread_are_of_the_calls() -> None:
    one = Timed("m", "trial", "fp32", 1, 8, (1.0, 2.0, 3.0), 100.0)
    assert (one.mean, one.spread, one.median) == (2.0, 1.0, 2.0)
    assert Timed("m", "trial", "fp32", 1, 8, (1.0,), 100.0).spread == 0


def test_monte_carlo_takes_as_long_as_its_file_says_at_the_energy_that_is_timed(monte_carlo: Path, trials: list[Path]) -> None:
    assert monte_carlo_seconds(monte_carlo) == pytest.approx(0.01 * 55)
    with pytest.raises(DataError, match="does not say what its showers took"):
        monte_carlo_seconds(trials[0] / "best.pt")


def test_what_cannot_be_loaded_ends_the_benchmark(trials: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "broken.pt2"
    path.write_text("")
    with pytest.raises(DataError, match=r"broken\.pt2"):
        time_generators([trials[0], path], batches=(1,), repeats=1)


def benchmark(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", "generation", *map(str, arguments)])


def test_the_document_has_the_machine_and_the_speed_up(trials: list[Path], monte_carlo: Path, tmp_path: Path) -> None:
    output = tmp_path / "times.json"
    told = benchmark(
        trials[0], "--batch", 2, "--threads", 1, "--threads", 2, "--repeats", 2, "--monte-carlo", monte_carlo, "--output", output, "--json"
    )
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert document == json.loads(output.read_text())
    assert document["machine"]["cores"] >= 1
    assert [row["threads"] for row in document["rows"]] == [1, 2]
    for row in document["rows"]:
        assert row["speed_up"] == pytest.approx(0.55 / (row["mean_ms"] / 1e3))
        assert row["format"] == Generator.load(trials[0]).card.format == "trial"


def test_the_table_says_what_it_is_beside(trials: list[Path], monte_carlo: Path) -> None:
    told = benchmark(trials[0], "--batch", 2, "--repeats", 1, "--monte-carlo", monte_carlo)
    assert told.exit_code == 0, told.output
    assert "Monte Carlo: 0.55 s per shower" in told.output
    assert "7 ms with batch 128 on 56 cores" in told.output.replace("\n", " ")
