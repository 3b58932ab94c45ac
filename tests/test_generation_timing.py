"""`gan3d benchmark generation`: every generator by every batch. Times themselves are not judged."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from trained_states import settings, write
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.cli.benchmarking import as_document, show
from gan3d.data.shower_file import write_clic_file
from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.generation.generator import CHUNK, Floats, Generator
from gan3d.generation.monte_carlo_time import MonteCarloTime, monte_carlo_time
from gan3d.generation.timing import Timed, peak_memory_mb, time_generators, timed
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


def shower_file(path: Path, cpu_s: Any = (1.0, 3.0), **attributes: str) -> Path:
    """Two showers of 100 and of 300 GeV in the layout of the project's own samples, whose only energies are in `target`."""
    energy = np.array([100.0, 300.0], np.float32)
    cells = np.full((2, 4, 4, 4), 2e-2, np.float32) * energy[:, None, None, None] / 64
    write_clic_file(path, Showers(cells, energy, None, np.arange(2)))
    with h5py.File(path, "a") as file:
        del file["energy"]
        file.attrs.update(attributes)
        if isinstance(cpu_s, str):
            file.create_group(cpu_s)
        elif cpu_s is not None:
            file["cpu_s"] = np.array(cpu_s)
    return path


@pytest.fixture
def monte_carlo(tmp_path: Path) -> Path:
    return shower_file(tmp_path / "geant4.h5", machine="a Xeon")


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


def test_monte_carlo_takes_as_long_as_its_file_says_at_the_energy_that_is_timed(monte_carlo: Path) -> None:
    found = monte_carlo_time(monte_carlo, 55)
    assert found == MonteCarloTime(pytest.approx(0.01 * 55), 55, "a Xeon")
    assert monte_carlo_time(monte_carlo, 55, "an Epyc").machine == "an Epyc"


@pytest.mark.parametrize(
    ("cpu_s", "message"),
    [
        (None, "does not say what its showers took: there must be a data set cpu_s"),
        ("cpu_s", "there must be a data set cpu_s"),
        ([], "cpu_s has 0 numbers for 2 showers"),
        ([1.0], "cpu_s has 1 numbers for 2 showers"),
        ([1.0, float("nan")], r"geant4\.h5\[1\]: cpu_s is nan s, and must be finite and above 0 \(1 of 2 are not\)"),
        ([0.0, 1.0], r"geant4\.h5\[0\]: cpu_s is 0 s"),
        ([float("inf"), 1.0], "cpu_s is inf s"),
        ([b"one", b"two"], "cpu_s cannot be read as numbers"),
    ],
)
def test_a_file_that_does_not_say_what_its_showers_took_is_refused_before_anything_is_timed(
    cpu_s: Any, message: str, tmp_path: Path
) -> None:
    path = shower_file(tmp_path / "geant4.h5", cpu_s)
    with pytest.raises(DataError, match=message):
        monte_carlo_time(path, 55)
    told = benchmark(tmp_path / "nowhere", "--monte-carlo", path, "--json")
    assert told.exit_code == 2
    assert "geant4.h5" in json.loads(told.stdout)["error"]["message"]


def test_what_is_no_shower_file_takes_no_time(trials: list[Path]) -> None:
    with pytest.raises(DataError, match="not a complete HDF5 file"):
        monte_carlo_time(trials[0] / "best.pt", 55)


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
    assert document["monte_carlo_machine"] == "a Xeon"
    assert document["seed"]["machine"] == "two Intel Xeon Platinum 8180"
    assert document["seed"]["energy_gev"] == [10, 500]
    assert [row["threads"] for row in document["rows"]] == [1, 2]
    for row in document["rows"]:
        assert row["speed_up"] == pytest.approx(0.55 / (row["mean_ms"] / 1e3))
        assert row["format"] == Generator.load(trials[0]).card.format == "trial"


def test_the_table_says_what_it_is_beside_and_on_which_machines(trials: list[Path], monte_carlo: Path, tmp_path: Path) -> None:
    asked = (trials[0], "--batch", 2, "--repeats", 1)
    told = benchmark(*asked, "--monte-carlo", monte_carlo)
    assert told.exit_code == 0, told.output
    text = told.output.replace("\n", " ")
    assert "Monte Carlo: 0.55 s per shower of 55 GeV on one core of a Xeon." in text
    assert "two Intel Xeon Platinum 8180, 10 to 500 GeV: Geant4 17 s, its 3DGAN 7 ms with batch 128 on 56 cores" in text
    nameless = shower_file(tmp_path / "nameless.h5")
    assert "a machine that its file does not name" in benchmark(*asked, "--monte-carlo", nameless).output.replace("\n", " ")
    assert "of an [Epyc]" in benchmark(*asked, "--monte-carlo", nameless, "--monte-carlo-machine", "an [Epyc]").output.replace("\n", " ")


def test_the_table_tells_trials_of_two_studies_apart(capsys: pytest.CaptureFixture[str]) -> None:
    trials = [f"results/{study}/trials/0003" for study in ("a", "b")]
    show(as_document([Timed(trial, "trial", "fp32", 1, 8, (1.0,), 100.0) for trial in trials], None))
    printed = capsys.readouterr().out
    assert "a/trials/0003" in printed
    assert "b/trials/0003" in printed


def test_a_machine_without_its_file_is_refused(trials: list[Path]) -> None:
    told = benchmark(trials[0], "--monte-carlo-machine", "an Epyc")
    assert told.exit_code == 2
    assert "--monte-carlo, which is missing" in told.output


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_timed(trials: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output, why in (
        (tmp_path / "nowhere" / "times.json", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "file" / "t", "director"),
    ):
        told = benchmark(trials[0], "--batch", 2, "--repeats", 1, "--output", output)
        assert told.exit_code == 2
        assert why in told.output
        assert "Nothing was timed" in told.output
        assert "batch 2 done" not in told.output


def test_what_was_measured_is_shown_though_it_cannot_be_kept(trials: list[Path], tmp_path: Path) -> None:
    """The output's folder goes while the second batch is timed."""
    folder = tmp_path / "gone"
    folder.mkdir()
    asked = ["benchmark", "generation", str(trials[0]), "--batch", "1", "--batch", "500", "--repeats", "20", "--json"]
    command = [sys.executable, "-m", "gan3d.cli", *asked, "--output", str(folder / "times.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "batch 1 done" in next(line for line in process.stderr if "batch" in line)
        folder.rmdir()
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 2, errors
    measured, problem = map(json.loads, output.splitlines())
    assert [row["batch"] for row in measured["rows"]] == [1, 500]
    assert "What was measured stands above" in problem["error"]["message"]
    assert "Traceback" not in errors


def test_a_process_does_not_count_the_memory_of_the_one_that_started_it() -> None:
    """Linux's getrusage does."""
    large = np.ones(50_000_000)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        peak = pool.submit(peak_memory_mb).result()
    assert 10 < peak < peak_memory_mb() - large.nbytes / 2e6
