"""What the framework takes beside the training itself: the command line, the start of a study, the change of trials.

Studies are small ones on the Geant4 showers of `samples/`, each in a process of its own (`study_process`), in a temporary folder.
A trial's first step is taken to begin when its first epoch was known, less the seconds of that epoch by its own clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import Row, interleaved

ROOT = Path(__file__).resolve().parents[1]
NAME = "orchestration"
#: Times `gan3d --help` is called.
HELP_ROUNDS = 5
#: Trials of the studies that only start and change; each two steps long.
SHORT = {"epochs": 1, "max_steps_per_epoch": 2}
#: The quickstart's networks, batch and losses.
QUICKSTART = ROOT / "studies" / "quickstart.yaml"

Search = dict[str, Any]
SEEDS = {"choice": [1, 2, 3, 4, 5]}
#: Each trial of another world size than the one before.
WORLD_SIZES: Search = {"training.seed": SEEDS, "workers.per_trial": {"choice": [1, 2]}}


def rows(quick: bool) -> Iterator[Row]:  # noqa: ARG001 - as quick as it can be
    """All of them; the command line first."""
    yield from help_rows()
    yield from start_rows()
    yield from world_size_rows()


def help_rows() -> Iterator[Row]:
    """Seconds of `gan3d --help`, the interpreter's own start included."""

    def called(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    variants = {"gan3d --help": lambda: called("-m", "gan3d.cli", "--help"), "python, no program": lambda: called("-c", "")}
    for name, seconds in interleaved(variants, HELP_ROUNDS).items():
        yield row("command line", name, seconds)


def start_rows() -> Iterator[Row]:
    """From the call to the first trial's first step, and from one trial's last to the next one's first."""
    with study({"training.seed": SEEDS}, SHORT, per_trial=2) as small:
        timeline = small.run()
        milestones = timeline.milestones()
    for (_, begin), (name, end) in pairwise(milestones):
        yield row("start of a study", name, [end - begin])
    yield row("start of a study", "all until the first step", [timeline.first_step(0) - timeline.called])
    changes = [timeline.first_step(number) - timeline.last_epoch(number - 1) for number in range(1, len(SEEDS["choice"]))]
    yield row("next trial", "same world size", changes)
    yield row("end of a study", "last epoch to the command's end", [timeline.gone - timeline.last_epoch(len(SEEDS["choice"]) - 1)])


def world_size_rows() -> Iterator[Row]:
    """From one trial's last epoch to the first step of the next, which has more or fewer workers."""
    with study(WORLD_SIZES, SHORT, per_trial=2) as small:
        timeline = small.run()
    changes = [timeline.first_step(number) - timeline.last_epoch(number - 1) for number in range(1, 2 * len(SEEDS["choice"]))]
    # The first trial with two workers finds nothing open on the second one.
    yield row("next trial", "1 to 2 workers, the first time", changes[:1])
    yield row("next trial", "1 to 2 workers", changes[2::2])
    yield row("next trial", "2 to 1 workers", changes[1::2])


def row(case: str, variant: str, seconds: Sequence[float]) -> Row:
    """Seconds."""
    return Row.of((NAME, case, variant), seconds, "s")


@contextmanager
def study(
    search_space: Search, training: dict[str, Any], *, per_trial: int, only_first: bool = False, convolutions: str = "measured"
) -> Iterator[SmallStudy]:
    """A grid over ``search_space``, or one trial of the settings as written, with the quickstart's networks.

    Its files last as long as the block. With plain ``convolutions`` numbers do not depend on which path was faster at a trial's start.
    """
    content = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    content |= {"name": "small", "search_space": search_space, "sampler": {"name": "grid"}, "figures": []}
    del content["scheduler"], content["trials"]
    if only_first:
        content |= {"sampler": {"name": "random"}, "trials": {"number": 1}}
    content["workers"] |= {"per_trial": per_trial, "convolutions": convolutions}
    content["training"] |= training | {"seed": 1}
    for part in ("train", "validation"):
        content["data"][part] = [str(QUICKSTART.parent / path) for path in content["data"][part]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        yield SmallStudy(file)


@dataclass(frozen=True, slots=True)
class Timeline:
    """When what happened in a process [s since 1970]; ``marks`` are those of `study_process.Marks`."""

    called: float
    gone: float
    marks: dict[str, Any]

    def first_step(self, trial: int) -> float:
        """The first epoch's end, less its length."""
        known, seconds = self.marks["epochs"][str(trial)][0]
        return float(known - seconds)

    def last_epoch(self, trial: int) -> float:
        """When the last epoch was known."""
        return float(self.marks["epochs"][str(trial)][-1][0])

    def gaps(self, trial: int) -> list[float]:
        """Seconds between epochs that belong to none."""
        return [end - seconds - before for (before, _), (end, seconds) in pairwise(self.marks["epochs"][str(trial)])]

    def milestones(self) -> list[tuple[str, float]]:
        """What was ready when, from the call to the first trial's first step."""
        return [
            ("call", self.called),
            ("imports and plan", self.marks["said"][0][0]),
            ("Ray", self.marks["connected"]),
            ("MLflow, beside Ray", self.marks["searched"]),
            ("Tune and the trial's actor", self.marks["started"]["0"]),
            ("team of workers", self.marks["taken"]["0"]),
            ("showers and networks", self.marks["built"]["0"]),
            ("where the generator starts", self.first_step(0)),
        ]


@dataclass(frozen=True, slots=True)
class SmallStudy:
    """A study file in a folder that goes away."""

    file: Path

    def run(self) -> Timeline:
        """As a study."""
        return self._process("run")

    def bare(self) -> Timeline:
        """Its first samples, without a framework."""
        return self._process("bare")

    def _process(self, what: str) -> Timeline:
        results = Path(tempfile.mkdtemp(dir=self.file.parent))
        command = [sys.executable, "-m", "benchmarks.study_process", what, str(self.file), str(results)]
        called = time.time()
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return Timeline(called, time.time(), json.loads(done.stdout.splitlines()[-1]))
