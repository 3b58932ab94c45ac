"""Tables of the large-batch ablation as Markdown: what a target cost, where physics ended, and what the seed's defects did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gan3d.scaling.ablation import GRID, ORDER, RANKS, RULE, WARMUP, contrast, mean_interval, pooled_contrast
from gan3d.scaling.quality import COSTS, LAST_EPOCHS, Target
from gan3d.scaling.speedup import SEED_KEY

NEVER = "never"
#: How the public code of the seed trained, and how its paper says it did: (order, rule), and which end of the warm-ups.
AS_RUN, AS_TOLD = ("seed", "linear", "min"), ("shuffled", "linear", "max")
SHORT = {ORDER: "order", RULE: "rule", WARMUP: "learning-rate warm-up", RANKS: "virtual ranks"}


def page(
    trials: pd.DataFrame,
    summary: pd.DataFrame,
    missing: pd.DataFrame,
    target: Target,
    metrics: Sequence[str],
    floors: Mapping[str, float],
) -> str:
    """All tables."""
    parts = [costs_table(trials, summary, target, metrics, floors), answer(trials, metrics)]
    parts += [pooled_table(trials, metrics), contrasts_table(trials, metrics)]
    return "\n\n".join(part for part in [missing_lines(trials, missing), *parts] if part) + "\n"


def costs_table(trials: pd.DataFrame, summary: pd.DataFrame, target: Target, metrics: Sequence[str], floors: Mapping[str, float]) -> str:
    """What the target cost, and the distances at the end."""
    complete = trials[trials["state"] == "complete"]
    rows = []
    for _, cell in summary.iterrows():
        of_cell = complete[(complete[GRID] == cell[GRID].to_numpy()).all(axis="columns")]
        costs = [number(cell[f"{cost}_median"], cost) for cost in ("updates", "showers", "seconds", "core_hours")]
        still = f", {cell['running']} running" if cell["running"] else ""
        finals = [spread(of_cell[f"{metric}.last"]) for metric in metrics]
        rows.append([*key_cells(cell), f"{cell['reached']} of {cell['run']}{still}", *costs, *finals])
    head = [*SHORT.values(), "reached", "updates", "showers", "training time", "core-hours", *map(short, metrics)]
    told = ", ".join(f"{short(name)} {value:.3f}" for name, value in floors.items())
    note = (
        f"Target: {target.text}. Costs: median over seeds, misses as infinite; training time without validation and checkpoint, "
        f"virtual ranks one after the other. Distances: mean of the last {LAST_EPOCHS} epochs, mean ± standard deviation over seeds "
        f"that completed. Monte Carlo against Monte Carlo: {told or 'not known'}."
    )
    return f"{table(head, rows)}\n\n{note}"


def answer(trials: pd.DataFrame, metrics: Sequence[str]) -> str:
    """From fewest to most ranks, how much worse physics got as the seed's code trained and as its paper says; and the difference."""
    ranks = sorted(trials[RANKS].unique())
    warmups = {"min": trials[WARMUP].min(), "max": trials[WARMUP].max()}
    complete = trials[trials["state"] == "complete"]
    lines = []
    quantities = {short(metric): complete[f"{metric}.last"] for metric in metrics}
    if len(metrics) > 2:
        quantities[f"{short(metrics[1])} less {short(metrics[2]).removeprefix('distance ')}"] = (
            complete[f"{metrics[1]}.last"] - complete[f"{metrics[2]}.last"]
        )
    for quantity, numbers in quantities.items():
        grown = {}
        for name, (order, rule, end) in (("run", AS_RUN), ("told", AS_TOLD)):
            recipe = complete[(complete[ORDER] == order) & (complete[RULE] == rule) & (complete[WARMUP] == warmups[end])]
            by_ranks = recipe.assign(number=numbers).set_index([RANKS, SEED_KEY])["number"]
            if {ranks[0], ranks[-1]} <= set(by_ranks.index.get_level_values(0)):
                grown[name] = (by_ranks[ranks[-1]] - by_ranks[ranks[0]]).dropna()
        if len(grown) == 2:
            of_defects = (grown["run"] - grown["told"]).dropna()
            said = [interval(mean_interval(one.to_numpy(float))) for one in (grown["run"], grown["told"], of_defects) if len(one)]
            lines.append([quantity, *said] if len(said) == 3 else [quantity, "", "", ""])
    if not lines:
        return ""
    head = ["distance", "as the seed's code trained", "as its paper says", "from the defects of its code"]
    note = (
        f"How much the final distance grows from {ranks[0]} to {ranks[-1]} virtual ranks with the linear rule; mean over seeds and 95 % "
        f"t-interval. As the code trained: the seed's order, learning-rate warm-up {warmups['min']:g}; as the paper says: shuffled and "
        f"sharded, learning-rate warm-up {warmups['max']:g}."
    )
    return f"{table(head, lines)}\n\n{note}"


def pooled_table(trials: pd.DataFrame, metrics: Sequence[str]) -> str:
    """What the seed's order and a warm-up do at each number of ranks, all else pooled."""
    quantities = {short(metric): trials[f"{metric}.last"] for metric in metrics}
    if len(metrics) > 2:
        difference = trials[f"{metrics[1]}.last"] - trials[f"{metrics[2]}.last"]
        quantities[f"{short(metrics[1])} less {short(metrics[2]).removeprefix('distance ')}"] = difference
    rows = []
    for key, value, base, name in (
        (ORDER, "seed", "shuffled", "the seed's order"),
        (WARMUP, trials[WARMUP].max(), trials[WARMUP].min(), f"learning-rate warm-up {trials[WARMUP].max():g}"),
    ):
        found = pooled_contrast(trials, key, value, base, quantities)
        for ranks, cell in found.groupby(RANKS, sort=True):
            by_quantity = {row["quantity"]: interval(row) for _, row in cell.iterrows()}
            rows.append([name, text(ranks), text(cell["recipes"].iloc[0]), *(by_quantity.get(one, "") for one in quantities)])
    if not rows:
        return ""
    note = "Added to the final distance, pairs of trials that differ in nothing else averaged within seeds; 95 % t-interval over seeds."
    return f"{table(['adding', SHORT[RANKS], 'pairs', *quantities], rows)}\n\n{note}"


def contrasts_table(trials: pd.DataFrame, metrics: Sequence[str]) -> str:
    """At every number of ranks, what the seed's order adds to the final distances, and what the ranks do."""
    quantities = {short(metric): trials[f"{metric}.last"] for metric in metrics}
    ranks = sorted(trials[RANKS].unique())
    parts = []
    for key, value, base, title in (
        (RANKS, ranks[-1], ranks[0], f"{ranks[-1]} virtual ranks against {ranks[0]}"),
        (ORDER, "seed", "shuffled", "the seed's order against shuffled and sharded"),
        (WARMUP, trials[WARMUP].max(), trials[WARMUP].min(), f"learning-rate warm-up {trials[WARMUP].max():g} against none"),
    ):
        found = contrast(trials, key, value, base, quantities)
        if found.empty or value == base:
            continue
        others = [name for name in GRID if name != key]
        rows = []
        for place, cell in found.groupby(others, sort=False):
            by_quantity = {row["quantity"]: interval(row) for _, row in cell.iterrows()}
            rows.append([*map(text, place), *(by_quantity.get(name, "") for name in quantities)])
        parts.append(f"Added to the final distance by {title}:\n\n{table([*(SHORT[name] for name in others), *quantities], rows)}")
    return "\n\n".join(parts)


def missing_lines(trials: pd.DataFrame, missing: pd.DataFrame) -> str:
    """What an unfinished study lacks, one line per combination; nothing of a finished one."""
    if missing.empty:
        return ""
    lines = []
    for place, cell in missing.groupby(GRID, sort=False):
        what = ", ".join(f"{text(row[SEED_KEY])} ({row['state']})" for _, row in cell.iterrows())
        lines.append(f"- {', '.join(f'{SHORT[key]} {text(one)}' for key, one in zip(GRID, place, strict=True))}: seed {what}")
    whole = len(trials.drop_duplicates([*GRID, SEED_KEY]))
    return f"Unfinished: {len(missing)} combinations have not completed (there are results of {whole}):\n\n" + "\n".join(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def key_cells(cell: pd.Series) -> list[str]:
    """The grid's values of one row; ranks with the global batch are told by the caller's note."""
    return [text(cell[key]) for key in GRID]


def text(value: Any) -> str:
    """A value of the grid."""
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def short(metric: str) -> str:
    """`distance`, `distance low energy`."""
    return metric.rpartition(".")[2].replace("shower_distance", "distance").replace("_", " ")


def number(value: float, cost: str) -> str:
    """A cost in the table's units."""
    if np.isnan(value):
        return "?"
    if np.isinf(value):
        return NEVER
    if cost == "seconds":
        return f"{value / 60:.1f} min" if value >= 90 else f"{value:.0f} s"
    return f"{value:,.0f}" if COSTS[cost].startswith(("steps", "showers")) else f"{value:.3g}"


def spread(values: pd.Series) -> str:
    """`0.123 ± 0.004`; of one seed without a spread."""
    known = values.dropna()
    if known.empty:
        return "none"
    return f"{known.mean():.3f} ± {known.std():.3f}" if len(known) > 1 else f"{known.iloc[0]:.3f}"


def interval(row: Mapping[str, Any] | pd.Series) -> str:
    """`+0.010 [-0.002, 0.022]`; of one pair without an interval."""
    if np.isnan(row["difference_low"]):
        return f"{row['difference']:+.3f} (1 pair)"
    return f"{row['difference']:+.3f} [{row['difference_low']:.3f}, {row['difference_high']:.3f}]"
