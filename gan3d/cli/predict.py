"""`gan3d predict`: what larger teams would do, from a study that was run and a network that the user names."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from gan3d.errors import ConfigError
from gan3d.terminal.console import console_for

if TYPE_CHECKING:
    import pandas as pd

    from gan3d.scaling.draws import Estimate
    from gan3d.scaling.fabrics import Fabric
    from gan3d.scaling.forecast import Forecast
    from gan3d.scaling.prediction import Cluster, Work

MILLI, MICRO, GIGA = 1e-3, 1e-6, 1e9
PARTS = ("computing", "straggler", "communication")


@dataclass(frozen=True, slots=True)
class Question:
    """The command line of `gan3d predict`."""

    study: Path
    fabric: str
    workers_per_node: int = 1
    batch_per_worker: int | None = None
    global_batch: int | None = None
    algorithm: Literal["ring", "tree", "hierarchical"] = "ring"
    software: Path | None = None
    results: Path | None = None


def show_prediction(asked: Question, *, as_json: bool) -> None:
    """Print what is predicted.

    Raises:
        ConfigError: the study was not run, tells too little, or the network is not known.
    """
    name, found = prediction_of(asked)
    if as_json:
        typer.echo(json.dumps(as_document(name, asked, found), indent=2, ensure_ascii=False))
        return
    console = console_for()
    for part in page(name, asked, found):
        console.print(part, highlight=False)


def prediction_of(asked: Question) -> tuple[str, Forecast]:
    """The study's name, and the prediction.

    Raises:
        ConfigError: as for `show_prediction`.
    """
    from gan3d.cli.step_work import step_work
    from gan3d.config.load import load_study, read_study
    from gan3d.scaling.forecast import forecast
    from gan3d.scaling.speedup import SEED_KEY
    from gan3d.tracking import frames

    if asked.batch_per_worker is not None and asked.global_batch is not None:
        message = "--batch-per-worker and --global-batch are two questions: ask one at a time."
        raise ConfigError(message, key="--global-batch")
    cluster = cluster_of(asked)
    name = load_study(asked.study).study.name
    source = tracking_uri(asked, name)
    info = frames.study(source, name)
    study = read_study(info.yaml_text, f"study {name} as run")
    sample = study.default_sample
    if sample is None:
        message = "its settings as written are no valid trial, so there is no network to predict for."
        raise ConfigError(message, where=f"study {name} as run", key="search_space")
    epochs = frames.epochs(source, name)
    if epochs.empty:
        message = f"study {name} has no epoch in {source} yet."
        raise ConfigError(message, key="name")
    work = step_work(study.trial_settings(sample), batch_per_worker=asked.batch_per_worker, global_batch=asked.global_batch)
    return name, forecast(epochs, work, cluster, block_key=study.sampler.blocks or SEED_KEY)


def cluster_of(asked: Question) -> Cluster:
    """Where the team would work.

    Raises:
        ConfigError: There is no such fabric, or software is given beside a measured one, which holds it already.
    """
    from gan3d.scaling.fabric_files import fabric_named, read_fabric
    from gan3d.scaling.prediction import Cluster

    fabric = fabric_named(asked.fabric)
    software = None if asked.software is None else read_fabric(asked.software, "--software")
    if fabric.origin == "measured":
        if software is not None:
            message = f"--software is for a declared fabric: all-reduces measured in {asked.fabric} went through the library's software."
            raise ConfigError(message, key="--software")
        return Cluster(fabric, None, asked.workers_per_node, asked.algorithm)
    return Cluster(software, fabric, asked.workers_per_node, asked.algorithm)


def tracking_uri(asked: Question, name: str) -> str:
    """Where the study's records are: a folder of results, or of published frames.

    Raises:
        ConfigError: There is no such folder.
    """
    from gan3d.tracking.published import is_published
    from gan3d.tracking.store import default_tracking_uri

    folder = asked.results or Path("results") / name
    if is_published(str(folder)):
        return str(folder)
    if not (folder / "tracking.db").is_file():
        message = f"study {name} was not run in {folder}. Run it (gan3d run {asked.study}), or name its folder with --results."
        raise ConfigError(message, key="--results")
    return default_tracking_uri(folder)


def page(name: str, asked: Question, found: Forecast) -> list[Table | Text]:
    """The prediction as text: what is asked, the curve, the largest teams, what was assumed."""
    head = Text.assemble((name, "bold"), f": {_work_text(found.work)}, {_network_text(asked, found.cluster)}")
    lines = [Text.assemble((f"{100 * level:.0f} %  ", "bold"), _team_text(estimate, found)) for level, estimate in found.largest.items()]
    assumed = [Text(f"  - {sentence}") for sentence in found.assumed]
    title = Text("largest team that reaches this efficiency, as all smaller ones do", style="bold")
    return [
        head,
        Text(""),
        curve_table(found.curve),
        Text(""),
        title,
        *lines,
        Text(""),
        Text("assumed and left open", style="bold"),
        *assumed,
    ]


def curve_table(curve: pd.DataFrame) -> Table:
    """One row per team; intervals of 95 %, and the parts of a step in percent of it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("workers", "batch each", "step, ms", "showers/s", "efficiency, %", *PARTS):
        table.add_column(heading, justify="right")
    for row in curve.to_dict("records"):
        shares = (f"{100 * row[f'{part}_seconds'] / row['step_seconds']:.1f} %" for part in PARTS)
        quantities = (("step_seconds", MILLI), ("throughput", 1.0), ("efficiency", 0.01))
        figures = (_with_interval(row, quantity, unit) for quantity, unit in quantities)
        table.add_row(f"{row['world_size']:.0f}", f"{row['batch_per_worker']:g}", *figures, *shares)
    return table


def _with_interval(row: dict[Any, Any], name: str, unit: float) -> str:
    value, low, high = (row[f"{name}{end}"] / unit for end in ("", "_low", "_high"))
    return _short(value) if math.isnan(low) else f"{_short(value)} ({_short(low)}-{_short(high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _work_text(work: Work) -> str:
    batch = (
        f"global batch {work.global_batch}" if work.global_batch is not None else f"{work.batch_per_worker:g} showers per step on a worker"
    )
    megabytes = sum(map(sum, work.updates)) / 1e6
    return f"{batch}; {len(work.updates)} updates per step reduce {megabytes:.3g} MB"


def _network_text(asked: Question, cluster: Cluster) -> str:
    per_node = "" if asked.workers_per_node == 1 else f", {asked.workers_per_node} workers per node"
    parts = [f"{_fabric_text(fabric)}" for fabric in (cluster.wire, cluster.software) if fabric is not None]
    return f"{asked.algorithm} all-reduces over {' and through '.join(parts)}{per_node}"


def _fabric_text(fabric: Fabric) -> str:
    latency, rate = fabric.latency_seconds.value / MICRO, fabric.bytes_per_second.value / GIGA
    return f"{fabric.name} ({fabric.origin}: {latency:.3g} us, {rate:.3g} GB/s)"


def _team_text(estimate: Estimate, found: Forecast) -> str:
    """`12 workers (9 to 16)`, `256 workers or more, as far as was looked`."""
    last = largest_looked_at(found)
    value, low, high = (
        "?" if math.isnan(one) else f"{one:.0f}{' or more' if one >= last and found.kind == 'weak' else ''}" for one in estimate
    )
    interval = ", no interval" if low == "?" else f" ({low} to {high})"
    return f"{value} worker{'' if value == '1' else 's'}{interval}"


def largest_looked_at(found: Forecast) -> int:
    """The world size at which the search for the largest team ended."""
    return int(found.curve["world_size"].max())


def as_document(name: str, asked: Question, found: Forecast) -> dict[str, Any]:
    """The prediction ready for JSON; what is not known is null."""
    from gan3d.scaling.draws import interval

    calibration = found.calibration
    quantities = ("fixed_seconds", "seconds_per_shower", "lone_ratio", "spread", "communication_seconds")
    return {
        "study": name,
        "kind": found.kind,
        "batch_per_worker": found.work.batch_per_worker,
        "global_batch": found.work.global_batch,
        "updates": found.work.updates,
        "hidden_behind": found.work.hidden_behind,
        "algorithm": asked.algorithm,
        "workers_per_node": asked.workers_per_node,
        "wire": None if found.cluster.wire is None else _fabric_document(found.cluster.wire),
        "software": None if found.cluster.software is None else _fabric_document(found.cluster.software),
        "calibration": {quantity: _known(interval(getattr(calibration, quantity))) for quantity in quantities}
        | {"blocks": calibration.blocks, "batches": calibration.batches, "teams": [calibration.team, calibration.largest_team]},
        "curve": json.loads(found.curve.to_json(orient="records", double_precision=15)),
        "largest_teams": [
            {"efficiency": level, **_known(estimate), "looked_up_to": largest_looked_at(found)} for level, estimate in found.largest.items()
        ],
        "assumed": found.assumed,
    }


def _fabric_document(fabric: Fabric) -> dict[str, Any]:
    known = {name: _known(getattr(fabric, name)) for name in ("latency_seconds", "bytes_per_second")}
    return asdict(fabric) | known


def _known(estimate: Estimate) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in estimate._asdict().items()}
