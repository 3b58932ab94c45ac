"""A scaling study for real: trials of one and of two workers in one team; and two teams side by side."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import yaml
from killed_study import titled
from small_study import Notes, load_small_study, write_study

from gan3d.scaling.speedup import scaling_table
from gan3d.search.blocks import ordered_grid
from gan3d.search.run import RunOptions, StudyResult, run_study
from gan3d.tracking import frames

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Ray's and MLflow's own


def run(folder: Path, **study: object) -> StudyResult:
    loaded = load_small_study(folder, **study)  # type: ignore[arg-type]
    return run_study(loaded, RunOptions(folder / "results", None, None, resume=False, verbose=False), Notes())


class CpuTimes(Notes):
    """Notes what CPU time each worker of the team has taken after each epoch [s]."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[tuple[int, int], dict[int, float]] = {}

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        super().epoch_ended(number, epoch, metrics)
        workers = titled(psutil.Process().children(recursive=True), "TrainWorker")
        self.seconds[number, epoch] = {process.pid: sum(process.cpu_times()[:2]) for process in workers}

    def taken(self, number: int, first: int, last: int) -> list[float]:
        """By each worker between the ends of two epochs, least first."""
        before, after = self.seconds[number, first], self.seconds[number, last]
        return sorted(after[pid] - before[pid] for pid in after)


def test_one_team_trains_both_kinds_in_blocks_and_its_idle_workers_sleep(tmp_path: Path) -> None:
    loaded = load_small_study(
        tmp_path,
        search_space={
            "training.scaling": {"choice": ["strong", "weak"]},
            "workers.per_trial": {"choice": [1, 2]},
            "training.seed": {"choice": [1, 2]},
        },
        sampler={"name": "grid", "blocks": "training.seed"},
        objective={"metric": "timing.showers_per_second"},
        training={**yaml.safe_load(write_study(tmp_path, {}).read_text())["training"], "batch_per_worker": 4, "epochs": 5},
        figures=["scaling_curves"],
    )
    notes = CpuTimes()
    result = run_study(loaded, RunOptions(tmp_path / "results", None, None, resume=False, verbose=False), notes)
    samples = [record.sample for record in result.trials]
    assert samples == list(ordered_grid(loaded.study))
    assert [record.state for record in result.trials] == ["complete"] * 8
    assert [figure.stem for figure in result.figures] == ["scaling_curves"]
    epochs = frames.epochs(result.tracking_uri, "small")
    assert (epochs["timing.world_size"] == epochs["workers.per_trial"]).all()
    assert (epochs.loc[epochs["training.scaling"] == "strong", "timing.num_showers"] == 96).all()
    alone = epochs["timing.world_size"] == 1
    assert (epochs.loc[alone, "timing.exposed_communication_seconds_max"] == 0).all()
    assert (epochs.loc[~alone, "timing.exposed_communication_seconds_max"] > 0).all()
    assert epochs.drop_duplicates("trial").sort_values("started")["trial"].is_monotonic_increasing
    table = scaling_table(epochs).set_index(["kind", "rate", "world_size"])
    assert set(table["blocks"]) == {2}
    assert (table.loc[("strong", "training", 2), "fixed"], table.loc[("weak", "training", 2), "fixed"]) == (16, 4)
    teams = {frozenset(workers) for workers in notes.seconds.values()}
    assert len(teams) == 1, "formed once"
    assert len(next(iter(teams))) == 2, "for the largest trial"
    for number, sample in enumerate(samples):
        least, most = notes.taken(number, 1, 5)
        if sample["workers.per_trial"] == 1:
            assert least < 0.1 * most, "the other worker waits at the board and does not spin"
        else:
            assert least > 0.5 * most, "both work"


def test_one_and_two_workers_learn_the_same(tmp_path: Path) -> None:
    """Same seed, same global batch, no dropout, group normalisation: the order of showers differs with the world size, physics hardly."""
    result = run(tmp_path, search_space={"workers.per_trial": {"choice": [1, 2]}})
    one, two = (record.objective for record in result.trials)
    assert one is not None
    assert two is not None
    assert abs(one - two) < 0.1


def test_two_teams_side_by_side_end(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        search_space={"training.seed": {"choice": [1, 2, 3, 4]}},
        workers={"per_trial": 1},
        trials={"concurrent": 2},
    )
    assert [record.state for record in result.trials] == ["complete"] * 4
    assert [record.epochs for record in result.trials] == [3] * 4
