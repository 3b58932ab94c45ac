"""Whenever the driver dies, Optuna's journal is a first part of what it would have been: from every one the same study comes out."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from small_study import load_small_study
from tune_results import epoch_result

from gan3d.config.load import LoadedStudy
from gan3d.search.journal import JournalLock, open_journal
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import OptunaSearcher

pytestmark = pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning")

SPACE = {
    "training.generator.filters.0": {"min": 16, "max": 64, "step": 16},
    "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
    "training.seed": {"min": 1, "max": 1000},
}
FINITE = {"training.seed": {"choice": [1, 2, 3]}}
CONDITIONAL = {
    "training.discriminator.filters.3": {"min": 16, "max": 64, "step": 16, "when": {"training.discriminator.blocks": [4]}},
    "training.discriminator.blocks": {"min": 2, "max": 4},
    "training.seed": {"min": 1, "max": 1000},
}
STUDIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "random": (SPACE, {"sampler": {"name": "random", "seed": 3}, "trials": {"number": 3}}),
    "conditional": (CONDITIONAL, {"sampler": {"name": "random", "seed": 3}, "trials": {"number": 3}}),
    "grid": (FINITE, {"sampler": {"name": "grid"}}),
    "stopped": (
        SPACE,
        {
            "sampler": {"name": "random", "seed": 3},
            "trials": {"number": 3},
            "scheduler": {"name": "asha", "reduction_factor": 2},
            "objective": {"trade_offs": [{"metric": "cost.joules"}], "constraints": [{"metric": "physics.response", "at_most": 1}]},
        },
    ),
    "tpe": (SPACE, {"sampler": {"name": "tpe", "seed": 3, "startup_trials": 2}, "trials": {"number": 3}}),
}


def finish(loaded: LoadedStudy, folder: Path, url: str | None = None) -> list[tuple[Any, ...]]:
    """Train what is to be trained, in no time; returns Optuna's trials, from a journal in the folder or the database of a URL."""
    opened = open_optuna_study(loaded.study, url or folder / "journal.log")
    searcher = OptunaSearcher(loaded.study, opened, trials_folder=folder / "trials", base=loaded.base)
    while isinstance(config := searcher.suggest("a"), dict):
        for epoch in (1, 2, 3):
            values = [(1 + config["number"]) / epoch for _ in loaded.study.objective.goals]
            result = epoch_result(epoch, *values, excess=-0.5)
            if epoch == 3 or not searcher.goes_on("a", result):
                searcher.on_trial_complete("a", result)
                break
    # What has gone on was `stopped`, and is no longer.
    attributes = [{name: value for name, value in one.user_attrs.items() if value != ""} for one in opened.trials]
    told = zip(opened.trials, attributes, strict=True)
    return [(one.number, one.state, one.params, one.intermediate_values, one.values, kept) for one, kept in told]


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("torn", [False, True], ids=["between lines", "in a line"])
def test_a_study_killed_at_any_line_of_its_journal_ends_the_same(tmp_path: Path, name: str, torn: bool) -> None:
    space, changes = STUDIES[name]
    loaded = load_small_study(tmp_path, space, **changes)
    expected = finish(loaded, tmp_path)
    assert len(expected) == 3
    ends = [TrialState.COMPLETE] + [TrialState.PRUNED if name == "stopped" else TrialState.COMPLETE] * 2
    assert [state for _, state, *_ in expected] == ends
    lines = (tmp_path / "journal.log").read_bytes().splitlines(keepends=True)
    for number in range(len(lines)):
        folder = tmp_path / str(number)
        folder.mkdir()
        half = lines[number][: len(lines[number]) // 2] if torn else b""
        (folder / "journal.log").write_bytes(b"".join(lines[:number]) + half)
        assert finish(loaded, folder) == expected, f"killed after line {number} of {len(lines)}: {lines[number]!r}"


def test_what_a_machine_without_power_left_behind_the_last_line_is_cut_off(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    optuna.create_study(storage=open_journal(journal), study_name="a")
    whole = journal.read_bytes()
    journal.write_bytes(whole + b"\0" * 100)
    optuna.load_study(storage=open_journal(journal), study_name="a").add_trial(optuna.trial.create_trial(value=1.0))
    assert journal.read_bytes().startswith(whole + b"{")
    assert len(optuna.load_study(storage=open_journal(journal), study_name="a").trials) == 1


def test_tune_may_pickle_who_holds_it(tmp_path: Path) -> None:
    opened = optuna.create_study(storage=open_journal(tmp_path / "journal.log"), study_name="a")
    pickle.loads(pickle.dumps(opened)).add_trial(optuna.trial.create_trial(value=1.0))
    assert len(opened.trials) == 1


HOLDER = """
import sys, time
from pathlib import Path
from gan3d.search.journal import JournalLock
lock = JournalLock(Path(sys.argv[1]))
print("asking", flush=True)
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.timeout(60)
def test_a_killed_process_lets_go_of_the_journal_at_once(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(journal)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert [holder.stdout.readline() for _ in range(2)] == ["asking\n", "held\n"]
        os.kill(holder.pid, signal.SIGKILL)
    lock = JournalLock(journal)
    assert lock.acquire()
    lock.release()
    assert [path.name for path in tmp_path.iterdir()] == ["journal.log"]


def test_a_living_process_keeps_it(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    holding = JournalLock(journal)
    holding.acquire()
    command = [sys.executable, "-c", HOLDER, str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "asking\n"
        assert not select.select([waiting.stdout], [], [], 0.5)[0]
        holding.release()
        assert waiting.stdout.readline() == "held\n"
        waiting.kill()
