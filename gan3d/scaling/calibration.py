"""What the cost model of a step needs, from the records of a study or from a published series of step times.

A step of a team of N ranks with b showers on each is made of

    computing         f + k b               f: what does not grow with the batch
    straggler wait    (m(N, s) - 1) times that: `gan3d.scaling.stragglers`
    communication     `gan3d.scaling.prediction`

Of a study, every trial is split by its own clock: straggler wait and exposed communication as recorded, and all the rest is computing.
Trials of several batches tell f and k; with one batch f is taken to be the optimisers' time, and the rest to grow with the batch.
Intervals are from the scatter of blocks (`gan3d.scaling.speedup`); a single block has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from gan3d.errors import ConfigError
from gan3d.records import METRICS, training_seconds
from gan3d.scaling.draws import DRAWS, Array, drawn_means
from gan3d.scaling.speedup import KIND_KEY, SEED_KEY, steady_epochs
from gan3d.scaling.stragglers import expected_maximum, spread_of

#: Seeds of draws, one for each thing that is drawn.
STUDY_SEED, SERIES_SEED = 101, 102
#: In these, and in the block, trials of one calibration may differ.
_MAY_DIFFER = {"workers.per_trial", "training.global_batch", "training.batch_per_worker", KIND_KEY, SEED_KEY}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Arrays of draws (`gan3d.scaling.draws`)."""

    fixed_seconds: Array
    """f: computing of a step that does not grow with the batch [s]."""
    seconds_per_shower: Array
    """k [s]."""
    lone_ratio: Array
    """Computing of a rank alone over that of a rank in a team: without the bookkeeping of DDP, and with the memory to itself."""
    spread: Array
    """s, of ranks' computing times."""
    communication_seconds: Array
    """Exposed, of a step, as measured in the team; 0 where it was not."""
    team: int
    """World size of that team."""
    batches: tuple[int, ...]
    """Showers per step on one worker, that the calibration has seen."""
    blocks: int
    notes: tuple[str, ...]
    """What was assumed, in sentences."""

    def computing_seconds(self, batch: float) -> Array:
        """Of a step on one rank of a team."""
        return self.fixed_seconds + self.seconds_per_shower * batch


def step_seconds(epochs: pd.DataFrame, warmup_epochs: int = 1, block_key: str | None = SEED_KEY) -> pd.DataFrame:
    """One row per trial: where a mean steady step goes.

    Args:
        epochs: As `gan3d.tracking.frames.epochs` returns.
        warmup_epochs: First epochs that are left out, of each trial and after each restart.
        block_key: Sampled key whose values are blocks.

    Returns:
        ``world_size``, ``block``, ``batch`` (showers per step on one worker) and the seconds of a step: ``step`` (of the slowest rank),
        ``communication``, ``straggler``, ``optimiser`` (means over ranks), ``computing`` (the rest of the step, optimiser included).

    Raises:
        ConfigError: Trials differ in more than workers, batch and block, or none has an epoch after its warm-up epochs.
    """
    sampled = [name for name in map(str, epochs.columns) if "." in name and name not in {*METRICS, *_MAY_DIFFER, block_key}]
    varied = [name for name in sampled if len(epochs[name].unique()) > 1]
    if varied:
        message = f"trials differ in {', '.join(varied)}, so their times cannot be put together. Predict from a study that fixes them."
        raise ConfigError(message, key=varied[0])
    steady = steady_epochs(epochs, warmup_epochs)
    columns = {"communication": "exposed_communication", "straggler": "straggler_wait", "optimiser": "optimiser"}
    sums = pd.DataFrame({name: steady[f"timing.{phase}_seconds_mean"] for name, phase in columns.items()})
    sums = sums.assign(step=training_seconds(steady), trial=steady["trial"], steps=steady["timing.num_steps"])
    totals = sums.groupby("trial").sum()
    trials = steady.drop_duplicates("trial").set_index("trial")
    rows = totals.drop(columns="steps").div(totals["steps"], axis="index")
    rows["computing"] = rows["step"] - rows["communication"] - rows["straggler"]
    rows["world_size"] = trials["world_size"].astype(int)
    rows["batch"] = trials["batch_per_worker"].astype(int)
    rows["block"] = _block(trials, block_key)
    return rows.reset_index(drop=True).sort_values(["world_size", "batch", "block"], ignore_index=True)


def _block(trials: pd.DataFrame, block_key: str | None) -> pd.Series:
    """What tells trials of one world size and batch apart: the block, or their order where it does not."""
    alike = ["world_size", "batch_per_worker"]
    if block_key in trials and not trials.duplicated([*alike, block_key]).any():
        return trials[block_key]
    return trials.sort_index().groupby(alike).cumcount()


def calibrate(steps: pd.DataFrame) -> Calibration:
    """From trials split by their clocks.

    Args:
        steps: As :func:`step_seconds` returns; several world sizes and batches are welcome.

    Raises:
        ConfigError: No trial had two workers or more.
    """
    if not (steps["world_size"] > 1).any():
        message = "communication and stragglers show with 2 workers or more; all trials had one. Sample workers.per_trial."
        raise ConfigError(message, key="workers.per_trial")
    per_block = [_of_block(rows) for _, rows in steps.groupby("block") if (rows["world_size"] > 1).any()]
    has_lone = all(np.isfinite(found["lone_ratio"]) for found in per_block)
    rows = np.array([[found[name] for name in _QUANTITIES] for found in per_block])
    if not has_lone:
        rows[:, _QUANTITIES.index("lone_ratio")] = 1.0
    draws = dict(zip(_QUANTITIES, drawn_means(rows, STUDY_SEED).T, strict=True))
    teams = steps[steps["world_size"] > 1]
    batches = tuple(sorted(teams["batch"].unique().tolist()))
    return Calibration(
        **{name: draws[name] for name in ("fixed_seconds", "seconds_per_shower", "lone_ratio", "communication_seconds")},
        spread=np.maximum(draws["spread"], 0.0),
        team=int(teams["world_size"].min()),
        batches=batches,
        blocks=len(per_block),
        notes=tuple(_notes(batches, len(per_block), has_lone=has_lone)),
    )


_QUANTITIES = ("fixed_seconds", "seconds_per_shower", "lone_ratio", "spread", "communication_seconds")


def _of_block(rows: pd.DataFrame) -> dict[str, float]:
    """The calibration of one block."""
    teams, lone = rows[rows["world_size"] > 1], rows[rows["world_size"] == 1]
    by_batch = teams.groupby("batch")[["computing", "optimiser"]].mean()
    if len(by_batch) == 1:
        batch, computing, fixed = float(by_batch.index[0]), by_batch["computing"].iloc[0], by_batch["optimiser"].iloc[0]
        slope = (computing - fixed) / batch
    else:
        # Weights: errors are a share of the time.
        slope, fixed = np.polyfit(by_batch.index.astype(float), by_batch["computing"], 1, w=1 / by_batch["computing"])
    ratios = lone.groupby("batch")["computing"].mean() / by_batch["computing"]
    waits = (teams["straggler"] / teams["computing"]).tolist()
    spreads = [spread_of(wait, size) for wait, size in zip(waits, teams["world_size"].tolist(), strict=True)]
    smallest = teams[teams["world_size"] == teams["world_size"].min()]
    return {
        "fixed_seconds": float(fixed),
        "seconds_per_shower": float(slope),
        "lone_ratio": float(ratios.mean()),  # NaN where no batch was trained both ways
        "spread": float(np.mean(spreads)),
        "communication_seconds": float(smallest["communication"].mean()),
    }


def _notes(batches: Sequence[int], blocks: int, *, has_lone: bool) -> list[str]:
    notes = []
    if len(batches) == 1:
        notes.append(
            f"one batch per worker only ({batches[0]}): optimiser time is taken as fixed, all other computing as growing with the batch"
        )
    if blocks == 1:
        notes.append("a single block: no interval from the calibration")
    if not has_lone:
        notes.append("no trial of one worker with a team's batch: a lone worker is taken to compute as fast as one in a team")
    return notes


def calibrate_series(series: pd.DataFrame, communication: Mapping[int, float], batch: int) -> Calibration:
    """From published step times of several world sizes at one batch per worker, without a split.

    Mean computing and spread are fitted to the logarithms, communication is given; draws are from the t-distribution of the fit.

    Args:
        series: ``world_size`` and ``step`` [s], at least three rows.
        communication: Seconds of communication in a step, by world size.
        batch: Showers per step on one worker.

    Raises:
        ConfigError: Fewer than three world sizes, which leave nothing to judge the fit by.
    """
    sizes: list[int] = series["world_size"].tolist()
    if len(set(sizes)) < 3:
        message = f"computing and spread take step times of at least 3 world sizes; there are {len(set(sizes))}"
        raise ConfigError(message, key="world_size")
    added = np.array([communication[size] for size in sizes])
    logs = np.log(series["step"].to_numpy(float))

    def residuals(parameters: Array) -> Array:
        waits = expected_maximum(sizes, parameters[1])[0]
        return np.asarray(np.log(np.exp(parameters[0]) * waits + added) - logs)

    found = optimize.least_squares(residuals, [logs.min(), 0.02], bounds=([-np.inf, 0.0], [np.inf, 1.0]), x_scale=[1.0, 0.01])
    freedom = len(sizes) - 2
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * (2 * found.cost / freedom)
    generator = np.random.default_rng(SERIES_SEED)
    normal = generator.multivariate_normal([0.0, 0.0], covariance, DRAWS) / np.sqrt(generator.chisquare(freedom, (DRAWS, 1)) / freedom)
    drawn = np.vstack([found.x, found.x + normal])
    nothing = np.zeros(1 + DRAWS)
    notes = ("computing is taken to grow with the batch", "a lone worker is taken to compute as fast as one in a team")
    return Calibration(
        fixed_seconds=nothing,
        seconds_per_shower=np.exp(drawn[:, 0]) / batch,
        lone_ratio=nothing + 1.0,
        spread=np.clip(drawn[:, 1], 0.0, None),
        communication_seconds=nothing,
        team=min(sizes),
        batches=(batch,),
        blocks=1,
        notes=notes,
    )
