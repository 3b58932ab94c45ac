"""The cost model put to the test: calibrated on one batch and a bare link, it predicts the other batch and the other links.

Nothing of what is predicted was measured for the prediction but the link itself, by all-reduces between the hosts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchmarks.hosts.fabrics import wire_as_made, wire_beyond
from benchmarks.hosts.measurement import ALONE, LINKS, Measured, frame, of
from benchmarks.hosts.testbed import BARE
from gan3d.scaling.calibration import Calibration, calibrate, step_seconds
from gan3d.scaling.draws import Estimate, geometric_mean
from gan3d.scaling.fabrics import Fabric
from gan3d.scaling.fits import fits_table
from gan3d.scaling.prediction import Cluster, Work, predict
from gan3d.scaling.speedup import throughput

#: The batch per worker that the model is calibrated on.
CALIBRATED_BATCH = 8
HOSTS = 2
#: Where a prediction has its link from.
MEASURED_LINK, LINK_AS_MADE = "predicted", "predicted, link as made"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a step on a link at a batch: as measured, or as predicted."""

    link: str
    batch: int
    origin: str
    """`measured`, `MEASURED_LINK` or `LINK_AS_MADE`."""
    is_calibrated: bool
    """Whether the model was calibrated on just this."""
    step_seconds: Estimate
    communication_seconds: Estimate
    efficiency: Estimate
    """Of two workers against one beside the other without each other; NaN for these."""


def calibration_of(epochs: Sequence[Measured]) -> Calibration:
    """From what was measured on the bare link and alone, at the calibrated batch."""
    return calibrate(step_seconds(frame(of(epochs, str(BARE), ALONE, batch=CALIBRATED_BATCH))))


def figures(epochs: Sequence[Measured], fabrics: Mapping[str, Fabric], work: Work) -> list[Figures]:
    """Measurement and predictions of every batch and link, one under the other.

    Args:
        epochs: Rounds of all of them.
        fabrics: Of the links, by their names, as their all-reduces say.
        work: Of a step.
    """
    calibration = calibration_of(epochs)
    found = []
    for batch in sorted({epoch.batch for epoch in epochs}):
        alone = _measured(epochs, ALONE, batch)
        found += [alone, _lone_prediction(calibration, fabrics[str(BARE)], work, alone)]
        for link in LINKS:
            wires: dict[str, Fabric | None] = {MEASURED_LINK: None}
            if link != BARE:
                wires = {MEASURED_LINK: wire_beyond(fabrics[str(BARE)], fabrics[str(link)]), LINK_AS_MADE: wire_as_made(link)}
            measured = _measured(epochs, str(link), batch)
            clusters = {origin: Cluster(fabrics[str(BARE)], wire) for origin, wire in wires.items()}
            found += [measured, *(_prediction(calibration, cluster, work, measured, origin) for origin, cluster in clusters.items())]
    return found


def _measured(epochs: Sequence[Measured], link: str, batch: int) -> Figures:
    """Geometric means over rounds, with t-intervals; the efficiency is paired by round."""
    steps = _by_round(epochs, link, batch)
    efficiency = _by_round(epochs, ALONE, batch)["step"] / steps["step"]
    is_alone = link == ALONE
    nothing = Estimate(*[float("nan")] * 3)
    return Figures(
        link,
        batch,
        "measured",
        batch == CALIBRATED_BATCH and link in {ALONE, str(BARE)},
        _estimate(steps["step"]),
        nothing if is_alone else _estimate(steps["communication"]),
        nothing if is_alone else _estimate(efficiency),
    )


def _by_round(epochs: Sequence[Measured], link: str, batch: int) -> pd.DataFrame:
    return step_seconds(frame(of(epochs, link, batch=batch))).set_index("block")


def _estimate(values: pd.Series) -> Estimate:
    return geometric_mean(np.log(values.to_numpy(float)))


def _prediction(calibration: Calibration, cluster: Cluster, work: Work, measured: Figures, origin: str) -> Figures:
    row = predict(calibration, replace(work, batch_per_worker=measured.batch), cluster, [HOSTS]).iloc[0]
    estimates = [Estimate(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))) for name in ("step_seconds", "efficiency")]
    communication = Estimate(float(row["communication_seconds"]), float("nan"), float("nan"))
    return Figures(measured.link, measured.batch, origin, measured.is_calibrated, estimates[0], communication, estimates[1])


def _lone_prediction(calibration: Calibration, bare: Fabric, work: Work, measured: Figures) -> Figures:
    row = predict(calibration, replace(work, batch_per_worker=measured.batch), Cluster(bare, None), [1]).iloc[0]
    step = Estimate(*(float(row[f"step_seconds{end}"]) for end in ("", "_low", "_high")))
    return Figures(ALONE, measured.batch, MEASURED_LINK, measured.is_calibrated, step, *[measured.efficiency] * 2)


def error_percent(predicted: Estimate, measured: Estimate) -> float:
    """Of a prediction, of the measured value."""
    return 100 * (predicted.value / measured.value - 1)


def undetermined(epochs: Sequence[Measured], work: Work) -> list[str]:
    """What two hosts cannot tell, in sentences."""
    rates = throughput(frame(of(epochs, str(BARE), ALONE, batch=CALIBRATED_BATCH)))
    table = fits_table({"weak": rates})
    laws = [f"the {law} law of weak scaling is {why}" for law, why in zip(table["law"], table["undetermined"], strict=True) if why]
    sentences = [
        "a ring of two and a tree of two send as many messages, so these hosts do not tell the algorithm, nor how its time grows with them",
        "the wait for the slowest of two tells the spread of ranks, not the tail that a large team waits for",
        "one pair of hosts shares its switch with nobody, so congestion is not seen",
    ]
    if all(len(buckets) == 1 for buckets in work.updates):
        sentences.append("each update has one gradient bucket, so hiding behind the rest of its own backward pass is not tested")
    return laws + sentences


def ring_bytes(work: Work, world_size: int = HOSTS) -> float:
    """What a rank sends per step in ring all-reduces of these buckets."""
    return 2 * (world_size - 1) / world_size * sum(sum(buckets) for buckets in work.updates)
