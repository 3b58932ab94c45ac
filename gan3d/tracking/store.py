"""The only writer of MLflow: one parent run per study, one nested run per trial, one metric point per epoch.

Runs in the driver process, from one thread. Every operation is idempotent: said twice, it shows once, which is what resuming
and offering again after an outage need. Not covered: reading (``frames``) and what Ray reports (``callback``).

MLflow state of a trial: complete, pruned, stopped → FINISHED, failed → FAILED; tag ``state`` tells them apart, tag ``reason`` why.
Which parent run is the study's is known from the results folder (``tracking_run.txt``), never guessed from names on a shared server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gan3d.config.objective import Objective
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError
from gan3d.records import METRICS, TrialRecord
from gan3d.tracking.client import SQLITE, failures, load_mlflow, open_client, search_runs, sqlite_file
from gan3d.tracking.names import NAMES_TAG, WITH_SLASHES, logged_name
from gan3d.tracking.notes import NOTE, begun
from gan3d.tracking.spool import Entry, Rejected, Spool, Unavailable
from gan3d.writing import write_atomically, write_text

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

StudyState = Literal["complete", "failed", "interrupted", "stopped"]

EXPERIMENT_PREFIX = "gan3d/"
#: In the results folder: the id of the study's parent run.
RUN_FILE = "tracking_run.txt"
PARENT_TAG = "mlflow.parentRunId"
#: Present in every epoch's record, so its history tells which epochs are logged.
MARKER_METRIC = "timing.epoch_seconds"
#: Longest tag MLflow takes is 8000 characters.
_TAG_LENGTH = 8000
_RUN_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
#: Answers that no repetition will change.
_FINAL_ANSWERS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"}


def default_tracking_uri(results: Path) -> str:
    """An SQLite database beside the study's results."""
    return f"{SQLITE}{results.absolute() / 'tracking.db'}"


class StudyTracker:
    """The study's parent run and its trials' runs. Made by :meth:`open`; ``continued`` says whether the run was there before."""

    def __init__(self, client: MlflowClient, study_run: Run, results: Path, *, continued: bool = False) -> None:
        self.study_run_id, self.continued = study_run.info.run_id, continued
        self._client = client
        self._experiment_id = study_run.info.experiment_id
        self._study_tags = dict(study_run.data.tags)
        self._trial_runs: dict[int, str] = {}
        self._logged_epochs: dict[int, set[int]] = {}
        self._spool = Spool(results / f"tracking_spool_{self.study_run_id}.jsonl", self._apply)

    @classmethod
    def open(cls, tracking_uri: str, *, study_name: str, results: Path, resume: bool) -> StudyTracker:
        """Create database, experiment ``gan3d/<study_name>`` and the parent run; with ``resume`` continue the results folder's own run.

        Finished or not, it is continued; a folder without one, or whose run is not on this server, gets a new run.

        Raises:
            ConfigError: The tracking server does not answer, or the experiment was deleted there.
        """
        client = open_client(tracking_uri, create=True)
        experiment_id = _experiment(client, tracking_uri, study_name, results)
        own = _own_study_run(client, experiment_id, results) if resume else None
        if own is None:
            tags = {"kind": "study", "study": study_name, "state": "running", NAMES_TAG: WITH_SLASHES}
            run = client.create_run(experiment_id, run_name=study_name, tags=tags)
            _remember_study_run(run.info.run_id, results)
            return cls(client, run, results)
        tracker = cls(client, own, results, continued=True)
        tracker._submit("begin")  # behind what waits of earlier sessions, the last thing of which is their end
        return tracker

    def log_study(
        self,
        question: str,
        yaml_text: str,
        overrides: Sequence[str],
        plan: Mapping[str, Any],
        provenance: Mapping[str, Any],
        *,
        objective: Objective,
    ) -> None:
        """What was asked and with what: tags for the short, artefacts for the long."""
        tags = {"question": question, "objective_metric": objective.metric, "objective_direction": objective.direction}
        tags |= {"objective": objective.model_dump_json(), NOTE: begun(question, objective)}
        tags |= {f"provenance.{key}": str(value) for key, value in provenance.items() if isinstance(value, str | int | float)}
        texts = {"study.yaml": yaml_text, "overrides.txt": "".join(f"{text}\n" for text in overrides)}
        texts |= {"plan.json": _pretty(plan), "provenance.json": _pretty(provenance)}
        self._submit("log_study", tags=tags, texts=texts)

    def start_trial(self, number: int, sample: Mapping[str, Any], settings: Mapping[str, Any], digest: str) -> None:
        """Open the trial's nested run, or take up the one it has.

        Args:
            number: Optuna's trial number.
            sample: Dotted key → value.
            settings: Effective settings, a dump of ``TrialSettings``; empty if the sample was invalid.
            digest: Of the effective settings.
        """
        tags = {"kind": "trial", "trial_number": str(number), "digest": digest}
        if settings:
            effective = TrialSettings.model_validate(settings)
            names = ("world_size", "global_batch", "batch_per_worker", "reserved_cpus")
            tags |= {name: str(getattr(effective, name)) for name in names}
        params = {key: str(value) for key, value in sample.items()}
        self._submit("start_trial", number=number, tags=tags, params=params, settings=_pretty(settings))

    def log_metrics(self, number: int, epoch: int, metrics: Mapping[str, Any]) -> None:
        """One point per metric of a record, at ``step = epoch``; other keys are ignored, and an epoch already logged is left alone."""
        known = {name: float(metrics[name]) for name in METRICS if name in metrics}
        self._submit("log_metrics", number=number, epoch=epoch, metrics=known)

    def tag_trial(self, number: int, tags: Mapping[str, str]) -> None:
        """Add tags to a trial's run while it goes on."""
        self._submit("tag_trial", number=number, tags=dict(tags))

    def end_trial(self, record: TrialRecord, more_tags: Mapping[str, str] | None = None) -> None:
        """Close the trial's run with its state, reason and objective."""
        assert record.state != "running", record
        tags = {"state": record.state, "reason": record.reason, "epochs": str(record.epochs), "seconds": f"{record.seconds:.3f}"}
        tags |= {"restarts": str(record.restarts), "excess": repr(record.excess), **(more_tags or {})}
        self._submit("end_trial", number=record.number, tags=tags, objective=record.objective)

    def log_artifact_file(self, path: Path, folder: str = "", number: int | None = None) -> None:
        """Copy a file into ``folder`` of the trial's artefacts, or of the study's without a ``number``."""
        self._submit("log_artifact_file", path=str(path.absolute()), folder=folder, number=number)

    def tag_study(self, tags: Mapping[str, str]) -> None:
        """Add tags to the study's run: what is known only when it has ended, such as its cost."""
        self._submit("log_study", tags=dict(tags), texts={})

    def end(self, state: StudyState = "complete") -> bool:
        """Close the study's run; False if something could not be delivered (it waits in the spool file for a resume)."""
        self._submit("end", state=state)
        return len(self._spool) == 0 or self._spool.drain()

    @contextmanager
    def interrupted_by_exceptions(self) -> Iterator[None]:
        """An exception out of this block ends the study's run as interrupted, and goes on."""
        try:
            yield
        except BaseException:
            self.end("interrupted")
            raise

    def _submit(self, name: str, **arguments: Any) -> None:
        self._spool.submit({"do": name, "milliseconds": int(time.time() * 1000), **arguments})

    def _apply(self, entry: Entry) -> None:
        """Carry out one entry of the spool."""
        arguments = dict(entry)
        operation = getattr(self, f"_apply_{arguments.pop('do')}")
        try:
            operation(**arguments)
        except failures() as error:
            final = getattr(error, "error_code", "") in _FINAL_ANSWERS or isinstance(error, FileNotFoundError)
            raise (Rejected if final else Unavailable)(str(error)) from error

    def _apply_begin(self, milliseconds: int) -> None:  # noqa: ARG002
        self._client.update_run(self.study_run_id, status="RUNNING")
        self._client.set_tag(self.study_run_id, "state", "running")

    def _apply_log_study(self, milliseconds: int, tags: dict[str, str], texts: dict[str, str]) -> None:  # noqa: ARG002
        self._log_batch(self.study_run_id, tags=tags)
        for name, text in texts.items():
            self._client.log_text(self.study_run_id, text, name)

    def _apply_start_trial(self, milliseconds: int, number: int, tags: dict[str, str], params: dict[str, str], settings: str) -> None:
        run_id = self._find_trial(number)
        if run_id is None:
            tags = {**tags, PARENT_TAG: self.study_run_id, "state": "running"}
            run = self._client.create_run(self._experiment_id, milliseconds, _clipped(tags), f"trial {number:04d}")
            run_id = self._trial_runs[number] = run.info.run_id
        else:
            self._client.update_run(run_id, status="RUNNING")
            self._log_batch(run_id, tags=tags | {"state": "running", "reason": ""})
        self._log_batch(run_id, params=params)
        self._client.log_text(run_id, settings, "settings.json")

    def _apply_log_metrics(self, milliseconds: int, number: int, epoch: int, metrics: dict[str, float]) -> None:
        if epoch in self._epochs_of(number):
            return
        point = load_mlflow().entities.Metric
        points = [point(logged_name(name, self._study_tags), value, milliseconds, epoch) for name, value in metrics.items()]
        self._client.log_batch(self._run_of(number), metrics=points)
        self._logged_epochs[number].add(epoch)

    def _apply_tag_trial(self, milliseconds: int, number: int, tags: dict[str, str]) -> None:  # noqa: ARG002
        self._log_batch(self._run_of(number), tags=tags)

    def _apply_end_trial(self, milliseconds: int, number: int, tags: dict[str, str], objective: float | None) -> None:
        run_id = self._run_of(number)
        if objective is not None:
            tags = tags | {"objective": repr(float(objective))}
        self._log_batch(run_id, tags=tags)
        self._client.set_terminated(run_id, _RUN_STATUS[tags["state"]], milliseconds)

    def _apply_log_artifact_file(self, milliseconds: int, path: str, folder: str, number: int | None) -> None:  # noqa: ARG002
        run_id = self.study_run_id if number is None else self._run_of(number)
        self._client.log_artifact(run_id, path, folder or None)

    def _apply_end(self, milliseconds: int, state: str) -> None:
        self._client.set_tag(self.study_run_id, "state", state)
        self._client.set_terminated(self.study_run_id, _RUN_STATUS[state], milliseconds)

    def _log_batch(self, run_id: str, *, tags: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None) -> None:
        entities = load_mlflow().entities
        run_tags = [entities.RunTag(key, value) for key, value in _clipped(tags or {}).items()]
        run_params = [entities.Param(key, value) for key, value in (params or {}).items()]
        self._client.log_batch(run_id, tags=run_tags, params=run_params)

    def _find_trial(self, number: int) -> str | None:
        """The run of a trial, asked of the server the first time: it may have been made before a resume or a lost answer."""
        if number not in self._trial_runs:
            condition = f"tags.`{PARENT_TAG}` = '{self.study_run_id}' and tags.trial_number = '{number}'"
            for run in search_runs(self._client, self._experiment_id, condition):
                self._trial_runs[number] = run.info.run_id
        return self._trial_runs.get(number)

    def _run_of(self, number: int) -> str:
        run_id = self._find_trial(number)
        if run_id is None:
            message = f"trial {number} was not started"
            raise Rejected(message)
        return run_id

    def _epochs_of(self, number: int) -> set[int]:
        """Epochs logged so far, asked of the server the first time."""
        if number not in self._logged_epochs:
            history = self._client.get_metric_history(self._run_of(number), logged_name(MARKER_METRIC, self._study_tags))
            self._logged_epochs[number] = {point.step for point in history}
        return self._logged_epochs[number]


def _experiment(client: MlflowClient, tracking_uri: str, study_name: str, results: Path) -> str:
    """The study's experiment, made if it is missing."""
    name = f"{EXPERIMENT_PREFIX}{study_name}"
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=_artifact_location(tracking_uri, study_name, results)))
    if found.lifecycle_stage == "deleted":
        message = f"MLflow experiment {name} was deleted on {tracking_uri}. Restore it (mlflow experiments restore), or rename the study."
        raise ConfigError(message, key="name")
    return str(found.experiment_id)


def _artifact_location(tracking_uri: str, study_name: str, results: Path) -> str | None:
    """A server places artefacts itself; a bare database would put them into the working directory, so they go beside it."""
    if tracking_uri.startswith(("http://", "https://", "databricks")):
        return None
    database = sqlite_file(tracking_uri)
    folder = results.absolute() if database is None else database.parent
    return (folder / "artifacts" / study_name).as_uri()


def _own_study_run(client: MlflowClient, experiment_id: str, results: Path) -> Run | None:
    """The parent run this results folder belongs to, if it is among the experiment's."""
    file = results / RUN_FILE
    if not file.is_file():
        return None
    own = file.read_text(encoding="utf-8").strip()
    runs = search_runs(client, experiment_id, "tags.kind = 'study'")
    return next((run for run in runs if run.info.run_id == own), None)


def _remember_study_run(run_id: str, results: Path) -> None:
    """A half-written id would be nobody's."""
    results.mkdir(parents=True, exist_ok=True)
    write_atomically(results / RUN_FILE, lambda file: write_text(file, f"{run_id}\n"))


def _clipped(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value[:_TAG_LENGTH] for key, value in tags.items()}


def _pretty(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, default=str) + "\n"
