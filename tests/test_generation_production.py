"""Showers into a file: the same on any number of processes, and what was done before a crash is not done again."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from held_out_showers import write_held_out
from trained_states import settings, write

from gan3d.data.shower_file import open_shower_file
from gan3d.errors import ConfigError, DataError
from gan3d.generation.conditions import Conditions, Drawn, Listed
from gan3d.generation.executors import processes, ray_tasks
from gan3d.generation.generator import CHUNK, Generator
from gan3d.generation.production import SHOWERS_PER_PART, Production, part_file, parts_folder, produce
from gan3d.generation.trained import trial_folder

NUMBER = 2 * SHOWERS_PER_PART + CHUNK + 7
ENERGIES = (10.0, 100.0)


def model(folder: Path, *, polar_angle: bool = False) -> Path:
    trial = trial_folder(folder, 1)
    trial.path.mkdir(parents=True)
    write(trial.best, settings(polar_angle=polar_angle))
    return trial.path


def drawn(number: int = NUMBER, **changes: object) -> Drawn:
    return Drawn(**({"num_showers": number, "energy_gev": ENERGIES, "polar_angle_rad": None, "spectrum": "uniform", "seed": 1} | changes))  # type: ignore[arg-type]


def contents(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


def assert_same(one: Path, other: Path) -> None:
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name


def test_the_file_holds_what_the_generator_samples_in_the_layout_of_the_training_data(tmp_path: Path) -> None:
    asked = Production(model(tmp_path), drawn(), 5)
    told: list[int] = []
    assert produce(asked, tmp_path / "showers.h5", progress=told.append) == 0
    assert sum(told) == NUMBER
    file = open_shower_file(tmp_path / "showers.h5")
    energy = file.layout.incident_energy
    assert (file.num_showers, file.grid, file.layout.polar_angle) == (NUMBER, (12, 12, 12), None)
    assert ((energy >= 10) & (energy <= 100)).all()
    cells = Generator.load(asked.model).sample(energy, seed=5)
    with h5py.File(tmp_path / "showers.h5") as written:
        np.testing.assert_allclose(written["ECAL"][:], cells, rtol=1e-4, atol=1e-6)  # threads may differ
        assert (written.attrs["epoch"], written.attrs["seed"]) == (5, 5)
    assert not parts_folder(tmp_path / "showers.h5").exists()


def test_any_number_of_processes_writes_the_same(tmp_path: Path) -> None:
    asked = Production(model(tmp_path), drawn(), 5)
    produce(asked, tmp_path / "one.h5")
    produce(asked, tmp_path / "three.h5", executor=processes(3))
    assert_same(tmp_path / "one.h5", tmp_path / "three.h5")


def stop_after(number: int) -> Callable[[Callable[[int], int], Sequence[int]], Iterator[int]]:
    """An executor whose process dies behind so many parts."""

    def done(work: Callable[[int], int], pieces: Sequence[int]) -> Iterator[int]:
        for piece in pieces[:number]:
            yield work(piece)
        message = "killed"
        raise RuntimeError(message)

    return done


def test_what_was_done_before_a_crash_is_kept(tmp_path: Path) -> None:
    asked, output = Production(model(tmp_path), drawn(), 5), tmp_path / "showers.h5"
    with pytest.raises(RuntimeError, match="killed"):
        produce(asked, output, executor=stop_after(2))
    assert not output.exists()
    made = part_file(parts_folder(output), 0).stat().st_mtime_ns
    again: list[int] = []

    def remembered(work: Callable[[int], int], pieces: Sequence[int]) -> Iterator[int]:
        assert part_file(parts_folder(output), 0).stat().st_mtime_ns == made
        again.extend(pieces)
        yield from map(work, pieces)

    assert produce(asked, output, executor=remembered) == 2 * SHOWERS_PER_PART
    assert again == [2]
    produce(asked, tmp_path / "whole.h5")
    assert_same(output, tmp_path / "whole.h5")


@pytest.mark.parametrize("change", ["seed", "number", "energies", "model"])
def test_parts_of_other_showers_are_not_taken_for_these(tmp_path: Path, change: str) -> None:
    asked, output = Production(model(tmp_path), drawn(), 5), tmp_path / "showers.h5"
    with pytest.raises(RuntimeError):
        produce(asked, output, executor=stop_after(1))
    others = {
        "seed": Production(asked.model, drawn(), 6),
        "number": Production(asked.model, drawn(NUMBER + 1), 5),
        "energies": Production(asked.model, drawn(energy_gev=(10.0, 99.0)), 5),
        "model": Production(asked.model, drawn(), 5),
    }
    if change == "model":
        write(asked.model / "best.pt", settings(filters=6))
    with pytest.raises(ConfigError, match="--fresh"):
        produce(others[change], output)
    produce(others[change], output, is_fresh=True)
    with h5py.File(output) as written:
        cells = Generator.load(asked.model).sample(written["energy"][:20, 0], seed=others[change].seed)
        np.testing.assert_allclose(written["ECAL"][:20], cells, rtol=1e-4, atol=1e-6)
    produce(others[change], tmp_path / "whole.h5")
    assert_same(output, tmp_path / "whole.h5")


def test_a_model_that_is_trained_on_meanwhile_is_not_mixed_with_itself(tmp_path: Path) -> None:
    """Processes load it when they start: all but the first here when the trial has another best epoch."""
    asked, output = Production(model(tmp_path), drawn(), 5), tmp_path / "showers.h5"
    best = asked.model / "best.pt"
    before = best.read_bytes()

    def started_one_after_the_other(work: Callable[[int], int], pieces: Sequence[int]) -> Iterator[int]:
        yield work(pieces[0])
        write(best, settings(filters=6))
        yield from processes(2)(work, pieces[1:])

    with pytest.raises(DataError, match=r"0001: the model has changed .* --fresh"):
        produce(asked, output, executor=started_one_after_the_other)
    assert not output.exists()
    with pytest.raises(ConfigError, match="parts of other showers lie here"):
        produce(asked, output)
    best.write_bytes(before)
    assert produce(asked, output) == SHOWERS_PER_PART, "the parts that are there are of one model"
    produce(asked, tmp_path / "whole.h5")
    assert_same(output, tmp_path / "whole.h5")


def test_a_part_that_cannot_be_written_says_so_and_that_the_others_are_kept(tmp_path: Path) -> None:
    asked, output = Production(model(tmp_path), drawn(), 5), tmp_path / "showers.h5"

    def without_a_place(work: Callable[[int], int], pieces: Sequence[int]) -> Iterator[int]:
        yield work(pieces[0])
        shutil.move(parts_folder(output), tmp_path / "kept")
        parts_folder(output).touch()
        yield work(pieces[1])

    with pytest.raises(DataError, match="cannot be written"):
        produce(asked, output, executor=without_a_place)
    assert (tmp_path / "kept" / "000000.h5").exists()


def test_a_worker_that_is_killed_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"was killed.*the same command goes on"):
        list(processes(2)(_kill_itself, [0, 1, 2]))


WAITING = """
import sys, time, os
from pathlib import Path
from gan3d.generation.executors import processes

def work(piece):
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(0.1)
    return piece

if __name__ == "__main__":
    for _ in processes(2)(work, range(10_000)):
        pass
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc")
def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    script, seen = tmp_path / "waiting.py", tmp_path / "seen"
    script.write_text(WAITING)
    seen.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(seen)])
    try:
        wait_until(lambda: len(list(seen.iterdir())) == 2, 60)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(Path("/proc", file.name).exists() for file in seen.iterdir()), 20)


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def _kill_itself(number: int) -> int:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_energies_and_angles_come_from_a_file_in_its_order(tmp_path: Path) -> None:
    held_out = write_held_out(tmp_path)
    conditions = Listed.of_file(held_out, 40)
    produce(Production(model(tmp_path), conditions, 1), tmp_path / "showers.h5")
    energy = open_shower_file(held_out).layout.incident_energy
    assert np.array_equal(open_shower_file(tmp_path / "showers.h5").layout.incident_energy, energy[:40])


def test_showers_at_angles_have_them_in_the_file(tmp_path: Path) -> None:
    asked = Production(model(tmp_path, polar_angle=True), drawn(polar_angle_rad=(1.2, 1.9)), 1)
    produce(asked, tmp_path / "showers.h5")
    angle = open_shower_file(tmp_path / "showers.h5").layout.polar_angle
    assert angle is not None
    assert ((angle >= 1.2) & (angle <= 1.9)).all()
    with pytest.raises(ConfigError, match="give one for each shower"):
        produce(Production(asked.model, drawn(), 1), tmp_path / "none.h5")


@pytest.mark.parametrize("spectrum", ["uniform", "log_uniform"])
def test_a_chunks_conditions_do_not_depend_on_how_many_there_are(spectrum: str) -> None:
    few, many = drawn(CHUNK + 5, spectrum=spectrum), drawn(10 * CHUNK, spectrum=spectrum)
    for number, size in ((0, CHUNK), (1, 5)):
        assert np.array_equal(few.of_chunk(number)[0], many.of_chunk(number)[0][:size])
    energy = all_energies(many)
    assert np.median(energy) == pytest.approx(55 if spectrum == "uniform" else np.sqrt(1000), rel=0.12)


def all_energies(conditions: Conditions) -> np.ndarray:
    return np.concatenate([conditions.of_chunk(number)[0] for number in range(-(-conditions.num_showers // CHUNK))])


@pytest.mark.parametrize("energies", [(0.0, 10.0), (20.0, 10.0), (-1.0, 5.0), (1.0, np.inf)])
def test_ranges_that_nothing_can_be_drawn_from_are_refused(energies: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        drawn(energy_gev=energies)


def test_a_damaged_part_is_made_anew(tmp_path: Path) -> None:
    asked, output = Production(model(tmp_path), drawn(), 5), tmp_path / "showers.h5"
    produce(asked, tmp_path / "whole.h5")

    def three_but_the_last(work: Callable[[int], int], pieces: Sequence[int]) -> Iterator[int]:
        yield from map(work, pieces[:-1])
        message = "killed"
        raise DataError(message)

    with pytest.raises(DataError, match="killed"):
        produce(asked, output, executor=three_but_the_last)
    part = part_file(parts_folder(output), 1)
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    assert produce(asked, output) == SHOWERS_PER_PART
    assert_same(output, tmp_path / "whole.h5")


def test_a_request_that_made_no_part_is_in_nobodys_way(tmp_path: Path) -> None:
    trial, output = model(tmp_path), tmp_path / "showers.h5"

    def none(work: Callable[[int], int], pieces: Sequence[int]) -> Iterator[int]:
        yield from ()
        message = "killed"
        raise DataError(message)

    with pytest.raises(DataError, match="killed"):
        produce(Production(trial, drawn(3), 5), output, executor=none)
    assert produce(Production(trial, drawn(4), 6), output) == 0
    assert len(contents(output)["ECAL"]) == 4


@pytest.mark.parametrize("angles", [(0.0, 1.0), (1.0, np.pi), (2.0, 1.0)])
def test_angles_that_no_shower_has_are_refused(angles: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="degrees must lie between 0 and 180"):
        drawn(polar_angle_rad=angles)


def test_no_cluster_where_one_was_named_is_told() -> None:
    with pytest.raises(ConfigError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 .*ray start --head"):
        ray_tasks("127.0.0.1:1")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_ray_cluster_makes_the_same_showers(tmp_path: Path) -> None:
    asked = Production(model(tmp_path), drawn(), 5)
    produce(asked, tmp_path / "ray.h5", executor=ray_tasks("local"))
    produce(asked, tmp_path / "one.h5")
    assert_same(tmp_path / "ray.h5", tmp_path / "one.h5")
