"""What must hold for a staircase: its names, that each stair changes something, and that every value is one the schema accepts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gan3d.config.effect import ineffective_knobs
from gan3d.config.keys import knobs, nearest
from gan3d.config.problem import Path, Problem, split
from gan3d.config.space_checks import key_problem
from gan3d.config.stairs import STAIRS

if TYPE_CHECKING:
    from gan3d.config.study import Study
    from gan3d.config.training import TrialSettings

#: No dot, so that `--set search_space.stairs.NAME.dotted.key=value` can be read.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 /_-]{0,39}$")
#: What a table's reader would take for no name: words, and anything that is a number.
NOT_NAMES = {"true", "false", "na", "n/a", "null", "none"}
#: Of samples that every confirmation trains: the settings as written, and the best that was found.
CONTENDERS = ("default", "best")
AT: Path = ("search_space", STAIRS)
FORM = "Write {start: {}, more threads: {workers.threads_per_worker: 2}}: each stair changes the one before."


def stairs_problems(written: Any, ranged: Collection[str]) -> Iterator[Problem]:
    """Every problem of a staircase's plain values, stair by stair; ``ranged`` are the keys that have a range of their own."""
    if not isinstance(written, dict) or len(written) < 2:
        yield Problem(STAIRS, "must be at least two stairs, each with a name", FORM, written, at=AT)
        return
    below: dict[str, Any] = {}
    for place, (name, change) in enumerate(written.items()):
        problem = _name_problem(name) or _change_problem(name, change, is_first=place == 0)
        if problem is not None:
            yield problem
            continue
        for key, value in change.items():
            yield from _value_problems(f"{STAIRS}.{name}", key, value, (*AT, name, key), below, ranged)
        below |= change


def _name_problem(name: str) -> Problem | None:
    if NAME.match(name) and name.rstrip() == name and name.lower() not in NOT_NAMES and not _is_number(name):
        return None
    rule = "is no name of a stair: up to 40 letters, digits, blanks and / _ -, no number, and no word such as true or none"
    return Problem(f"{STAIRS}.{name}", rule, "Choose another name.", at=(*AT, name))


def contender_name_problem(name: str) -> Problem | None:
    """What is wrong with the name of a study's reference, which becomes a stair's; `default` and `best` are taken."""
    found = _name_problem(name)
    if found is None and name not in CONTENDERS:
        return None
    rule = f"is taken: {' and '.join(CONTENDERS)} are contenders of every confirmation" if found is None else found.rule
    return Problem(f"references.{name}", rule, "Choose another name.", at=("references", name))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _change_problem(name: str, change: Any, *, is_first: bool) -> Problem | None:
    if not isinstance(change, dict):
        return Problem(f"{STAIRS}.{name}", "must be dotted keys and values", FORM, change, at=(*AT, name))
    if not change and not is_first:
        return Problem(f"{STAIRS}.{name}", "changes nothing", "Only the first stair may: remove it.", at=(*AT, name))
    return None


def _value_problems(stair: str, key: str, value: Any, at: Path, below: Mapping[str, Any], ranged: Collection[str]) -> Iterator[Problem]:
    problem = key_problem(key, at)
    if problem is not None:
        yield problem
        return
    knob = knobs()[key]
    if key in ranged:
        yield Problem(key, "is changed by a stair and has a range too", f"Remove one of both: its range, or it from {stair}.", at=at)
    elif not knob.accepts(value):
        hint = f"; did you mean {close}?" if isinstance(value, str) and (close := nearest(value, knob.words)) else ""
        yield Problem(key, f"{knob.rule}{hint}", f"Correct it in {stair}.", value, at=at)
    elif key in below and below[key] == value:
        yield Problem(key, "is that already on the stair before", f"Remove it from {stair}.", value, at=at)


def idle_stairs(study: Study, samples: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    """Stairs on which every trial is as on the stair before, and keys of a stair that change nothing in any trial there.

    ``samples`` are what else is sampled, which stays as it is in them; which of them are forbidden does not count.
    """
    stairs = study.search_space.stairs
    assert stairs is not None
    rows = [[study.settings_or_problems({**sample, STAIRS: name}, even_forbidden=True)[0] for name in stairs.values] for sample in samples]
    columns = zip(*([one for one in row if one is not None] for row in rows if None not in row), strict=True)
    before: list[TrialSettings] = []
    for (name, change), trials in zip(stairs.changes.items(), columns, strict=True):
        if [trial.digest() for trial in trials] == [trial.digest() for trial in before]:
            yield Problem(f"{STAIRS}.{name}", "changes nothing: its trials are as on the stair before", "Remove it.", at=(*AT, name))
        else:
            for key in change:
                if rule := _idle_key(key, before, trials):
                    yield Problem(key, rule, f"Remove it from {STAIRS}.{name}.", at=(*AT, name, key))
        before = list(trials)


def _idle_key(key: str, before: Sequence[TrialSettings], trials: Sequence[TrialSettings]) -> str:
    """Why a key changes nothing in any trial of a stair; ``before`` are those of the stair before, none on the lowest."""
    reasons = [ineffective_knobs(trial) for trial in trials]
    if all(key in reason for reason in reasons):
        return f"changes nothing on this stair: {reasons[0][key]}"
    if before and all(value_in(one, key) == value_in(other, key) for one, other in zip(before, trials, strict=True)):
        return "is that already on the stair before"
    return ""


def value_in(trial: TrialSettings, key: str) -> Any:
    """What a knob is in a trial, by its dotted key."""
    found: Any = trial
    for part in split(key):
        found = found[part] if isinstance(part, int) else getattr(found, part)
    return found
