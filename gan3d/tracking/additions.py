"""What is added to a study's MLflow run after the study: figures, tables, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan3d.errors import ConfigError
from gan3d.tracking.client import artifacts_of, failures, open_client
from gan3d.tracking.notes import NOTE, with_verdict
from gan3d.tracking.viewing import artifacts_here

#: Tag of a study's run: the verdict in a sentence.
VERDICT_TAG = "verdict"


def add_to_study(tracking_uri: str, study_run_id: str, files: Sequence[Path], folder: str) -> None:
    """Copy files into ``folder`` of a study's artefacts: figures and tables; into those beside its database, where that was copied.

    Raises:
        ConfigError: The tracking server does not answer, or the artefacts are not here or cannot be written.
    """
    with artifacts_here(tracking_uri, study_run_id) as here:
        try:
            place = artifacts_of(here, study_run_id)
            for file in files:
                place.log_artifact(str(file), folder)
        except failures() as problem:
            message = f"{tracking_uri} does not take {files[0].name}: {problem}"
            raise ConfigError(message, key="tracking_uri") from problem


def add_verdict(tracking_uri: str, study_run_id: str, files: Sequence[Path], sentence: str) -> None:
    """As :func:`add_to_study`, with its sentence as a tag and in the description that MLflow's page begins with.

    Raises:
        ConfigError: as :func:`add_to_study`.
    """
    add_to_study(tracking_uri, study_run_id, files, "verdict")
    client = open_client(tracking_uri)
    description = client.get_run(study_run_id).data.tags.get(NOTE, "")
    client.set_tag(study_run_id, VERDICT_TAG, sentence)
    client.set_tag(study_run_id, NOTE, with_verdict(description, sentence))
