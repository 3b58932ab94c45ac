"""One line of JSON in, one line of JSON out: how the benchmark drives its processes. Standard library only."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

KIBIBYTES_PER_MEBIBYTE = 1024


def serve(handlers: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests ``{"do": NAME, **arguments}`` until standard input ends.

    What libraries print goes to standard error, so that it cannot get between the answers.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            request = json.loads(line)
            answer = handlers[request.pop("do")](**request)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def stay_on_one_core(core: int) -> None:
    """Pin this process, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def timed(call: Callable[[], object]) -> dict[str, float]:
    """Wall and CPU seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def forget_peak_memory() -> None:
    """Let the peak resident memory begin at what is resident now, where the system can (Linux)."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> float:
    """Peak resident memory [MiB]."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    peaks = [float(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / KIBIBYTES_PER_MEBIBYTE
