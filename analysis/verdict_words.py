"""Numbers of the verdict's page in words: each with its interval, or with words for that there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

#: What stands in place of a number that is not known.
UNKNOWN = "not known"
#: Of times: how many are an hour.
UNITS = ((1, "h"), (60, "min"), (3600, "s"))


def number(value: float | None, digits: int = 3) -> str:
    """With so many digits."""
    return UNKNOWN if value is None else f"{value:.{digits}g}"


def spent(study: dict[str, Any]) -> str:
    """Core-hours of a study's trials, as far as they are known."""
    missing = study["trials_without_cost"]
    if not missing:
        return f"{number(study['core_hours'])} core-hours"
    least = f"at least {number(study['core_hours'])} core-hours" if study["core_hours"] is not None else f"core-hours {UNKNOWN}"
    return f"{least}, {counted(missing, 'trial')} without a cost"


def counted(count: int, what: str) -> str:
    """So many of them."""
    return f"{count} {what}{'s' if count != 1 else ''}"


def team(row: dict[str, Any]) -> str:
    """Its workers, and on how many nodes they were, where that is recorded."""
    return counted(row["workers"], "worker") + (f" on {counted(row['nodes'], 'node')}" if row["nodes"] else "")


def known(row: dict[str, Any]) -> str:
    """How the time on a team is known."""
    curve = f"{row['study']}, {row['kind']} scaling"
    ways = {
        "scaled": f"scaled by {curve}",
        "ideal": f"scaled by {curve}, ideal beyond what it measured",
        "predicted": f"predicted on {row['predicted_on']} from {curve}",
    }
    return ways.get(row["known"], "measured: its own team")


def sorted_by(value: dict[str, Any]) -> float:
    """By which a column sorts: what is not known comes last."""
    return 1e12 if value["value"] is None else float(value["value"])


def hours(value: dict[str, Any], *, worded: bool = True) -> str:
    """In minutes or seconds where it is less than one of the next, with its interval, else words for that it has none."""
    if value["value"] is None:
        return UNKNOWN
    factor, unit = next((pair for pair in UNITS if pair[0] * value["value"] >= 1), UNITS[-1])
    return f"{factor * value['value']:.3g} {unit}{interval(value, factor, worded=worded)}"


def quantity(value: dict[str, Any], unit: str = "", *, worded: bool = True) -> str:
    """With its interval, where there is one, else words for that if these are not said elsewhere."""
    if value["value"] is None:
        return f"{unit} {UNKNOWN}".strip()
    return f"{value['value']:.3g}{unit and ' '}{unit}{interval(value, worded=worded)}"


def interval(value: dict[str, Any], factor: float = 1, *, worded: bool = True) -> str:
    """In brackets; of a single trial, and of too few for a median's, words in its place."""
    if value["low"] is None:
        without = "one trial" if value["num_trials"] == 1 else "no interval"
        return f" ({without})" if worded else ""
    high = "never" if value["high"] is None else f"{factor * value['high']:.3g}"
    return f" [{factor * value['low']:.3g}, {high}]"


def column(row: dict[str, Any], name: str) -> dict[str, Any]:
    """A quantity that lies flat in a row."""
    return {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"], "num_trials": row["num_trials"]}


def speed(size: dict[str, Any]) -> str:
    """Of a team beside the smallest one of its curve."""
    if size["speed_up"] == 1:
        return "the team that others are compared with"
    times, share = (column(size | {"num_trials": 0}, name) for name in ("speed_up", "efficiency"))
    return f"{number(times['value'])} times as fast{interval(times)}, efficiency {100 * share['value']:.3g} %{interval(share, 100)}"


def monte_carlo(timing: dict[str, Any]) -> str:
    """Where it ran, and what it took there."""
    seconds, (low, high) = timing["monte_carlo_seconds"], timing["energy_gev"]
    if seconds is None:
        return UNKNOWN
    return f"{timing['monte_carlo_machine'] or UNKNOWN}: {number(seconds)} s on one core, {number((low + high) / 2)} GeV"


def gate(recipe: dict[str, Any]) -> str:
    """What it says of a recipe."""
    unknown = UNKNOWN if recipe["held_against_the_gate"]["trials"] else "not held"
    return {True: "passes", False: "does not pass", None: unknown}[recipe["passes_the_gate"]]


def held(recipe: dict[str, Any]) -> str:
    """How many of its trials were held against the gate."""
    counts = recipe["held_against_the_gate"]
    return f"{counts['trials']} of {counts['of']}"


def reached(recipe: dict[str, Any], *, worded: bool = True) -> str:
    """How many of its trials came to the target; of so few the median has no interval, if that is not said elsewhere."""
    median = recipe["hours_to_target"]
    unsure = worded and median["value"] is not None and median["low"] is None
    return f"{recipe['num_reached']} of {median['num_trials']}{', no interval' if unsure else ''}"


def to_target(recipe: dict[str, Any]) -> str:
    """How long it takes: the median, which there is if more than half of its trials came to the target."""
    value = recipe["hours_to_target"]["value"]
    if value is None:
        return "not by most" if recipe["num_reached"] else "not reached"
    return hours(recipe["hours_to_target"], worded=False)


def setting(value: Any) -> str:
    """As a reader writes it."""
    if isinstance(value, list):
        return " / ".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def file_name(path: str) -> str:
    """Its last part."""
    return Path(path).name


#: As the page's template knows them.
FILTERS: dict[str, Callable[..., Any]] = {
    "quantity": quantity,
    "number": number,
    "hours": hours,
    "column": column,
    "speed": speed,
    "setting": setting,
    "gate": gate,
    "held": held,
    "reached": reached,
    "to_target": to_target,
    "file_name": file_name,
    "monte_carlo": monte_carlo,
    "spent": spent,
    "sorted_by": sorted_by,
    "counted": counted,
    "team": team,
    "known": known,
}
