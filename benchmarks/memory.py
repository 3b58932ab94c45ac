"""Peak resident memory of a process that makes three training steps, by batch; each case in a process of its own.

What importing torch and opening the showers takes is in all of them, and is the first row.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Row

ROOT = Path(__file__).resolve().parents[1]
#: Variant and batch; batch 0 makes no step.
CASES = (("gan3d", 0), ("naive", 8), ("gan3d", 8), ("gan3d", 32), ("gan3d", 128))
#: Steps: memory that is freed is kept, and settles after a few.
STEPS = 3
#: No case may take longer [s].
MOST_SECONDS = 600


def rows(quick: bool) -> Iterator[Row]:
    """The seed's networks."""
    for variant, batch in CASES[:3] if quick else CASES:
        command = [sys.executable, "-m", "benchmarks.memory", variant, str(batch)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
        if done.returncode:
            message = f"{variant} at batch {batch} ended with {done.returncode}:\n{done.stderr}"
            raise RuntimeError(message)
        case = f"seed's networks, batch {batch}" if batch else "no step"
        yield Row.of(("memory", case, variant if batch else "imports and showers"), [float(done.stdout)], "MiB")


def peak_mebibytes() -> float:
    """The largest resident set of this program.

    Linux tells it in /proc: what ``getrusage`` says there begins with the size of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def train(variant: str, batch: int) -> None:
    """Make steps of the variant; open the showers only where the batch is 0."""
    from benchmarks.training_step import gan3d_step, naive_step, showers_of, study_settings

    settings = study_settings("seed_baseline")
    if batch:
        step = {"naive": naive_step, "gan3d": gan3d_step}[variant](settings, batch)
        for _ in range(STEPS):
            step()
    else:
        showers_of(settings)


if __name__ == "__main__":
    train(sys.argv[1], int(sys.argv[2]))
    print(peak_mebibytes())
