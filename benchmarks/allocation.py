"""What it costs to give freed memory back after every step: the seed's training step by batch, with and without `keep_freed_memory`.

The C library keeps such a choice to the end of a process, so each measurement is a process of its own, and they run in turn.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Row

ROOT = Path(__file__).resolve().parents[1]
BATCHES = (8, 32, 128)
#: Whether freed memory is kept, by variant.
VARIANTS = {"kept": True, "given back, glibc's default": False}
#: Showers of the steps that are not measured.
NUM_UNMEASURED = 32
#: No process may take longer [s].
MOST_SECONDS = 600


def rows(quick: bool) -> Iterator[Row]:
    """Showers per second of CPU time, and page faults per shower."""
    for batch in BATCHES[:2] if quick else BATCHES:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
        for _ in range(1 if quick else 2):
            for name, is_kept in VARIANTS.items():
                found[name].append(measured(batch, is_kept=is_kept))
        for name, values in found.items():
            names = ("allocation", f"seed's networks, batch {batch}", name)
            yield Row.of(names, [batch / seconds for seconds, _ in values], "showers/s/core")
            yield Row.of(names, [faults / batch for _, faults in values], "page faults/shower")


def measured(batch: int, *, is_kept: bool) -> tuple[float, float]:
    """CPU seconds and page faults of a step, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.allocation", str(batch), str(int(is_kept))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
    if done.returncode:
        message = f"batch {batch} ended with {done.returncode}:\n{done.stderr}"
        raise RuntimeError(message)
    seconds, faults = json.loads(done.stdout)
    return seconds, faults


def one_step(batch: int, *, is_kept: bool) -> tuple[float, float]:
    """A step after as many as the heap needs to reach its size, which are not measured."""
    from benchmarks.training_step import gan3d_step, study_settings

    step = gan3d_step(study_settings("seed_baseline"), batch, keep_memory=is_kept)
    for _ in range(max(1, NUM_UNMEASURED // batch)):
        step()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
    step()
    return time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


if __name__ == "__main__":
    print(json.dumps(one_step(int(sys.argv[1]), is_kept=bool(int(sys.argv[2])))))
