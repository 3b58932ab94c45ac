"""The ledger of a study: what its trials held and drew, over all sessions. One small file in the results, `cost.json`.

Kept by the driver, so that it knows what no record holds: the forming of teams, epochs that were never finished, waiting. A trial
holds its team's CPUs from the moment Tune starts it until it ends. Counted in two ways: *reserved*, the whole team, which is what
the study takes from others and what a budget is about; and the trial's own workers, which is what the trial would take alone.
Energy is the epochs' own, see `gan3d.cost.epochs`; for the rest of the time that a trial held its workers it is declared.

Written every few seconds, so a killed driver forgets no more than that; of the epochs nothing, as trials taken up tell them again.
Not counted: Ray's start, the drawing of figures, and the driver itself, which reserves no CPU; the wall time has them.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from gan3d.config.cost import Rates
from gan3d.errors import ConfigError
from gan3d.writing import write_atomically, write_text

FILE = "cost.json"
WALL = "wall_seconds"
SECONDS_BETWEEN_SAVES = 5.0
#: What an epoch's record says of its cost, of what there is of `Spent`.
RECORDED = ("core_seconds", "reserved_core_seconds", "gpu_seconds", "rapl_joules", "nvml_joules", "declared_joules")


@dataclass(frozen=True, slots=True)
class Spent:
    """Amounts that add up. Energy is in joules by where it is known from."""

    core_seconds: float = 0.0
    reserved_core_seconds: float = 0.0
    gpu_seconds: float = 0.0
    reserved_gpu_seconds: float = 0.0
    rapl_joules: float = 0.0
    nvml_joules: float = 0.0
    declared_joules: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, entry.name) + getattr(other, entry.name) for entry in fields(Spent)))


@dataclass(frozen=True, slots=True)
class Team:
    """CPUs and GPUs of a trial's own workers, and of its whole team."""

    cores: int
    team_cores: int
    gpus: int = 0
    team_gpus: int = 0

    def held(self, seconds: float) -> Spent:
        """What it is to hold this team for so long; no energy."""
        return Spent(seconds * self.cores, seconds * self.team_cores, seconds * self.gpus, seconds * self.team_gpus)


@dataclass(slots=True)
class Entry:
    """One trial, over all sessions and whatever teams it had in them."""

    team: Team
    """Now: the teams before were others in sessions with another `workers.cpus_per_worker`, or of an elastic trial."""
    held: Spent = Spent()
    """What the driver saw it hold; no energy."""
    held_seconds: float = 0.0
    """How long; without what ledgers of the first versions forgot of teams before."""
    inside: Spent = Spent()
    """What its finished epochs cost, as each of them told."""
    inside_seconds: float = 0.0
    """How long they lasted."""
    epochs: int = 0
    """Epochs that are inside; they come in order, and those of a trial taken up again come again."""

    def hold(self, seconds: float) -> None:
        """It held its team for so much longer."""
        self.held, self.held_seconds = self.held + self.team.held(seconds), self.held_seconds + seconds

    def add_epoch(self, epoch: int, metrics: Mapping[str, float], cores: int) -> bool:
        """An epoch's record; one that is counted already, or that has no cost, adds nothing. Returns whether it is a new one."""
        if epoch <= self.epochs or "cost.core_seconds" not in metrics:
            return epoch > self.epochs
        cost = {name: metrics[f"cost.{name}"] for name in RECORDED}
        # A record has no reserved GPU-seconds; a team's workers are all alike.
        reserved_gpu_seconds = cost["gpu_seconds"] * _ratio(cost["reserved_core_seconds"], cost["core_seconds"])
        self.epochs = epoch
        self.inside += Spent(reserved_gpu_seconds=reserved_gpu_seconds, **cost)
        self.inside_seconds += cost["core_seconds"] / cores
        return True

    def spent(self, rates: Rates) -> Spent:
        """Everything, the time outside of finished epochs at the declared watts."""
        held, inside = self.held, self.inside
        outside = max(held.core_seconds - inside.core_seconds, 0.0) * rates.watts_per_core
        outside += max(held.gpu_seconds - inside.gpu_seconds, 0.0) * rates.watts_per_gpu
        # Epochs can be longer than what the driver saw: it was killed before it wrote the last seconds down.
        return replace(
            inside,
            core_seconds=max(held.core_seconds, inside.core_seconds),
            reserved_core_seconds=max(held.reserved_core_seconds, inside.reserved_core_seconds),
            gpu_seconds=max(held.gpu_seconds, inside.gpu_seconds),
            reserved_gpu_seconds=max(held.reserved_gpu_seconds, inside.reserved_gpu_seconds),
            declared_joules=inside.declared_joules + outside,
        )


class Ledger:
    """May be told and asked from any thread. Its clock is `now`, in seconds from any zero."""

    def __init__(
        self,
        rates: Rates,
        entries: dict[int, Entry] | None = None,
        *,
        wall_seconds: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rates, self._entries, self._wall_seconds = rates, entries or {}, wall_seconds
        self._live: set[int] = set()
        self._lock = threading.Lock()
        self._now, self._last = now, now()

    @classmethod
    def open(cls, results: Path, rates: Rates, now: Callable[[], float] = time.monotonic) -> Ledger:
        """The ledger in a results folder, or an empty one.

        Raises:
            ConfigError: there is a file, but it is no ledger, or it cannot be read.
        """
        file = results / FILE
        if not file.exists():
            return cls(rates, now=now)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            entries = {int(number): _entry(row) for number, row in content["trials"].items()}
            return cls(rates, entries, wall_seconds=_amount(content[WALL]), now=now)
        except OSError as problem:
            message = f"cannot be read ({(problem.strerror or str(problem)).lower()}). Make it readable, or use another --results."
            raise ConfigError(message, where=str(file)) from problem
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            message = "is not a ledger of this version of gan3d. Delete it to go on; what was spent before is then not counted."
            raise ConfigError(message, where=str(file)) from problem

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles whoever holds the ledger with its own state, and we never read that back."""
        return {}

    @property
    def is_empty(self) -> bool:
        """Whether no trial ever held anything."""
        return not self._entries

    def start(self, number: int, team: Team) -> None:
        """A trial holds its team from now on."""
        with self._lock:
            self._tick()
            self._entries.setdefault(number, Entry(team)).team = team
            self._live.add(number)

    def add_epoch(self, number: int, epoch: int, metrics: Mapping[str, float], cores: int | None = None) -> bool:
        """A trial reported an epoch of so many CPUs, by default those it holds; returns whether for the first time."""
        with self._lock:
            entry = self._entries[number]
            return entry.add_epoch(epoch, metrics, cores or entry.team.cores)

    def end(self, number: int) -> Spent:
        """A trial gives its team back; returns what it cost, over all sessions: nothing, if it never had one."""
        with self._lock:
            self._tick()
            self._live.discard(number)
            entry = self._entries.get(number)
            return entry.spent(self._rates) if entry is not None else Spent()

    def trials(self) -> dict[int, Spent]:
        """What each trial cost until now."""
        with self._lock:
            self._tick()
            return {number: entry.spent(self._rates) for number, entry in sorted(self._entries.items())}

    def held_seconds(self) -> dict[int, float]:
        """How long each trial held a team until now, over all sessions."""
        with self._lock:
            self._tick()
            return {number: entry.held_seconds for number, entry in sorted(self._entries.items())}

    def total(self) -> Spent:
        """What all trials cost until now."""
        return sum(self.trials().values(), Spent())

    def in_epochs(self) -> tuple[Spent, float]:
        """What the finished epochs of all trials cost, and how many seconds they lasted, those of one trial after those of the other."""
        with self._lock:
            entries = self._entries.values()
            return sum((entry.inside for entry in entries), Spent()), sum(entry.inside_seconds for entry in entries)

    @property
    def epochs(self) -> int:
        """Finished epochs of all trials."""
        with self._lock:
            return sum(entry.epochs for entry in self._entries.values())

    @property
    def wall_seconds(self) -> float:
        """That the study ran, over all sessions."""
        with self._lock:
            self._tick()
            return self._wall_seconds

    def save(self, results: Path) -> None:
        """Write the file beside and rename it: a reader sees the old one or the new one."""
        with self._lock:
            self._tick()
            trials = {str(number): asdict(entry) for number, entry in sorted(self._entries.items())}
            text = json.dumps({WALL: self._wall_seconds, "trials": trials}, indent=1) + "\n"
        write_atomically(results / FILE, lambda file: write_text(file, text))  # not locked: a disk may take long to sync

    @contextmanager
    def kept(self, results: Path) -> Iterator[None]:
        """Save every few seconds, in a thread, for the length of the block, and at its end; no trial holds anything after it."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(SECONDS_BETWEEN_SAVES):
                with suppress(OSError):  # of a full or absent disk for a moment; the last save says so
                    self.save(results)

        thread = threading.Thread(target=keep, name="ledger", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with self._lock:
                self._tick()
                self._live.clear()
            self.save(results)

    def _tick(self) -> None:
        """Charge the time since the last tick to the study and to every trial that holds its team."""
        now = self._now()
        passed, self._last = now - self._last, now
        self._wall_seconds += passed
        for number in self._live:
            self._entries[number].hold(passed)


def _entry(row: dict[str, Any]) -> Entry:
    """As it was written; of any other content an error that `Ledger.open` knows."""
    parts = {name: {key: _amount(value) for key, value in part.items()} for name, part in row.items() if isinstance(part, dict)}
    amounts: dict[str, Any] = {name: _amount(value) for name, value in row.items() if name not in parts}
    amounts["epochs"] = int(amounts.get("epochs", 0))
    team = Team(**{name: int(cpus) for name, cpus in parts.pop("team").items()})
    if "held" not in parts:
        return _entry_of_earlier(team, Spent(**parts.pop("before", {})), amounts)
    return Entry(team, **(amounts | {name: Spent(**part) for name, part in parts.items()}))


def _entry_of_earlier(team: Team, before: Spent, amounts: dict[str, Any]) -> Entry:
    """Of a ledger that knew what a trial held `before` this team, and of its epochs neither what they reserved nor how long they lasted.

    That is told from the mean of all teams that the trial held.
    """
    since, earlier, epochs = (amounts.pop(name, 0.0) for name in ("held_seconds", "seconds_before", "epochs"))
    held, seconds, inside = before + team.held(since), since + earlier, Spent(**amounts)
    is_known = seconds > 0 and (earlier > 0 or not before.core_seconds)  # the first versions forgot how long the teams before were held
    mean, mean_seconds = (held, seconds) if is_known else (team.held(1.0), 1.0)
    reserved = _ratio(mean.reserved_core_seconds, mean.core_seconds)
    inside = replace(inside, reserved_core_seconds=inside.core_seconds * reserved, reserved_gpu_seconds=inside.gpu_seconds * reserved)
    return Entry(team, held, seconds, inside, inside.core_seconds * _ratio(mean_seconds, mean.core_seconds), epochs)


def _ratio(part: float, whole: float) -> float:
    """Of two amounts; 1 where there is nothing."""
    return part / whole if whole else 1.0


def _amount(value: Any) -> float:
    """A number that something can have been spent of."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        message = f"{value!r} is no amount"
        raise ValueError(message)
    return float(value)
