"""The only reader of MLflow: a study's trials and epochs as data frames.

Reading while the study is written is fine: an epoch shows with all of its metrics or not at all. Not covered: writing (``store``).

Columns of both frames: ``trial`` (Optuna's number), ``state``, ``reason``, ``digest``, ``world_size``, ``global_batch``,
``batch_per_worker``, ``reserved_cpus`` (of all its workers), ``started`` and ``ended`` (UTC), and one column per key of the sample under
its dotted name (``training.seed``).

A tracking URI may also be the path of a folder of published frames (``published``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import pandas as pd

from gan3d.config.objective import Direction, Objective
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError
from gan3d.physics.definitions import FIRST_VERSION, distance_version
from gan3d.records import METRICS
from gan3d.tracking import published
from gan3d.tracking.client import open_client, search_experiments, search_runs, sqlite_file
from gan3d.tracking.names import logged_name
from gan3d.tracking.store import EXPERIMENT_PREFIX, MARKER_METRIC, PARENT_TAG
from gan3d.training.merit import Merit, best_epoch, judged

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: What MLflow's databases keep of an infinite value.
_LARGEST = 1.7976931348623157e308
_RUNS_PER_QUERY = 500
_POINTS_PER_QUERY = 10_000_000
_READER_THREADS = 8


@dataclass(frozen=True, slots=True)
class StudyInfo:
    """One launch of a study."""

    name: str
    question: str
    objective: Objective
    state: str
    yaml_text: str
    run_id: str
    artifact_dir: Path | None
    """Folder of the study's artefacts; None where a server keeps them."""
    provenance: dict[str, str]

    @property
    def objective_metric(self) -> str:
        """The metric that is optimised first."""
        return self.objective.metric

    @property
    def objective_direction(self) -> Direction:
        """Which side of it is better."""
        return self.objective.direction

    @property
    def objective_target(self) -> float | None:
        """Its value that counts as reached."""
        return self.objective.target

    def distance_version(self, settings: TrialSettings) -> int:
        """Of the definitions by which it measured the physics distances of such a trial."""
        return distance_version(settings, int(self.provenance.get("physics", FIRST_VERSION)))


def study(tracking_uri: str, study_name: str, run_id: str | None = None) -> StudyInfo:
    """What a study asked; the newest launch, or the one whose parent run is ``run_id``.

    Raises:
        ConfigError: The database or the study is absent; lists the studies there are.
    """
    if published.is_published(tracking_uri):
        files = Path(tracking_uri)
        facts = published.read_facts(files, study_name)
        old = ("objective", "objective_metric", "objective_direction", "objective_target")
        told = {name: facts.pop(name) for name in old if name in facts}
        return StudyInfo(**facts, objective=_objective(told), yaml_text=published.read_text(files), artifact_dir=None)
    client, run = _study_run(tracking_uri, study_name, run_id)
    tags = run.data.tags
    folder = _artifact_dir(tracking_uri, run)
    prefix = "provenance."
    return StudyInfo(
        name=study_name,
        question=tags.get("question", ""),
        objective=_objective(tags),
        state=tags.get("state", ""),
        yaml_text=_artifact_text(client, run, folder, "study.yaml"),
        run_id=run.info.run_id,
        artifact_dir=folder,
        provenance={key.removeprefix(prefix): value for key, value in tags.items() if key.startswith(prefix)},
    )


def trials(tracking_uri: str, study_name: str, run_id: str | None = None) -> pd.DataFrame:
    """One row per trial, by number: how it ended, and the best value its objective had in any epoch.

    Further columns: ``run_id``, ``epochs`` logged, ``objective`` as the trial reported it; of its best epoch (``gan3d.training.merit``)
    ``best_epoch``, ``best_objective``, ``best.<metric>`` of each trade-off and the ``excess`` over constraints; ``seconds`` it took,
    ``restarts`` after lost workers; ``core_hours`` of its own workers, ``reserved_core_hours`` of its whole team, ``kwh`` and its
    ``energy_source`` (NaN and empty while it runs, or if an older version trained it).

    Raises:
        ConfigError: As :func:`study`.
    """
    if published.is_published(tracking_uri):
        return published.read_trials(Path(tracking_uri))
    client, parent = _study_run(tracking_uri, study_name, run_id)
    runs = _trial_runs(client, parent)
    objective = _objective(parent.data.tags)
    points = _points(client, parent, runs, [MARKER_METRIC, *objective.metrics])
    best = _best_epochs(points, objective)
    frame = pd.DataFrame([_trial_row(run) for run in runs], columns=None if runs else ["trial", "run_id"])
    frame["epochs"] = frame["run_id"].map(points.groupby(level="run_id").size()).fillna(0).astype(int)
    return frame.join(best, on="run_id").sort_values("trial", ignore_index=True)


def epochs(tracking_uri: str, study_name: str, run_id: str | None = None, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per epoch of every trial, by trial and epoch: every metric (or ``metrics`` only) and ``logged_at`` (UTC).

    Raises:
        ConfigError: As :func:`study`.
    """
    if published.is_published(tracking_uri):
        frame = published.read_epochs(Path(tracking_uri))
        return frame if metrics is None else frame.drop(columns=[name for name in METRICS if name in frame and name not in metrics])
    client, parent = _study_run(tracking_uri, study_name, run_id)
    runs = _trial_runs(client, parent)
    # Not the names the runs have: they were read before the points, and a run's first epoch may arrive in between.
    names = list(METRICS) if metrics is None else list(metrics)
    points = _points(client, parent, runs, [MARKER_METRIC, *names]).reset_index()
    rows = pd.DataFrame([_trial_row(run) for run in runs], columns=None if runs else ["trial", "run_id"])
    frame = rows.merge(points, on="run_id", how="inner")
    if metrics is not None and MARKER_METRIC not in metrics:
        frame = frame.drop(columns=MARKER_METRIC)
    # Columns came one by one; a copy has them in one piece, and pandas warns of adding more to a hundred pieces.
    return frame.sort_values(["trial", "epoch"], ignore_index=True).copy()


def publish(tracking_uri: str, study_name: str, folder: Path, run_id: str | None = None) -> int:
    """Write a study's ended trials and their epochs into a folder of published frames; returns how many trials are there now.

    Raises:
        ConfigError: As :func:`study`, or the folder holds another study.
    """
    info = study(tracking_uri, study_name, run_id)
    facts = {name: value for name, value in asdict(info).items() if name not in {"yaml_text", "artifact_dir"}}
    facts["objective"] = info.objective.model_dump_json(exclude_defaults=True)
    found = trials(tracking_uri, study_name, run_id), epochs(tracking_uri, study_name, run_id)
    return published.publish(folder, facts, info.yaml_text, *found)


def _study_run(tracking_uri: str, study_name: str, run_id: str | None) -> tuple[MlflowClient, Run]:
    """The client and the parent run asked for."""
    client = open_client(tracking_uri)
    experiment = client.get_experiment_by_name(f"{EXPERIMENT_PREFIX}{study_name}")
    runs = search_runs(client, experiment.experiment_id, "tags.kind = 'study'") if experiment is not None else []
    if not runs:
        there = sorted(found.name.removeprefix(EXPERIMENT_PREFIX) for found in search_experiments(client, EXPERIMENT_PREFIX))
        message = f"there is no study {study_name!r} in {tracking_uri}. Studies there: {', '.join(there) or 'none'}."
        raise ConfigError(message, key="name")
    if run_id is None:
        return client, runs[0]
    for run in runs:
        if run.info.run_id == run_id:
            return client, run
    message = f"study {study_name!r} has no run {run_id!r}. Its runs, newest first: {', '.join(run.info.run_id for run in runs)}."
    raise ConfigError(message, key="run_id")


def _trial_runs(client: MlflowClient, parent: Run) -> list[Run]:
    condition = f"tags.`{PARENT_TAG}` = '{parent.info.run_id}' and tags.kind = 'trial'"
    return search_runs(client, parent.info.experiment_id, condition)


def _trial_row(run: Run) -> dict[str, Any]:
    """One trial without its metrics."""
    tags = run.data.tags
    row: dict[str, Any] = {"trial": int(tags["trial_number"]), "run_id": run.info.run_id}
    row |= {name: tags.get(name, "") for name in ("state", "reason", "digest")}
    sizes = ("world_size", "global_batch", "batch_per_worker", "reserved_cpus")
    row |= {name: int(tags[name]) if name in tags else pd.NA for name in sizes}
    row |= {name: float(tags.get(name, "nan")) for name in ("objective", "seconds")}
    row |= {name: float(tags.get(f"cost.{name}", "nan")) for name in ("core_hours", "reserved_core_hours", "kwh")}
    row["energy_source"] = tags.get("cost.energy_source", "")
    row["restarts"] = int(tags.get("restarts", 0))
    row["started"] = pd.to_datetime(run.info.start_time, unit="ms", utc=True)
    row["ended"] = pd.to_datetime(run.info.end_time, unit="ms", utc=True) if run.info.end_time else pd.NaT
    return row | {key: published.value_of(text) for key, text in run.data.params.items()}


def _points(client: MlflowClient, parent: Run, runs: Sequence[Run], names: Iterable[str]) -> pd.DataFrame:
    """Metrics as columns, with ``logged_at``, by ``(run_id, epoch)``.

    The first name is read first and decides which epochs show: a record is written whole, so whatever is read later has them all.
    """
    run_ids = [run.info.run_id for run in runs]
    index = ["run_id", "epoch"]
    frame: pd.DataFrame | None = None
    for name in dict.fromkeys(names):
        history = _histories(client, run_ids, logged_name(name, parent.data.tags))
        column = pd.DataFrame(history, columns=[*index, name, "logged_at"]).drop_duplicates(index, keep="last").set_index(index)
        frame = column if frame is None else frame.join(column[[name]], how="left")
    assert frame is not None
    values = frame.columns.difference(["logged_at"])
    frame[values] = frame[values].astype(float).replace({_LARGEST: float("inf"), -_LARGEST: float("-inf")})
    frame["logged_at"] = pd.to_datetime(frame["logged_at"], unit="ms", utc=True)
    return frame.sort_index()


def _histories(client: MlflowClient, run_ids: Sequence[str], name: str) -> list[tuple[str, int, float, int]]:
    """``(run id, epoch, value, milliseconds)`` of one metric in many runs.

    A database answers for many runs at once, through the store under the client; a server only run by run.
    """
    bulk = getattr(client._tracking_client.store, "get_metric_history_bulk", None)
    if bulk is None:
        with ThreadPoolExecutor(_READER_THREADS) as pool:
            histories = pool.map(lambda run_id: client.get_metric_history(run_id, name), run_ids)
            return [
                (run_id, point.step, point.value, point.timestamp)
                for run_id, history in zip(run_ids, histories, strict=True)
                for point in history
            ]
    found = []
    for start in range(0, len(run_ids), _RUNS_PER_QUERY):
        found += [point.to_dict() for point in bulk(run_ids[start : start + _RUNS_PER_QUERY], name, _POINTS_PER_QUERY)]
    return [(point["run_id"], point["step"], point["value"], point["timestamp"]) for point in found]


def judged_rows(epochs: pd.DataFrame, objective: Objective) -> Iterator[tuple[int, Merit]]:
    """The number and merit of each of a trial's epochs, in the order of their rows: columns ``epoch`` and the objective's metrics."""
    rows = ({str(name): value for name, value in row.items()} for row in epochs.to_dict("records"))
    return judged(((int(row["epoch"]), {name: float(row[name]) for name in objective.metrics if name in row}) for row in rows), objective)


def _best_epochs(points: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """What `trials` says of best epochs, by run."""
    rows = {}
    for run_id, epochs in points.reset_index().groupby("run_id"):
        if (found := best_epoch(judged_rows(epochs, objective), objective)) is None:
            continue
        epoch, best = found
        traded = {f"best.{goal.metric}": value for goal, value in zip(objective.trade_offs, best.traded, strict=True)}
        rows[run_id] = {"best_epoch": epoch, "best_objective": best.first, **traded, "excess": best.excess}
    columns = ["best_epoch", "best_objective", *(f"best.{goal.metric}" for goal in objective.trade_offs), "excess"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _objective(tags: Mapping[str, Any]) -> Objective:
    """What was optimised; older versions wrote one metric, its direction and its target."""
    if tags.get("objective"):
        return Objective.model_validate_json(tags["objective"])
    metric = tags.get("objective_metric") or MARKER_METRIC
    target = tags.get("objective_target")
    return Objective(metric=metric, target=float(target) if target else None)


def _artifact_dir(tracking_uri: str, run: Run) -> Path | None:
    """Where the artefacts are on this machine: also when database and artefacts were moved together."""
    place = urlparse(run.info.artifact_uri)
    if place.scheme not in {"", "file"}:
        return None
    folder = Path(unquote(place.path))
    database = sqlite_file(tracking_uri)
    if not folder.is_dir() and database is not None:
        moved = database.parent.joinpath("artifacts", *folder.parts[-3:])
        return moved if moved.is_dir() else folder
    return folder


def _artifact_text(client: MlflowClient, run: Run, folder: Path | None, name: str) -> str:
    """A text artefact; empty if the study has not logged it yet."""
    if folder is not None:
        return (folder / name).read_text("utf-8") if (folder / name).is_file() else ""
    if name not in {entry.path for entry in client.list_artifacts(run.info.run_id)}:
        return ""
    with tempfile.TemporaryDirectory() as copy:
        return Path(client.download_artifacts(run.info.run_id, name, copy)).read_text("utf-8")
