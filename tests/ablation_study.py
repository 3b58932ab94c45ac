"""A large-batch ablation made of formulas: 2 orders, 3 rules, 2 warm-ups, 1, 8 and 32 virtual ranks, 3 seeds, 10 epochs of 2,048 showers.

At one rank, where rules coincide, only the linear rule without a warm-up and no rule with one are there. Ranks cost 0.02 in the final
distance for each step of their number; the seed's order costs 0.05 at 8 ranks and 0.1 at 32, twice that at low energy, nothing at one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gan3d.scaling.ablation import ORDER, RANKS, REFERENCE, RULE, WARMUP
from gan3d.scaling.quality import Target, time_to_quality

EPOCHS, SHOWERS, BATCH = 10, 2048, 8
STEPS = {1: 0, 8: 1, 32: 2}
DISTANCES = ("physics.shower_distance", "physics.shower_distance_low_energy", "physics.shower_distance_high_energy")


def samples() -> Iterator[dict[str, Any]]:
    """The grid, block by block."""
    for seed, order, ranks, rule, warmup in itertools.product((1, 2, 3), ("seed", "shuffled"), STEPS, ("none", "sqrt", "linear"), (0, 5)):
        if ranks > 1 or (rule, warmup) in {("linear", 0), ("none", 5)}:
            yield {"training.seed": seed, ORDER: order, RANKS: ranks, RULE: rule, WARMUP: warmup}


def metrics_of(sample: dict[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of all epochs."""
    ranks, epochs = sample[RANKS], np.arange(1, EPOCHS + 1)
    defect = {1: 0.0, 8: 0.05, 32: 0.1}[ranks] if sample[ORDER] == "seed" else 0.0
    final = 0.12 + 0.02 * STEPS[ranks] + 0.02 * sample["training.seed"]
    falling = 0.25 * np.exp(-epochs / 2) + rng.normal(0, 0.004, EPOCHS)
    distances = [falling + final + weight * defect for weight in (1, 2, 0.5)]
    found = dict(zip(DISTANCES, distances, strict=True)) | {f"{name}_floor": np.full(EPOCHS, 0.09) for name in DISTANCES}
    steps = SHOWERS / (BATCH * ranks)
    found |= {"timing.num_showers": np.full(EPOCHS, float(SHOWERS)), "timing.num_steps": np.full(EPOCHS, steps)}
    found |= {"timing.showers_per_second": np.full(EPOCHS, 100.0), "timing.epoch_seconds": np.full(EPOCHS, 30.0)}
    for network, scale in (("generator", 120.0), ("discriminator", 40.0)):
        signal = 1.0 + 0.3 * rng.standard_normal(EPOCHS) if ranks > 1 else np.full(EPOCHS, np.nan)
        found |= {f"noise_scale.{network}_signal": signal, f"noise_scale.{network}_noise": np.where(np.isnan(signal), np.nan, scale)}
    return found


def ablation_epochs() -> pd.DataFrame:
    """As ``gan3d.tracking.frames.epochs`` has a finished study."""
    rng = np.random.default_rng(11)
    parts = []
    for trial, sample in enumerate(samples()):
        own = {"trial": trial, "state": "complete", "world_size": 1, "reserved_cpus": 1, "global_batch": BATCH * sample[RANKS]}
        frame = pd.DataFrame({"epoch": range(1, EPOCHS + 1)} | metrics_of(sample, rng))
        parts.append(frame.assign(**own, **sample, **{REFERENCE: BATCH}))
    return pd.concat(parts, ignore_index=True)


def ablation_trials(epochs: pd.DataFrame, target: float = 0.2) -> pd.DataFrame:
    """What a target cost, trial by trial."""
    return time_to_quality(epochs, Target(DISTANCES[0], target, hold=2), DISTANCES[1:])
