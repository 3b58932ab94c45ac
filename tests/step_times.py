"""A study made up from a known cost of a step: what calibrations and predictions should find again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gan3d.records import PHASES
from gan3d.scaling.stragglers import expected_maximum

STEPS = 20


@dataclass(frozen=True)
class Truth:
    """Of a step [s]; each block has it all times a factor of its own, and each trial its own scatter."""

    fixed: float = 0.05
    per_shower: float = 0.02
    spread: float = 0.04
    communication: float = 0.01
    lone_ratio: float = 0.9
    drift: float = 0.0
    """Standard deviation of the logarithm of a block's factor."""
    scatter: float = 0.0
    """Of each trial's computing, wait and communication, each on its own."""

    def computing(self, batch: int, world_size: int = 2) -> float:
        """Mean over ranks."""
        return (self.fixed + self.per_shower * batch) * (self.lone_ratio if world_size == 1 else 1.0)

    def step(self, batch: int, world_size: int) -> float:
        """Of the slowest rank."""
        wait = expected_maximum([world_size], self.spread)[0, 0]
        return self.computing(batch, world_size) * wait + (self.communication if world_size > 1 else 0.0)


def epochs_of(truth: Truth, world_sizes=(1, 2), batches=(8, 32), blocks=5, num_epochs=3, seed=1, **columns) -> pd.DataFrame:
    """Epochs of weak scaling at each batch per worker; the first one is slower, validation and a checkpoint come on top."""
    generator = np.random.default_rng(seed)
    rows = []
    for block in range(1, blocks + 1):
        drift = np.exp(truth.drift * generator.standard_normal())
        for batch in batches:
            for size in world_sizes:
                scatter = drift * np.exp(truth.scatter * generator.standard_normal(3))
                trial = len(rows) // num_epochs
                for epoch in range(1, num_epochs + 1):
                    slower = 1.5 if epoch == 1 else 1.0
                    rows.append(
                        {
                            "trial": trial,
                            "state": "complete",
                            "world_size": size,
                            "global_batch": size * batch,
                            "batch_per_worker": batch,
                            "workers.per_trial": size,
                            "training.seed": block,
                            "epoch": epoch,
                            **columns,
                            **timing(truth, batch, size, slower * scatter),
                        }
                    )
    return pd.DataFrame(rows)


def timing(truth: Truth, batch: int, world_size: int, factors: np.ndarray) -> dict[str, float]:
    """One epoch; the others wait for the rank that validates longest and for the one that writes the checkpoint."""
    computing = truth.computing(batch, world_size) * factors[0]
    wait = truth.computing(batch, world_size) * (expected_maximum([world_size], truth.spread)[0, 0] - 1) * factors[1]
    communication = (truth.communication if world_size > 1 else 0.0) * factors[2]
    optimiser = truth.fixed * factors[0] * (truth.lone_ratio if world_size == 1 else 1.0)
    networks = computing - optimiser
    phases = {
        "data_wait": 0.05 * networks,
        "discriminator": 0.35 * networks,
        "generator": 0.58 * networks,  # 2 % are in no phase
        "optimiser": optimiser,
        "exposed_communication": communication,
        "straggler_wait": wait + (0.1 if world_size > 1 else 0.0),
        "validation": 0.3,
        "checkpoint": 0.2,
    }
    assert set(phases) == set(PHASES)
    training = STEPS * (computing + wait + communication)
    seconds = {name: (STEPS * value if name not in {"validation", "checkpoint"} else value) for name, value in phases.items()}
    showers = float(STEPS * batch * world_size)
    return {
        "timing.num_showers": showers,
        "timing.num_steps": float(STEPS),
        "timing.showers_per_second": showers / training,
        "timing.epoch_seconds": training + 0.5 + (STEPS * 0.1 if world_size > 1 else 0.0),
        **{f"timing.{name}_seconds_mean": value for name, value in seconds.items()},
    }
