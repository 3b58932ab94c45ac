"""A team of Ray Train workers by itself, without Tune's controller: it outlives what trials and their files do to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from small_study import load_small_study

from gan3d.search.board import Board
from gan3d.search.cluster import connected
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import OptunaSearcher
from gan3d.search.team import TeamSpec, TeamTrial
from gan3d.tracking.outcome import EPOCH, FAILED, REASON, RESTARTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's own
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with connected(None, verbose=False, say=lambda _: None):
        yield


def configurations(folder: Path) -> list[dict[str, Any]]:
    """What Tune would hand to three trials; the second one's training file is cut off in the middle."""
    loaded = load_small_study(folder, {"training.seed": {"choice": [1, 2, 3]}})
    opened = open_optuna_study(loaded.study, folder / "journal.log")
    searcher = OptunaSearcher(loaded.study, opened, trials_folder=folder / "trials", base=loaded.base)
    found = [searcher.suggest(str(number)) for number in range(3)]
    assert None not in found
    whole = (folder / "train.h5").read_bytes()
    (folder / "broken.h5").write_bytes(whole[: len(whole) // 2])
    configs = [config for config in found if config is not None]
    configs[1]["assignment"]["settings"]["data"]["train"] = [str(folder / "broken.h5")]
    return configs


def test_a_team_that_ended_fails_its_trial_and_the_next_trial_has_a_new_team(tmp_path: Path) -> None:
    """Ray Train finds a file where its folder should be; then the file is gone, and the third trial follows one of a broken file."""
    first, broken, last = configurations(tmp_path)
    storage = tmp_path / "ray"
    storage.write_text("in the way", encoding="utf-8")
    spec = TeamSpec(world_size=2, cpus_per_worker=1, gpus_per_worker=0.0, storage=str(storage), max_failures=3)
    board = ray.remote(num_cpus=0)(Board).remote()
    trial = tune.with_parameters(TeamTrial, board=board, spec=spec)(first)
    try:
        ended = trial.step()
        assert ended[FAILED]
        assert "the team of workers ended: " in ended[REASON]
        storage.unlink()

        assert trial.reset_config(broken)
        ended = trial.step()
        assert ended[FAILED]
        assert ended[REASON].startswith("DataError: "), ended[REASON]
        assert "broken.h5" in ended[REASON]
        assert ended[RESTARTS] == 0

        assert trial.reset_config(last)
        rows = [trial.step() for _ in range(last["epochs"])]
        assert [(row[EPOCH], row[FAILED], row[RESTARTS]) for row in rows] == [(epoch, False, 0) for epoch in range(1, last["epochs"] + 1)]
        assert rows[-1]["done"]
    finally:
        trial.cleanup()
    assert not trial._thread.is_alive()
