"""What a trial's workers are told: the ``assignment`` that goes over the board."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gan3d.config.study import Study
from gan3d.config.training import TrialSettings
from gan3d.cost.epochs import Holding
from gan3d.search.files import found_from, written_in


def assignment_of(study: Study, number: int, settings: TrialSettings, *, trials_folder: Path, base: Path) -> dict[str, Any]:
    """Of one trial, in plain values.

    Args:
        study: It is a trial of.
        number: Optuna's.
        settings: The effective ones.
        trials_folder: Where trials' folders are.
        base: Folder of the study's file, from which shower files are found.
    """
    scheduler = study.scheduler
    return {
        "number": number,
        "settings": settings.model_copy(update={"data": found_from(settings.data, base)}).model_dump(mode="json"),
        "written": written_in(settings.data, base),
        "folder": str(trials_folder / f"{number:04d}"),
        "objective": study.objective.model_dump(mode="json"),
        "age": {"unit": scheduler.rungs_in, "most": scheduler.most},
        "holding": asdict(_holding(study, settings)),
    }


def _holding(study: Study, settings: TrialSettings) -> Holding:
    """What the workers' meters need to know."""
    workers, rates = settings.workers, study.cost
    return Holding(
        cpus_per_worker=workers.cpus_per_worker,
        gpus_per_worker=workers.gpus_per_worker,
        workers=settings.world_size,
        team_workers=study.team_workers(settings.world_size),
        watts_per_core=rates.watts_per_core,
        watts_per_gpu=rates.watts_per_gpu,
    )
