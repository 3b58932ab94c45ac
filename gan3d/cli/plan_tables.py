"""A plan as a page of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gan3d.config.problem import show
from gan3d.config.scalars import Scalar
from gan3d.config.stairs import STAIRS
from gan3d.search.footprint import Networks
from gan3d.search.plan import Plan, Span
from gan3d.terminal.words import counted, sample_text, short_names

MEGABYTE, GIGABYTE = 1e6, 1e9


def plan_tables(plan: Plan, more: Sequence[tuple[str, str]] = ()) -> list[RenderableType]:
    """What is asked, what is trained, what it needs, ``more`` rows of labels and texts, and whether there is room."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in [*_asked(plan), *_trained(plan), *_needed(plan), *more]:
        table.add_row(label, Text(value))
    return [Text(plan.study, style="bold"), Text(plan.question), Text(""), table, *_samples(plan), *_advice(plan), Text(""), _verdict(plan)]


def _asked(plan: Plan) -> list[tuple[str, str]]:
    grid = f", grid of {plan.grid_size:,}" if plan.grid_size is not None else ", continuous search space"
    scheduler = "none stopped early" if plan.scheduler == "none" else f"bad ones stopped early by {plan.scheduler}"
    target = "" if plan.target is None else f", target {plan.target:g}"
    rows = [
        ("objective", f"{plan.direction} {plan.objective}{target}"),
        *([("trade-offs", "\n".join(plan.trade_offs))] if plan.trade_offs else []),
        *([("constraints", "\n".join(plan.constraints))] if plan.constraints else []),
        ("trials", f"{plan.num_trials:,}, {plan.needs.concurrent} at a time, {scheduler}"),
        ("sampler", f"{plan.sampler}{grid if plan.ranges else ', nothing is sampled'}"),
    ]
    names = short_names(plan.ranges)
    ranges = [_stairs_text(one) if key == STAIRS else f"{names[key]}: {_range_text(one)}" for key, one in plan.ranges.items()]
    if ranges:
        rows.append(("search space", "\n".join(ranges)))
    if plan.forbidden:
        rows.append(("forbidden", "\n".join(_combination_text(one, names) for one in plan.forbidden)))
    if not plan.begins_as_written and plan.sampler != "grid":
        rows.append(("", "also the settings as written: the sampler begins without them"))
    return rows


def _combination_text(combination: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`global_batch 64 or 128 with generator.learning_rate up to 0.0003`."""
    return " with ".join(f"{names[key]} {_entry_text(entry)}" for key, entry in combination.items())


def _entry_text(entry: Any) -> str:
    if not isinstance(entry, dict):
        return " or ".join(map(show, entry))
    if len(entry) == 2:
        return f"{show(entry['min'])} to {show(entry['max'])}"
    return f"up to {show(entry['max'])}" if "max" in entry else f"from {show(entry['min'])}"


def _stairs_text(stairs: dict[str, dict[str, Scalar]]) -> str:
    """One line per stair, with what it changes."""
    names = short_names(key for change in stairs.values() for key in change)
    width = max(map(len, stairs))
    lines = [f"  {stair:<{width}}  {sample_text(change, names)}".rstrip() for stair, change in stairs.items()]
    return "\n".join(["stairs, each on top of those above it:", *lines])


def _range_text(one: dict[str, object]) -> str:
    if "choice" in one:
        return f"{one['choice']}"
    step = f" in steps of {one['step']}" if "step" in one else ""
    return f"{one['min']} to {one['max']}{step}{', logarithmic' if one.get('log') else ''}"


def _trained(plan: Plan) -> list[tuple[str, str]]:
    stock = plan.stock
    showers = f"{_count(stock.train)} to train on, {_count(stock.validation)} to validate with"
    if stock.missing:
        said = f"{stock.train:,} to train on, as data.num_train_showers says" if stock.train is not None else "unknown number"
        showers = f"{said}: the files are not here ({stock.missing})"
    sizes = plan.needs.world_sizes
    shown = ", ".join(map(str, sizes)) if len(sizes) <= 12 else f"{sizes[0]} to {sizes[-1]}"
    steps = "unknown" if plan.steps_per_epoch is None else _span(plan.steps_per_epoch)
    networks = _network_text(plan.largest)
    if plan.smallest != plan.largest:
        networks = f"smallest: {_network_text(plan.smallest)}\nlargest: {networks}"
    return [
        ("workers per trial", shown),
        ("", plan.placement.text),
        ("global batch", f"{_span(plan.global_batch)} ({_ranks(plan)})"),
        ("epochs", f"{_span(plan.epochs)} of {steps} steps"),
        ("showers", showers),
        ("networks", networks),
    ]


def _ranks(plan: Plan) -> str:
    """Showers of a rank, and which ranks there are."""
    batch, ranks = _span(plan.batch_per_worker), plan.virtual_ranks
    return f"{batch} per worker" if ranks.most == 1 else f"{batch} on each of {_span(ranks)} virtual ranks per worker"


def _network_text(networks: Networks) -> str:
    trainable = f"{networks.generator_parameters:,} + {networks.discriminator_parameters:,} = {networks.parameters:,} parameters"
    statistics = f" ({networks.parameters + networks.running_statistics:,} with running statistics)" if networks.running_statistics else ""
    return f"generator + discriminator {trainable}{statistics}, {networks.megabytes:.2f} MB"


def _needed(plan: Plan) -> list[tuple[str, str]]:
    memory, needs = plan.memory, plan.needs
    parts = {"torch and Ray": memory.baseline, "networks": memory.networks, "activations": memory.activations, "showers": memory.showers}
    shares = " + ".join(f"{name} {size / GIGABYTE:.2f}" for name, size in parts.items())
    cached = plan.stock.node_cache_bytes
    node_cache = [] if cached is None else [("", f"{cached / GIGABYTE:.1f} GB of decoded showers in data.node_cache of each node")]
    gpus = f" and {counted(needs.gpus, 'GPU')}" if needs.gpus else ""
    each = f"{counted(needs.concurrent, 'trial')} x {counted(needs.max_world_size, 'worker')} x {counted(needs.cpus_per_worker, 'CPU')}"
    return [
        ("memory", f"about {memory.total / GIGABYTE:.1f} GB per worker (an estimate: {shares})"),
        ("", f"about {needs.workers * memory.total / GIGABYTE:.1f} GB for all workers at a time"),
        ("disk", f"{plan.disk.study / MEGABYTE:,.0f} MB of checkpoints at most, {plan.disk.state / MEGABYTE:.1f} MB each"),
        *node_cache,
        ("needs", f"{counted(needs.cpus, 'CPU')}{gpus} at the same time ({each})"),
    ]


def _samples(plan: Plan) -> list[RenderableType]:
    if not plan.samples:
        return []
    names = short_names(plan.ranges)
    rows = [f"{number:>4}  {sample_text(sample, names)}" for number, sample in enumerate(plan.samples)]
    return [Text(""), Text("samples", style="bold"), Text("\n".join(rows))]


def _advice(plan: Plan) -> list[RenderableType]:
    said = [f"Slow to read: {advice}" for advice in plan.stock.advice]
    if not plan.has_kernel and not plan.needs.gpus:
        said.append("Slow to train: no C kernel was compiled for convolutions on a CPU. Install gan3d again where there is a C compiler.")
    return [line for text in said for line in (Text(""), Text(text, style="yellow"))]


def _verdict(plan: Plan) -> Text:
    problem = plan.needs.problem(plan.cluster)
    if problem is not None:
        return Text(f"No room: {problem}", style="yellow")
    cluster, needs, at_once = plan.cluster, plan.needs, plan.needs.at_once(plan.cluster)
    needed, there = at_once * needs.max_world_size * plan.memory.total / GIGABYTE, cluster.memory_gb
    gpus = f" and {counted(cluster.gpus, 'GPU')}" if cluster.gpus else ""
    where = f"{cluster.where} has {counted(cluster.cpus, 'CPU')}{gpus}"
    if needed > there:
        return Text(f"Room for the workers ({where}), but memory may be short: about {needed:.1f} GB of {there:.1f} GB.", style="yellow")
    if at_once < needs.concurrent:
        return Text(f"There is room for {counted(at_once, 'trial')} at a time; the others take turns: {where}.", style="yellow")
    return Text(f"There is room: {where} and {there:.1f} GB.", style="green")


def _span(span: Span) -> str:
    return f"{span.least:,}" if span.least == span.most else f"{span.least:,} to {span.most:,}"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"
