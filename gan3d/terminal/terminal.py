"""Hears of a study (`gan3d.tracking.callback.Watcher`) and shows it: live, or one plain line per event."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live

from gan3d.config.study import Study
from gan3d.records import TrialRecord
from gan3d.terminal.crossing import crossing_text, target_text
from gan3d.terminal.display import display
from gan3d.terminal.standing import Standing
from gan3d.terminal.words import duration_text, excess_text, metric_text, number_text, sample_text, short_names
from gan3d.tracking.outcome import TURN_OVER

#: Times a second that the live display is drawn.
DRAWN_PER_SECOND = 4
#: By the state of a trial.
STYLES = {"running": "", "complete": "green", "pruned": "yellow", "stopped": "yellow", "failed": "red"}


class Terminal:
    """A context manager; what it is told, from any thread, appears on its console until the block ends."""

    def __init__(self, study: Study, console: Console, *, is_live: bool) -> None:
        self._console, self._is_live = console, is_live
        self._names = short_names(study.search_space.ranges)
        self._metric = study.objective.metric
        self._target = target_text(study.objective)
        self._standing = Standing(study, time.monotonic())
        # Never held while printing: the thread that draws holds the console's own lock when it asks for this one.
        self._lock = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._is_live:
            live = Live(get_renderable=self._drawn, console=self._console, refresh_per_second=DRAWN_PER_SECOND, transient=True)
            self._stack.enter_context(live)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def earlier_trials(self, records: Iterable[TrialRecord]) -> None:
        """Trials that ended before this session, for good or until they go on, where a study is gone on with."""
        with self._lock:
            self._standing.earlier_trials(records)
            count = self._standing.num_ended
        if count:
            self.say(f"{count} of {self._standing.study.num_trials} trials ended earlier")

    def trial_started(self, number: int, sample: dict[str, Any], known_epochs: int = 0) -> None:
        """A trial was given to its workers, or taken up again, and has told so many epochs already."""
        with self._lock:
            self._standing.start(number, sample, time.monotonic(), known_epochs)
        if not self._is_live:
            word = f"goes on behind epoch {known_epochs}" if known_epochs else "started"
            self.say(f"trial {number} {word}: {sample_text(sample, self._names) or 'the settings as written'}")

    def step_progress(self, number: int, epoch: int, step: int, steps: int) -> None:
        """How far a trial's epoch is; shown live only."""
        with self._lock:
            self._standing.step(number, epoch, step, steps)

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        """A trial reported an epoch."""
        with self._lock:
            crossing = self._standing.end_epoch(number, epoch, metrics)
            trial = self._standing.running.get(number)
            epochs, known = (trial.epochs, trial.known_epochs) if trial is not None else (epoch, 0)
        if not self._is_live and epoch > known:
            objective = f"{metric_text(self._metric)} {number_text(metrics[self._metric])}"
            speed = number_text(metrics.get("timing.showers_per_second"))
            self.say(f"trial {number} epoch {epoch}/{epochs}: {objective}, {speed} showers/s")
        if crossing is not None:
            self._line(f"{self._target} reached {crossing_text(crossing)}", STYLES["complete"])

    def trial_ended(self, record: TrialRecord) -> None:
        """A trial is complete, pruned or failed, or will go on later."""
        with self._lock:
            self._standing.end(record)
            best, ended = self._standing.best, self._standing.num_ended
        is_best = best is not None and best.number == record.number
        how = "makes way" if record.reason.endswith(TURN_OVER) else record.state
        text = f"trial {record.number} {how} after {record.epochs} epochs in {duration_text(record.seconds)}"
        if record.objective is not None:
            text += f", {metric_text(self._metric)} {number_text(record.objective)}{excess_text(record.excess)}"
            text += " (best so far)" if is_best else ""
        if record.state == "failed":
            text += f": {record.reason}"
        self._line(f"{text} [{ended}/{self._standing.study.num_trials}]", STYLES[record.state])

    def say(self, text: str) -> None:
        """One line for the user."""
        self._line(text, "dim" if self._is_live else "")

    def _line(self, text: str, style: str) -> None:
        """A line that stays: above the display, or with the time of day where it may end up in a file."""
        shown = text if self._is_live else f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {text}"
        self._console.print(shown, style=style or None, soft_wrap=True, markup=False, highlight=False)

    def _drawn(self) -> RenderableType:
        with self._lock:
            return display(self._standing, time.monotonic(), self._console.width)
