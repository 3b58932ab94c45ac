"""What the cost model of a step needs, from the records of a study or from a published series of step times.

A step of a team of N ranks with b showers on each is made of

    computing         f + k b               f: what does not grow with the batch
    straggler wait    (m(N, s) - 1) times that: `gan3d.scaling.stragglers`
    communication     `gan3d.scaling.prediction`

Of a study, every trial is split by its own clock: what ranks compute, their exposed communication, and straggler wait, which is the rest.
Trials of several batches tell f and k; with one batch f is taken to be the optimisers' time, and the rest to grow with the batch. Beyond
the batches that were seen, computing grows no faster than the batch, and falls no faster.
Intervals are from the scatter of blocks (`gan3d.scaling.speedup`); a single block has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from gan3d.errors import ConfigError
from gan3d.records import METRICS, PHASES, training_seconds
from gan3d.scaling.draws import DRAWS, Array, drawn_means
from gan3d.scaling.speedup import KIND_KEY, SEED_KEY, blocks_of, steady_epochs
from gan3d.scaling.stragglers import expected_maximum, spread_of

#: Seeds of draws, one for each thing that is drawn.
STUDY_SEED, SERIES_SEED = 101, 102
#: Phases in which a rank works on steps without others.
COMPUTING = ("data_wait", "discriminator", "generator", "optimiser")
#: A line through noisy times is kept from ending so many times below the shortest of them.
_MOST_BELOW = 100.0
#: Logarithms farther from the best value than this are drawn there.
_FARTHEST = 30.0
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
    """World size of that team, the smallest."""
    largest_team: int
    """That the calibration has seen; what is said of larger ones is an extrapolation."""
    batches: tuple[int, ...]
    """Showers per step on one worker, that the calibration has seen; ascending."""
    blocks: int
    notes: tuple[str, ...]
    """What was assumed, in sentences."""

    def computing_seconds(self, batch: float) -> Array:
        """Of a step on one rank of a team; positive, for f and k of a draw may be below 0, but not both count."""
        nearest = min(max(batch, self.batches[0]), self.batches[-1])
        there = self.fixed_seconds + self.seconds_per_shower * nearest
        proportional = there * (batch / nearest)
        line = self.fixed_seconds + self.seconds_per_shower * batch
        return np.clip(line, np.minimum(there, proportional), np.maximum(there, proportional))


def step_seconds(epochs: pd.DataFrame, warmup_epochs: int = 1, block_key: str | None = SEED_KEY) -> pd.DataFrame:
    """One row per trial: where a mean steady step goes.

    Args:
        epochs: As `gan3d.tracking.frames.epochs` returns.
        warmup_epochs: First epochs that are left out, of each trial and after each restart.
        block_key: Sampled key whose values are blocks.

    Returns:
        ``world_size``, ``block``, ``batch`` (showers per step on one worker) and the seconds of a step: ``step`` (of the slowest rank),
        ``computing`` (mean over ranks: both networks, optimiser, waiting for data, and what no phase covers), of it ``optimiser``,
        ``communication`` (exposed), ``straggler`` (the rest of the step: recorded straggler wait holds that for checkpoints, too).

    Raises:
        ConfigError: Trials differ in more than workers, batch and block, or none has an epoch after its warm-up epochs.
    """
    sampled = [name for name in map(str, epochs.columns) if "." in name and name not in {*METRICS, *_MAY_DIFFER, block_key}]
    varied = [name for name in sampled if len(epochs[name].unique()) > 1]
    if varied:
        message = f"trials differ in {', '.join(varied)}, so their times cannot be put together. Predict from a study that fixes them."
        raise ConfigError(message, key=varied[0])
    steady = steady_epochs(epochs, warmup_epochs)
    phases = pd.DataFrame({phase: steady[f"timing.{phase}_seconds_mean"] for phase in PHASES})
    uncovered = (steady["timing.epoch_seconds"] - phases.sum(axis="columns")).clip(lower=0.0)
    sums = pd.DataFrame(
        {
            "trial": steady["trial"],
            "steps": steady["timing.num_steps"],
            "step": training_seconds(steady),
            "computing": phases[list(COMPUTING)].sum(axis="columns") + uncovered,
            "optimiser": phases["optimiser"],
            "communication": phases["exposed_communication"],
        }
    )
    totals = sums.groupby("trial").sum()
    rows = totals.drop(columns="steps").div(totals["steps"], axis="index")
    rows["straggler"] = (rows["step"] - rows["computing"] - rows["communication"]).clip(lower=0.0)
    trials = steady.drop_duplicates("trial").set_index("trial")
    rows["world_size"] = trials["world_size"].astype(int)
    rows["batch"] = trials["global_batch"].astype(int) // rows["world_size"]
    # Strong and weak scaling meet where their batches do: a block has both trials.
    alike = ["world_size", "batch", *([KIND_KEY] if KIND_KEY in trials else [])]
    rows["block"] = blocks_of(trials.assign(batch=rows["batch"]), alike, block_key)
    return rows.reset_index(drop=True).sort_values(["world_size", "batch", "block"], ignore_index=True)


def calibrate(steps: pd.DataFrame) -> Calibration:
    """From trials split by their clocks.

    Args:
        steps: As :func:`step_seconds` returns; several world sizes and batches are welcome.

    Raises:
        ConfigError: No trial had two workers or more.
    """
    teams = steps[steps["world_size"] > 1]
    if teams.empty:
        message = "communication and stragglers show with 2 workers or more; all trials had one. Sample workers.per_trial."
        raise ConfigError(message, key="workers.per_trial")
    batches = tuple(sorted(int(batch) for batch in teams["batch"].unique()))
    ends = batches[0], batches[-1] if len(batches) > 1 else 2 * batches[0]
    per_block = [_of_block(rows, ends) for _, rows in steps.groupby("block") if (rows["world_size"] > 1).any()]
    has_lone = all(np.isfinite(found["lone_ratio"]) for found in per_block)
    if not has_lone:
        per_block = [found | {"lone_ratio": 0.0} for found in per_block]
    rows = drawn_means(np.array([list(found.values()) for found in per_block]), STUDY_SEED).T
    draws = dict(zip(per_block[0], rows, strict=True))
    first, last = (_exponential(draws[name]) for name in ("first_end", "last_end"))
    slope = (last - first) / (ends[1] - ends[0])
    sizes = teams["world_size"]
    return Calibration(
        fixed_seconds=first - slope * ends[0],
        seconds_per_shower=slope,
        lone_ratio=_exponential(draws["lone_ratio"]),
        spread=np.maximum(draws["spread"], 0.0),
        communication_seconds=np.maximum(draws["communication"], 0.0),
        team=int(sizes.min()),
        largest_team=int(sizes.max()),
        batches=batches,
        blocks=len(per_block),
        notes=tuple(_notes(steps, batches, len(per_block), has_lone=has_lone)),
    )


def _of_block(rows: pd.DataFrame, ends: tuple[int, int]) -> dict[str, float]:
    """What one block says; logarithms of what is positive: computing at both ends of the batches, and a lone rank's."""
    teams, lone = rows[rows["world_size"] > 1], rows[rows["world_size"] == 1]
    by_batch = teams.groupby("batch")[["computing", "optimiser"]].mean()
    computing = by_batch["computing"]
    if len(by_batch) == 1:
        fixed = by_batch["optimiser"].iloc[0]
        slope = (computing.iloc[0] - fixed) / float(by_batch.index[0])
    else:
        # Weights: errors are a share of the time.
        slope, fixed = np.polyfit(by_batch.index.astype(float), computing, 1, w=1 / computing)
    first, last = (max(fixed + slope * end, computing.min() / _MOST_BELOW) for end in ends)
    ratios = lone.groupby("batch")["computing"].mean() / computing
    waits = (teams["straggler"] / teams["computing"]).tolist()
    spreads = [spread_of(wait, size) for wait, size in zip(waits, teams["world_size"].tolist(), strict=True)]
    smallest = teams[teams["world_size"] == teams["world_size"].min()]
    return {
        "first_end": float(np.log(first)),
        "last_end": float(np.log(last)),
        "lone_ratio": float(np.log(ratios).mean()),  # NaN where no batch was trained both ways
        "spread": float(np.mean(spreads)),
        "communication": float(smallest["communication"].mean()),
    }


def _exponential(logs: Array) -> Array:
    """Of draws; two blocks have ones so far off that their exponential is infinite."""
    return np.exp(np.clip(logs, logs[0] - _FARTHEST, logs[0] + _FARTHEST))


def _notes(steps: pd.DataFrame, batches: Sequence[int], blocks: int, *, has_lone: bool) -> list[str]:
    """What was assumed, and what such trials leave undetermined."""
    sizes = sorted(int(size) for size in steps["world_size"].unique() if size > 1)
    notes = [
        f"teams of more than {sizes[-1]} are an extrapolation: the interval holds the scatter of blocks, not what the model leaves out"
    ]
    if len(sizes) == 1:
        notes.append(
            f"teams of one size only ({sizes[0]}): how waits and all-reduces grow with the team is the model's word, "
            "and so is the tail of the times that ranks take"
        )
    if len(batches) == 1:
        notes.append(
            f"one batch per worker only ({batches[0]}): optimiser time is taken as fixed, all other computing as growing with the batch"
        )
    if blocks == 1:
        notes.append("a single block: no interval from the calibration")
    if has_lone:
        notes.append(
            "what a rank loses by not being alone (memory shared with others of its node, DDP) is taken to be the same in any team"
        )
    else:
        notes.append("no trial of one worker with a team's batch: a lone worker is taken to compute as fast as one in a team")
    return notes


def calibrate_series(series: pd.DataFrame, communication: Mapping[int, Array], batch: int) -> Calibration:
    """From published step times of several world sizes at one batch per worker, without a split.

    Mean computing and spread are fitted to the logarithms, with communication given; draws are from the t-distribution of the fit, each
    moved by what its own draw of communication changes (one Gauss-Newton step).

    Args:
        series: ``world_size`` and ``step`` [s], at least three rows.
        communication: Seconds of communication in a step with draws, by world size.
        batch: Showers per step on one worker.

    Raises:
        ConfigError: Fewer than three world sizes, which leave nothing to judge the fit by.
    """
    sizes: list[int] = series["world_size"].tolist()
    if len(set(sizes)) < 3:
        message = f"computing and spread take step times of at least 3 world sizes; there are {len(set(sizes))}"
        raise ConfigError(message, key="world_size")
    added = np.stack([communication[size] for size in sizes], axis=-1)
    logs = np.log(series["step"].to_numpy(float))

    def residuals(parameters: Array, added_seconds: Array = added[0]) -> Array:
        waits = expected_maximum(sizes, parameters[1])[0]
        return np.asarray(np.log(np.exp(parameters[0]) * waits + added_seconds) - logs)

    found = optimize.least_squares(residuals, [logs.min(), 0.02], bounds=([-np.inf, 0.0], [np.inf, 1.0]), x_scale=[1.0, 0.01])
    freedom = len(sizes) - 2
    covariance = np.linalg.inv(found.jac.T @ found.jac) * (2 * found.cost / freedom)
    generator = np.random.default_rng(SERIES_SEED)
    normal = generator.multivariate_normal([0.0, 0.0], covariance, DRAWS) / np.sqrt(generator.chisquare(freedom, (DRAWS, 1)) / freedom)
    moved = (residuals(found.x, added[1:]) - found.fun) @ np.linalg.pinv(found.jac).T
    drawn = np.vstack([found.x, found.x + normal - moved])
    nothing = np.zeros(1 + DRAWS)
    return Calibration(
        fixed_seconds=nothing,
        seconds_per_shower=np.exp(drawn[:, 0]) / batch,
        lone_ratio=nothing + 1.0,
        spread=np.clip(drawn[:, 1], 0.0, None),
        communication_seconds=nothing,
        team=min(sizes),
        largest_team=max(sizes),
        batches=(batch,),
        blocks=1,
        notes=(
            "computing is taken to grow with the batch",
            "a lone worker is taken to compute as fast as one in a team",
            f"teams of more than {max(sizes)} are an extrapolation: intervals hold scatter about the fit, not what the model leaves out",
        ),
    )
