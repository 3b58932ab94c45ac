"""The terminal: what is known of a running study, the live display at any width, and plain lines."""

from __future__ import annotations

import io
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gan3d.config.keys import knobs
from gan3d.config.load import load_study
from gan3d.config.study import Study
from gan3d.records import TrialRecord, TrialState
from gan3d.terminal import Terminal
from gan3d.terminal.console import console_for, is_live
from gan3d.terminal.display import display
from gan3d.terminal.standing import Standing
from gan3d.terminal.words import duration_text, number_text, sample_text, short_names, short_paths
from gan3d.tracking.outcome import TURN_OVER

STUDIES = Path(__file__).parent.parent / "studies"


@pytest.fixture
def study() -> Study:
    return load_study(STUDIES / "quickstart.yaml").study


def sample_of(study: Study) -> dict[str, Any]:
    return {key: one.ends[0] for key, one in study.search_space.ranges.items()}


def record(
    number: int, state: TrialState = "complete", objective: float | None = 0.3, seconds: float = 10.0, reason: str = ""
) -> TrialRecord:
    return TrialRecord(number, {}, state, reason, 4, objective, seconds)


def metrics(objective: float) -> dict[str, float]:
    return {"physics.shower_distance": objective, "timing.showers_per_second": 131.4}


def play(terminal: Terminal, study: Study) -> None:
    """Three trials: complete, pruned, failed; a fourth runs."""
    terminal.say("Starting Ray on this machine")
    states: tuple[TrialState, ...] = ("complete", "pruned", "failed")
    for number, state in enumerate(states):
        terminal.trial_started(number, sample_of(study))
        terminal.step_progress(number, 1, 20, 45)
        terminal.epoch_ended(number, 1, metrics(0.5 - number / 10))
        failed = state == "failed"
        terminal.trial_ended(record(number, state, None if failed else 0.5 - number / 10, reason="losses are not finite" if failed else ""))
    terminal.trial_started(3, sample_of(study))
    terminal.step_progress(3, 1, 30, 45)


def drawn(standing: Standing, now: float, width: int) -> str:
    written = io.StringIO()
    Console(file=written, width=width, force_terminal=True, color_system=None).print(display(standing, now, width))
    return written.getvalue()


def test_without_a_terminal_each_event_is_one_plain_line(study: Study) -> None:
    written = io.StringIO()
    console = Console(file=written, width=40)
    with Terminal(study, console, is_live=False) as terminal:
        play(terminal, study)
    lines = written.getvalue().splitlines()
    assert len(lines) == 11  # a notice, four starts, three epochs, three ends
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line) for line in lines)
    assert "\x1b" not in written.getvalue()
    assert "trial 0 epoch 1/4: shower_distance 0.5000, 131.4 showers/s" in lines[2]
    assert lines[3].endswith("trial 0 complete after 4 epochs in 0:10, shower_distance 0.5000 (best so far) [1/8]")
    assert "trial 2 failed" in lines[9]
    assert "losses are not finite" in lines[9]
    assert "best" not in lines[9]


def test_a_trial_that_makes_way_is_not_among_the_ended_and_tells_its_epochs_once(study: Study) -> None:
    written = io.StringIO()
    with Terminal(study, Console(file=written, width=40), is_live=False) as terminal:
        terminal.trial_started(0, sample_of(study))
        terminal.epoch_ended(0, 1, metrics(0.5))
        terminal.trial_ended(record(0, "stopped", 0.5, reason=f"after epoch 1 of 4: {TURN_OVER}"))
        terminal.trial_started(0, sample_of(study), 1)
        for epoch, value in enumerate((0.5, 0.4), start=1):
            terminal.epoch_ended(0, epoch, metrics(value))
        terminal.trial_ended(record(0, objective=0.4))
    lines = [line.split(" ", 2)[2] for line in written.getvalue().splitlines()]
    told = [line.partition(":")[0].removeprefix("trial 0 ") for line in lines if " after 4 epochs" not in line]
    assert told == ["started", "epoch 1/4", "goes on behind epoch 1", "epoch 2/4"]
    ends = [line for line in lines if " after 4 epochs" in line]
    assert ends[0].startswith("trial 0 makes way")
    assert ends[0].endswith("[0/8]")
    assert ends[1].startswith("trial 0 complete")
    assert ends[1].endswith("[1/8]")


def test_live_the_ends_stay_and_the_display_goes(study: Study) -> None:
    written = io.StringIO()
    console = Console(file=written, width=100, force_terminal=True)
    with Terminal(study, console, is_live=True) as terminal:
        play(terminal, study)
    text = written.getvalue()
    assert "\x1b" in text
    assert all(f"trial {number}" in text for number in range(3))
    assert text.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))  # lines erased, cursor shown


@pytest.mark.parametrize("width", [40, 60, 79, 80, 120, 200])
def test_the_display_keeps_to_the_width_and_names_what_matters(study: Study, width: int) -> None:
    standing = Standing(study, now=0.0)
    standing.end(record(0))
    standing.start(1, sample_of(study), now=10.0)
    standing.end_epoch(1, 1, metrics(0.25))
    standing.step(1, 2, 30, 45)
    text = drawn(standing, 15.0, width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "30/45" in text
    assert "2/4" in text
    assert "0.2500" in text
    assert "1/8" in text
    assert "best" in text


def test_the_target_is_said_to_be_reached_once_and_stays_in_sight(study: Study) -> None:
    at_target = study.model_copy(update={"objective": study.objective.model_copy(update={"target": 0.3})})
    written = io.StringIO()
    with Terminal(at_target, Console(file=written, width=40), is_live=False) as terminal:
        terminal.trial_started(0, sample_of(study))
        for epoch, value in enumerate((0.4, 0.2, 0.1), start=1):
            terminal.epoch_ended(0, epoch, metrics(value))
    assert re.findall(r"target .*", written.getvalue()) == ["target 0.3 reached in trial 0 after 2 epochs"]
    standing = Standing(at_target, now=0.0)
    assert "target 0.3 not reached yet" in drawn(standing, 1.0, 100)
    standing.earlier_trials([record(0, objective=0.25), record(1, objective=0.35)])
    assert "target 0.3 reached in trial 0" in drawn(standing, 1.0, 100)
    assert "target" not in drawn(Standing(study, now=0.0), 1.0, 100)


def test_before_the_first_trial_the_display_knows_nothing(study: Study) -> None:
    text = drawn(Standing(study, now=0.0), 3.0, 100)
    assert "left ?" in text
    assert "0/8" in text
    assert "no trial is running" in text
    assert "in trial" not in text


def test_the_time_left_is_the_mean_time_of_a_trial_for_each_that_is_missing(study: Study) -> None:
    standing = Standing(study, now=0.0)
    standing.start(0, {}, now=0.0)
    assert standing.seconds_left(5.0) is None
    standing.end(record(0, seconds=10.0))
    standing.end(record(1, seconds=20.0))
    assert standing.seconds_left(30.0) == 6 * 15.0
    standing.start(2, {}, now=30.0)
    assert standing.seconds_left(35.0) == 5 * 15.0 + 10.0
    assert standing.seconds_left(100.0) == 5 * 15.0


def test_trials_side_by_side_share_the_time_left() -> None:
    study = load_study(STUDIES / "quickstart.yaml", ["trials.concurrent=3"]).study
    standing = Standing(study, now=0.0)
    standing.end(record(0, seconds=12.0))
    assert standing.seconds_left(12.0) == pytest.approx(7 * 12.0 / 3)


def test_trials_of_an_earlier_session_count_but_say_nothing_of_the_time_left(study: Study) -> None:
    standing = Standing(study, now=0.0)
    standing.earlier_trials([record(0, objective=0.2), record(1, seconds=99.0)])
    assert standing.num_ended == 2
    assert standing.best is not None
    assert standing.best.merit.first == 0.2
    assert standing.seconds_left(1.0) is None


def test_the_time_left_of_trials_that_take_turns_is_what_each_of_them_has_before_it(study: Study) -> None:
    standing = Standing(study, now=0.0)
    standing.earlier_trials([record(0, "stopped", seconds=70.0), record(1, "stopped", objective=0.1, seconds=80.0)])
    assert standing.num_ended == 0
    assert standing.best is not None
    assert standing.best.number == 1, "of an earlier session, and yet to go on"
    standing.start(0, {}, now=0.0)
    standing.end(record(0, seconds=100.0))
    assert standing.seconds_left(30.0) == 6 * 100.0 + 20.0
    standing.start(1, {}, now=30.0)
    assert standing.seconds_left(35.0) == 6 * 100.0 + 15.0


@pytest.mark.parametrize(("study_name", "best"), [("quickstart", 0.2), ("scaling_1_to_16", 0.7)])
def test_the_best_is_the_best_in_the_studys_direction(study_name: str, best: float) -> None:
    study = load_study(STUDIES / f"{study_name}.yaml").study
    standing = Standing(study, now=0.0)
    for number, objective in enumerate((0.5, 0.2, 0.7)):
        standing.end(record(number, objective=objective))
    standing.end(record(3, "failed", None))
    standing.end(record(4, objective=float("nan")))
    assert standing.best is not None
    assert standing.best.merit.first == best


def test_a_trial_that_fails_takes_its_best_epoch_with_it(study: Study) -> None:
    standing = Standing(study, now=0.0)
    standing.end(record(0, objective=0.4))
    standing.start(1, {}, now=0.0)
    standing.end_epoch(1, 1, metrics(0.1))
    assert standing.best is not None
    assert standing.best.number == 1
    standing.end(record(1, "failed", None))
    assert standing.best.number == 0


def test_late_news_of_an_ended_trial_is_no_news(study: Study) -> None:
    standing = Standing(study, now=0.0)
    standing.start(0, {}, now=0.0)
    standing.end(record(0))
    standing.step(0, 4, 45, 45)
    standing.end_epoch(0, 4, metrics(0.1))
    assert standing.running == {}


def test_events_may_come_from_any_thread_while_it_draws(study: Study) -> None:
    def progress(terminal: Terminal) -> None:
        for step in range(500):
            terminal.step_progress(0, 1, step, 500)

    def talk(terminal: Terminal) -> None:
        for line in range(100):
            terminal.say(f"line {line}")

    def report(terminal: Terminal) -> None:
        for _ in range(100):
            terminal.epoch_ended(0, 1, metrics(0.3))

    written = io.StringIO()
    with Terminal(study, Console(file=written, width=100, force_terminal=True), is_live=True) as terminal:
        terminal.trial_started(0, sample_of(study))
        threads = [threading.Thread(target=act, args=(terminal,)) for act in (progress, talk, report)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert "line 99" in written.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")])
def test_the_environment_can_ask_for_plain_lines(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for one in ("NO_COLOR", "CI"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert is_live(console_for())
    monkeypatch.setenv(name, value)
    assert not is_live(console_for())


def test_a_short_name_ends_only_one_knob() -> None:
    for key, name in short_names(knobs()).items():
        assert key == name or key.endswith(f".{name}")
        assert [one for one in knobs() if one == name or one.endswith(f".{name}")] in ([key], [name])
        assert not name[0].isdecimal()
    names = short_names(["training.generator.filters.0", "training.global_batch"])
    assert list(names.values()) == ["generator.filters.0", "global_batch"]
    assert sample_text({"training.generator.filters.0": 16, "training.global_batch": 8}, names) == "generator.filters.0=16 global_batch=8"


def test_a_path_is_as_short_as_the_others_allow() -> None:
    trials = {f"results/{study}/trials/000{number}": "" for study in ("mine", "other") for number in (1, 2)}
    assert list(short_paths(trials).values()) == ["mine/trials/0001", "mine/trials/0002", "other/trials/0001", "other/trials/0002"]
    assert short_paths(["a/one.onnx", "a/two.onnx"]) == {"a/one.onnx": "one.onnx", "a/two.onnx": "two.onnx"}
    assert short_paths(["a/b", "/x/a/b", "a/b"]) == {"a/b": "a/b", "/x/a/b": "x/a/b"}
    assert short_paths(["/", "."]) == {"/": "/", ".": "."}


def test_numbers_and_durations_are_short() -> None:
    assert [duration_text(seconds) for seconds in (None, 7, 133, 3723, 273906)] == ["?", "0:07", "2:13", "1:02:03", "3 d 4:05:06"]
    assert [number_text(value) for value in (None, 0.31236, 131.42, 123456.0)] == ["?", "0.3124", "131.4", "123,456"]
