"""A weak-scaling study on a Ray cluster of several hosts: over the bare link, and over a slow one, which the first is to predict.

The driver and Ray's head are on a host of their own, the two workers on one each; nothing but the link differs between the studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.hosts.cluster import RayCluster, ray_on
from benchmarks.hosts.fabrics import QUICK_ROUNDS, ROUNDS, measured_fabrics, wire_as_made, wire_beyond
from benchmarks.hosts.forecast import LINK_AS_MADE, MEASURED_LINK
from benchmarks.hosts.ranks import ranks_on
from benchmarks.hosts.testbed import BARE, Link, TestBed
from gan3d.cli.step_work import step_work
from gan3d.config.load import load_study
from gan3d.scaling.calibration import calibrate, step_seconds
from gan3d.scaling.fabrics import Fabric
from gan3d.scaling.prediction import Cluster, Work, predict
from gan3d.scaling.speedup import scaling_table
from gan3d.tracking.frames import epochs
from gan3d.tracking.store import default_tracking_uri

STUDY = Path(__file__).with_name("slow_link.yaml")
SLOW = Link(2e-3, 200e6)
#: One for the driver, one for each worker.
HOSTS = 3
#: Of the study's trials.
WORLD_SIZES = (1, 2)
#: A study that takes longer has failed [s].
MOST_SECONDS = 1200.0
#: Less work: two blocks, two epochs of two steps.
QUICK = (
    "search_space={workers.per_trial: {choice: [1, 2]}, training.seed: {choice: [1, 2]}}",
    "training.epochs=2",
    "training.max_steps_per_epoch=2",
)


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """Both studies, and what the first says of the second."""

    curves: dict[str, pd.DataFrame]
    """By link: the rows of `gan3d.scaling.speedup.scaling_table` over training time, one per world size."""
    steps: dict[str, pd.DataFrame]
    """By link: one row per trial, as `gan3d.scaling.calibration.step_seconds` returns."""
    predictions: dict[str, pd.DataFrame]
    """Of the slow link, by where the prediction has it from: as `gan3d.scaling.prediction.predict` returns."""
    fabrics: dict[str, Fabric]
    """By link, as its all-reduces say."""
    places: list[tuple[str, str]]
    """Node id and address of each worker."""


def run_studies(*, quick: bool) -> StudyOutcome:
    """Both, on a cluster of their own.

    Raises:
        OSError: hosts or Ray do not start, or a study failed; its last words are in the message.
        TimeoutExpired: a study took longer than `MOST_SECONDS`.
    """
    with TestBed(HOSTS) as bed:
        with ranks_on(bed.hosts[1:]) as ranks:
            fabrics = measured_fabrics(bed, ranks, (BARE, SLOW), QUICK_ROUNDS if quick else ROUNDS)
        with ray_on(bed) as cluster:
            frames = {str(link): run_study(bed, cluster, link, quick=quick) for link in (BARE, SLOW)}
            places = cluster.worker_places()
    curves = {link: scaling_table(frame).query("rate == 'training'") for link, frame in frames.items()}
    steps = {link: step_seconds(frame) for link, frame in frames.items()}
    study = load_study(STUDY).study
    settings = study.trial_settings({"workers.per_trial": max(WORLD_SIZES)})
    work = step_work(settings, batch_per_worker=settings.batch_per_worker)
    return StudyOutcome(curves, steps, predictions(steps[str(BARE)], fabrics, work), fabrics, places)


def run_study(bed: TestBed, cluster: RayCluster, link: Link, *, quick: bool) -> pd.DataFrame:
    """One row per epoch of the study over this link."""
    bed.shape(link)
    results = bed.folder / f"results-{link.delay_seconds:g}-{link.bits_per_second or 0:g}"
    less = [word for field in QUICK for word in ("--set", field)] if quick else []
    words = ["run", str(STUDY), "--address", cluster.address, "--results", str(results), "--json", *less]
    done = cluster.gan3d(*words, seconds=MOST_SECONDS)
    if done.returncode:
        message = f"the study over the link {link} failed: {done.stdout[-1000:]}{done.stderr[-3000:]}"
        raise OSError(message)
    return epochs(default_tracking_uri(results), load_study(STUDY).study.name)


def predictions(bare_steps: pd.DataFrame, fabrics: dict[str, Fabric], work: Work) -> dict[str, pd.DataFrame]:
    """What the study over the bare link says of the one over the slow link, for one worker and for two."""
    calibration = calibrate(bare_steps)
    bare = fabrics[str(BARE)]
    wires = {MEASURED_LINK: wire_beyond(bare, fabrics[str(SLOW)]), LINK_AS_MADE: wire_as_made(SLOW)}
    return {origin: predict(calibration, work, Cluster(bare, wire), WORLD_SIZES) for origin, wire in wires.items()}
