"""What a ledger is told: a clock that a test moves, and epochs that cost what a test says."""

from __future__ import annotations


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def epoch_of(
    core_seconds: float,
    *,
    reserved: float | None = None,
    rapl: float = 0.0,
    declared: float = 0.0,
    gpu_seconds: float = 0.0,
    nvml: float = 0.0,
) -> dict[str, float]:
    """An epoch's metrics; by default no workers of the team slept."""
    amounts = {"core_seconds": core_seconds, "gpu_seconds": gpu_seconds}
    amounts["reserved_core_seconds"] = core_seconds if reserved is None else reserved
    amounts |= {"rapl_joules": rapl, "nvml_joules": nvml, "declared_joules": declared}
    return {"losses.generator_total": 1.0} | {f"cost.{name}": value for name, value in amounts.items()}
