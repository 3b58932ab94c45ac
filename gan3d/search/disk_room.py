"""Whether the disk of a study's results has room for what its running trials write next.

A disk that is full in the middle of an epoch costs that epoch (`gan3d.training.worker`). So the study looks at every epoch's end, and stops
while what is running still ends well.
"""

from __future__ import annotations

import shutil
from pathlib import Path

#: For all that is small: records, Optuna's and MLflow's storage, logs of Ray's [bytes].
SMALL_FILES_BYTES = 16_000_000
MEGABYTE = 1e6


def why_no_room(trial: Path, at_once: int) -> str:
    """What is missing, in words; empty where there is room.

    Args:
        trial: the folder of one that has ended an epoch.
        at_once: trials that run at the same time, each with a new state and a new best one beside the old.
    """
    try:
        largest = max((state.stat().st_size for state in trial.glob("*.pt")), default=0)
        free = shutil.disk_usage(trial).free
    except OSError:  # the disk is away for a moment, or a state has just been replaced
        return ""
    wanted = SMALL_FILES_BYTES + 2 * at_once * largest
    if free >= wanted:
        return ""
    return f"{free / MEGABYTE:.0f} MB are left on the disk of {trial}, and the end of an epoch may take {wanted / MEGABYTE:.0f}"
