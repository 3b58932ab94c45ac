"""The cost model against the field's own scaling curves: python -m benchmarks.published_scaling [--json] [--write].

Fitted to the published step times of up to 16 GPUs, it predicts 32, 64 and 128; and, on one node, from 1, 2 and 4 GPUs it predicts 8. Laws
of scaling (`gan3d.scaling.laws`) fitted to the same times predict the same. Nothing is measured here: numbers are the same anywhere.

Sources, read where they are published:
    cloud      github.com/recardoso/ISC_HPC_3DGAN, kubeflow/results/tfjobs_runs_reduced.csv, V100 with prefetch; the data of
               Cardoso et al., EPJ Web Conf. 251 (2021) 02073, arXiv:2111.04628
    one node   github.com/CERN-IT-INNOVATION/3DGAN, branch GPU_tests, V100_tests.ipynb, "Average per batch"
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gan3d.scaling.calibration import Calibration, calibrate_series
from gan3d.scaling.draws import Estimate, interval
from gan3d.scaling.fabrics import Fabric
from gan3d.scaling.laws import Law, fit_law
from gan3d.scaling.prediction import Cluster, Work, communication_seconds, predict

PAGE = Path(__file__).resolve().parent / "published_scaling.md"
#: What is between these lines of the page is written by this program.
BEGIN, END = "<!-- table: written by python -m benchmarks.published_scaling --write -->", "<!-- end of table -->"

#: Showers that the cloud runs trained on; an epoch drops what does not fill a global batch (kubeflow/ganV2_preprocess.py).
CLOUD_SHOWERS = 124_987
#: Trainable weights of their networks for 51 x 51 x 25 cells, counted layer by layer in kubeflow/ganV2_preprocess.py.
GENERATOR_WEIGHTS, DISCRIMINATOR_WEIGHTS = 1_364_983, 87_354
FLOAT_BYTES = 4
#: A step reduces the gradients of two discriminator updates and of two generator updates; assumed: each in one bucket.
UPDATES = ((FLOAT_BYTES * DISCRIMINATOR_WEIGHTS,),) * 2 + ((FLOAT_BYTES * GENERATOR_WEIGHTS,),) * 2
#: Assumed, for nothing was published: between virtual machines of a cloud, 32 Gb/s at best and 10 at worst, 25 to 150 us for a message.
CLOUD = Fabric(
    "cloud Ethernet", Estimate(50e-6, 25e-6, 150e-6), Estimate(2.5e9, 1.2e9, 3.8e9), "declared", "assumed: 10 to 32 Gb/s between VMs", True
)
#: Assumed: NVLink or PCIe within a node.
IN_A_NODE = Fabric("one node", Estimate(10e-6, 5e-6, 30e-6), Estimate(20e9, 8e9, 120e9), "declared", "assumed: PCIe to NVLink")
#: Laws that are fitted beside; Gustafson's is of weak scaling, as the series are, and linear.
LAWS: tuple[Law, ...] = ("amdahl", "gustafson", "universal")


@dataclass(frozen=True, slots=True)
class Series:
    """A published curve: one run at each world size, the batch per worker fixed."""

    name: str
    batch: int
    step_seconds: tuple[tuple[int, float], ...]
    """By world size."""
    largest_fitted: int
    fabric: Fabric
    workers_per_node: int

    @property
    def fitted(self) -> pd.DataFrame:
        """What models see: ``world_size`` and ``step``."""
        seen = [(size, seconds) for size, seconds in self.step_seconds if size <= self.largest_fitted]
        return pd.DataFrame(seen, columns=["world_size", "step"])

    @property
    def held_back(self) -> tuple[tuple[int, float], ...]:
        """What is predicted."""
        return tuple((size, seconds) for size, seconds in self.step_seconds if size > self.largest_fitted)

    @property
    def world_sizes(self) -> list[int]:
        """Once each, ascending."""
        return sorted({size for size, _ in self.step_seconds})


def steps_of_epoch(global_batch: int, showers: int = CLOUD_SHOWERS) -> int:
    """Steps that were really made: the remainder is dropped."""
    return showers // global_batch


def cloud_step_seconds(world_size: int, epoch_seconds: float, batch: int = 96) -> float:
    """Of a step, from the training time of an epoch."""
    return epoch_seconds / steps_of_epoch(world_size * batch)


#: Mean training seconds of an epoch without the first, by GPUs: `average_train_time` of gpu-v100, prefetch yes, batch 96. Up to 16 GPUs
#: were on two machines, and then 8 on each.
CLOUD_EPOCHS = {2: 1784.42, 4: 900.49, 8: 456.62, 16: 229.66, 32: 115.02, 64: 59.35, 128: 34.9}
SERIES = (
    Series("cloud", 96, tuple((size, cloud_step_seconds(size, seconds)) for size, seconds in CLOUD_EPOCHS.items()), 16, CLOUD, 1),
    Series("one node", 64, ((1, 1.6415), (2, 1.6638), (4, 1.6970), (8, 1.7351)), 4, IN_A_NODE, 8),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One world size of a series in one model."""

    series: str
    model: str
    world_size: int
    is_fitted: bool
    measured_seconds: float
    """Of a step."""
    predicted_seconds: Estimate
    error_percent: Estimate
    """Of the step time, predicted over measured; NaN ends where the model gives no interval."""
    measured_efficiency: float
    """Against the smallest world size of the series."""
    predicted_efficiency: Estimate


def calibrated(series: Series) -> Calibration:
    """Computing and spread, from the fitted world sizes alone."""
    sizes = series.fitted["world_size"].tolist()
    return calibrate_series(series.fitted, communication_seconds(work_of(series), cluster_of(series), sizes), series.batch)


def work_of(series: Series) -> Work:
    """Of a step."""
    return Work(UPDATES, batch_per_worker=series.batch)


def cluster_of(series: Series) -> Cluster:
    """Where it was trained: one ring through all GPUs, as if each had the slow link."""
    return Cluster(None, series.fabric, series.workers_per_node)


def lines_of(series: Series) -> Iterator[Line]:
    """The cost model's lines, then each law's; world sizes ascending."""
    curve = predict(calibrated(series), work_of(series), cluster_of(series), series.world_sizes).set_index("world_size")
    predicted = {size: Estimate(*(float(curve.loc[size, f"step_seconds{end}"]) for end in ("", "_low", "_high"))) for size in curve.index}
    yield from _lines(series, "cost model", predicted)
    for law in LAWS:
        rates = series.fitted.assign(block=0)
        rates["showers_per_second"] = series.batch * rates["world_size"] / rates["step"]
        fit = fit_law(rates, law)
        if not fit.undetermined:
            sizes = np.array(series.world_sizes, np.float64)
            steps = series.batch * sizes / fit.throughput(sizes)
            yield from _lines(series, law, {int(size): _without_interval(step) for size, step in zip(sizes, steps, strict=True)})


def _lines(series: Series, model: str, predicted: dict[int, Estimate]) -> Iterator[Line]:
    base, base_seconds = series.step_seconds[0]
    for size, measured in series.step_seconds:
        step = predicted[size]
        errors = Estimate(*(100 * (seconds / measured - 1) for seconds in step))
        first = predicted[base].value
        efficiency = Estimate(first / step.value, first / step.high, first / step.low)
        yield Line(series.name, model, size, size <= series.largest_fitted, measured, step, errors, base_seconds / measured, efficiency)


def _without_interval(value: float) -> Estimate:
    return Estimate(float(value), math.nan, math.nan)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published_scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON, not tables")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.name}")
    asked = parser.parse_args(arguments)
    if asked.write:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), markdown()), encoding="utf-8")
    sys.stdout.write(f"{json.dumps(document(), indent=2)}\n" if asked.json else markdown())
    return 0


def document() -> dict[str, Any]:
    """All of it for a program."""
    return {
        series.name: {
            "batch_per_worker": series.batch,
            "largest_fitted": series.largest_fitted,
            "spread": _known(interval(calibrated(series).spread)),
            "assumed": {"fabric": asdict(series.fabric), "update_bytes": UPDATES, "notes": calibrated(series).notes},
            "lines": [
                {name: _known(value) if isinstance(value, tuple) else value for name, value in _fields(line).items()}
                for line in lines_of(series)
            ],
        }
        for series in SERIES
    }


def _fields(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__dataclass_fields__}


def _known(value: tuple[float, ...]) -> list[float | None]:
    return [None if math.isnan(one) else one for one in value]


def markdown() -> str:
    """A table of each series: a line for each world size, a column for each model."""
    return "\n".join(text for series in SERIES for text in _table(series))


def _table(series: Series) -> Iterator[str]:
    models: dict[str, list[Line]] = {}
    for line in lines_of(series):
        models.setdefault(line.model, []).append(line)
    spread = interval(calibrated(series).spread)
    yield f"### {series.name}, {series.batch} showers per GPU"
    yield ""
    yield (
        f"Fitted to up to {series.largest_fitted} GPUs; spread of ranks' times {100 * spread.value:.1f} % "
        f"({100 * spread.low:.1f}-{100 * spread.high:.1f})."
    )
    yield ""
    yield f"| GPUs | | measured [s/step] | efficiency [%] | {' | '.join(f'{model}: error [%]' for model in models)} |"
    yield f"| ---: | --- | ---: | ---: | {' | '.join('---:' for _ in models)} |"
    for row in zip(*models.values(), strict=True):
        first = row[0]
        errors = " | ".join(_error_text(line.error_percent) for line in row)
        used = "fitted" if first.is_fitted else "predicted"
        yield f"| {first.world_size} | {used} | {first.measured_seconds:.4f} | {100 * first.measured_efficiency:.1f} | {errors} |"
    yield ""


def _error_text(error: Estimate) -> str:
    return f"{error.value:+.1f}" if math.isnan(error.low) else f"{error.value:+.1f} ({error.low:+.1f} to {error.high:+.1f})"


def replaced(text: str, between: str) -> str:
    """The page with other tables in it."""
    head, _, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    assert end, f"{PAGE.name} has lost its markers"
    return f"{head}{BEGIN}\n\n{between}\n{END}{tail}"


if __name__ == "__main__":
    sys.exit(main())
