"""A study's frames as files that go with a repository or a paper: figures can be drawn anew where the trainings cannot be run again.

    study.json      what the study asked, and with what it was run; no paths and no command line, which may name somebody's machine
    study.yaml      the study as run; of parts, as the first one was: the whole question
    trials.csv      one row per trial that has ended
    epochs.csv.gz   one row per epoch of these

A study that was run in parts, here or there, is published part by part into one folder: trials are told apart by their runs, and count
on in the order in which they were started, those of a part in the order of their numbers; of two trials of one recipe (digest) the
complete one stays, of equals the newer one.

The folder's path stands for a tracking URI in ``gan3d.tracking.frames``, so every script of ``analysis/`` draws from it.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd

from gan3d.errors import ConfigError
from gan3d.tracking.outcome import UNTRAINED

STUDY, TEXT, TRIALS, EPOCHS = "study.json", "study.yaml", "trials.csv", "epochs.csv.gz"
RUNNING = "running"
TURN = "turn"
_TIMES = ("started", "ended", "logged_at")
#: Provenance that names a place on somebody's machine.
_PRIVATE = ("command",)


def is_published(tracking_uri: str) -> bool:
    """Whether this is the path of a folder of published frames."""
    return "://" not in tracking_uri and (Path(tracking_uri) / STUDY).is_file()


def publish(folder: Path, facts: dict[str, Any], yaml_text: str, trials: pd.DataFrame, epochs: pd.DataFrame) -> int:
    """Add a study's ended trials to a folder, which is made if it is not there.

    Args:
        folder: Of one study.
        facts: Of :class:`gan3d.tracking.frames.StudyInfo` what is neither text of the YAML nor a place.
        yaml_text: The study as run.
        trials: As ``frames.trials`` returns.
        epochs: As ``frames.epochs`` returns.

    Returns:
        Trials in the folder.

    Raises:
        ConfigError: The folder holds another study.
    """
    provenance = {key: value for key, value in facts["provenance"].items() if key not in _PRIVATE}
    ended = _with_turns(trials[(trials["state"] != RUNNING) & ~trials["reason"].str.startswith(UNTRAINED)])
    rows = epochs[epochs["run_id"].isin(ended["run_id"])]
    if is_published(str(folder)):
        there, yaml_text = read_facts(folder, facts["name"]), read_text(folder)
        ended = pd.concat([_without(_with_turns(read_trials(folder)), ended), ended], ignore_index=True)
        rows = pd.concat([_without(read_epochs(folder), rows), rows], ignore_index=True)
        provenance |= {"parts": str(int(there["provenance"].get("parts", 1)) + (there["run_id"] != facts["run_id"]))}
    kept = _one_per_recipe(ended).sort_values([TURN, "trial"], ignore_index=True).drop(columns=TURN)
    numbers = {run_id: number for number, run_id in enumerate(kept["run_id"])}
    rows = rows[rows["run_id"].isin(numbers)]
    rows = rows.assign(trial=rows["run_id"].map(numbers)).sort_values(["trial", "epoch"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TEXT).write_text(yaml_text, encoding="utf-8")
    kept.assign(trial=range(len(kept))).to_csv(folder / TRIALS, index=False)
    _write_compressed(folder / EPOCHS, rows.to_csv(index=False))
    (folder / STUDY).write_text(json.dumps({**facts, "provenance": provenance}, indent=1) + "\n", encoding="utf-8")
    return len(kept)


def read_facts(folder: Path, name: str) -> dict[str, Any]:
    """What the study asked.

    Raises:
        ConfigError: The folder holds another study.
    """
    facts: dict[str, Any] = json.loads((folder / STUDY).read_text(encoding="utf-8"))
    if facts["name"] != name:
        message = f"holds study {facts['name']!r}, not {name!r}."
        raise ConfigError(message, where=str(folder), key="name")
    return facts


def read_text(folder: Path) -> str:
    """The study as run."""
    return (folder / TEXT).read_text(encoding="utf-8")


def read_trials(folder: Path) -> pd.DataFrame:
    """As ``frames.trials`` returns."""
    return _read(folder / TRIALS)


def read_epochs(folder: Path) -> pd.DataFrame:
    """As ``frames.epochs`` returns."""
    return _read(folder / EPOCHS)


def _read(file: Path) -> pd.DataFrame:
    """A table with its points in time; words such as `none` are no missing values, and empty text stays text."""
    frame = pd.read_csv(file, keep_default_na=False, na_values={})
    for name in frame.columns.intersection(list(_TIMES)):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    for name in frame.columns.difference([*_TIMES, "reason", "energy_source"], sort=False):
        if pd.api.types.is_numeric_dtype(frame[name]):
            continue
        if "." in name:  # a sample's key may have words, numbers and gaps beside each other
            frame[name] = frame[name].map(lambda text: None if text == "" else value_of(text)).infer_objects()
        elif (frame[name] == "").any():
            frame[name] = pd.to_numeric(frame[name].replace("", None))
    return frame


def value_of(text: str) -> Any:
    """A sample's value back from its text: a number, a truth value, or the text itself."""
    if text in {"True", "False"}:
        return text == "True"
    try:
        number = float(text)
    except ValueError:
        return text
    return int(text) if text.lstrip("+-").isdigit() else number


def _with_turns(trials: pd.DataFrame) -> pd.DataFrame:
    """With when each comes, none before one of a smaller number: of two that start at once either may be the first by the clock."""
    return trials.assign(**{TURN: trials.sort_values("trial")["started"].cummax()})


def _without(there: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs that are not published anew."""
    return there[~there["run_id"].isin(new["run_id"])]


def _one_per_recipe(trials: pd.DataFrame) -> pd.DataFrame:
    """Of trials that train alike the newest complete one, else the newest."""
    order = trials.assign(is_complete=trials["state"] == "complete").sort_values(["is_complete", "started"], kind="stable")
    has_digest = order["digest"] != ""
    kept = pd.concat([order[has_digest].drop_duplicates("digest", keep="last"), order[~has_digest]])
    return kept.drop(columns="is_complete")


def _write_compressed(file: Path, text: str) -> None:
    """The same rows give the same bytes: no time stamp, no file name."""
    with file.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as compressed:
        compressed.write(text.encode("utf-8"))
