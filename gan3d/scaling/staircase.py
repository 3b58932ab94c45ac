"""Factors of a staircase: what each stair does to the training throughput of the one before, and all up to it to the first.

Two units. Showers per second is what a user gets. A stair that changes the networks changes the work per shower too, so work per second
(GFLOP/s: multiply-adds of the plain formulation, ``gan3d.models.work``) says how much of that is the machine's doing.

Intervals are Student's t on the logarithms of ratios, paired by block, as in ``gan3d.scaling.speedup``.

Covered: arithmetic on the frame of ``gan3d.tracking.frames.epochs``. Not covered: drawing (``analysis/single_node.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gan3d.config.stairs import STAIRS
from gan3d.errors import ConfigError
from gan3d.scaling.draws import CONFIDENCE
from gan3d.scaling.speedup import MIN_BLOCKS, SEED_KEY, blocks_of, geometric_interval, throughput

#: Gain on one node of 2018, as published: from Eigen to MKL-DNN, filters to multiples of 16, 1 to 4 workers per node; training of the
#: seed on a two-socket node. Vallecorsa et al., LNCS 11203 (2018), doi.org/10.1007/978-3-030-02465-9_35.
SEED_FACTOR = 8.0


def stair_rates(epochs: pd.DataFrame, stairs: Sequence[str], warmup_epochs: int = 1, block_key: str = SEED_KEY) -> pd.DataFrame:
    """Training throughput of every trial's steady epochs [showers/s], one row per block, one column per stair in their order.

    Args:
        epochs: One row per trial epoch.
        stairs: Names, from the lowest.
        warmup_epochs: First epochs of each trial that are left out.
        block_key: Sampled key whose values are blocks; trials are paired in their order where there is none.

    Raises:
        ConfigError: The study has no staircase, or a stair has no trial with a steady epoch.
    """
    if STAIRS not in epochs:
        message = "the study's trials stand on no stairs. Give its search space a staircase: stairs."
        raise ConfigError(message, key=STAIRS)
    rates = throughput(epochs, warmup_epochs, block_key).set_index("trial")
    trials = epochs.drop_duplicates("trial").set_index("trial").loc[rates.index]
    rows = pd.DataFrame({"stair": trials[STAIRS], "rate": rates["showers_per_second"]})
    rows["block"] = blocks_of(trials, [STAIRS], block_key)
    missing = [name for name in stairs if name not in set(rows["stair"])]
    if missing:
        message = f"no trial on {', '.join(missing)} has an epoch after its warm-up epochs. Go on with the study, or remove these stairs."
        raise ConfigError(message, key=STAIRS)
    return rows.pivot(index="block", columns="stair", values="rate")[list(stairs)]  # noqa: PD010 - a pivot table would average two trials


def staircase(rates: pd.DataFrame, gigaflop_per_shower: Mapping[str, float], confidence: float = CONFIDENCE) -> pd.DataFrame:
    """One row per stair, from the lowest.

    Args:
        rates: As :func:`stair_rates` returns.
        gigaflop_per_shower: Work of a training step per shower, by stair.
        confidence: Of every interval.

    Returns:
        ``stair``, ``blocks`` (with this stair, the one before and the lowest), ``few_blocks`` (fewer than ``MIN_BLOCKS``),
        ``gigaflop_per_shower``, and with ``_low`` and ``_high``: ``showers_per_second``, ``factor`` over the stair before, ``cumulative``
        over the lowest; ``gigaflop_per_second``, ``work_factor`` and ``work_cumulative`` are the same of the work. The lowest stair has no
        factor: NaN, as intervals of a single block are.
    """
    showers = rates.map(np.log)
    work = showers + pd.Series(gigaflop_per_shower)[rates.columns].map(np.log)
    blocks = showers.diff(axis="columns").sub(showers.iloc[:, 0], axis="index").count()
    blocks.iloc[0] = showers.iloc[:, 0].count()
    table = pd.DataFrame(
        {
            "blocks": blocks,
            "few_blocks": blocks < MIN_BLOCKS,
            "gigaflop_per_shower": pd.Series(gigaflop_per_shower)[rates.columns],
        }
    )
    for prefix, unit, logs in (("", "showers_per_second", showers), ("work_", "gigaflop_per_second", work)):
        over_lowest = logs.sub(logs.iloc[:, 0], axis="index")
        columns = {unit: logs, f"{prefix}factor": logs.diff(axis="columns"), f"{prefix}cumulative": over_lowest}
        for name, values in columns.items():
            for end, of in geometric_interval(values, confidence).items():
                table[f"{name}{end}"] = of
    return table.rename_axis("stair").reset_index()
