"""What the network costs a training step: trainings on two hosts, the link between them changed from epoch to epoch, in turn."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from benchmarks.hosts.ranks import RanksOnHosts
from benchmarks.hosts.testbed import BARE, Link, TestBed
from benchmarks.hosts.training import begin, train_epoch

#: Bare; far away; of little rate (a step's gradients take 0.3 s); both.
LINKS = (BARE, Link(2e-3), Link(bits_per_second=200e6), Link(2e-3, 200e6))
#: Showers per step on each worker, and steps to an epoch: about as long for each.
STEPS = {8: 4, 32: 1}
#: Instead of a link: ranks train side by side without each other.
ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Measured:
    """One epoch of all ranks on a link, or `ALONE`."""

    link: str
    batch: int
    round: int
    step_seconds: tuple[float, ...]
    """Of the slower rank, step by step."""
    timings: tuple[dict[str, float], ...]
    """Of the epoch: one for ranks that train together, one of each rank that trains alone."""
    sent_bytes: float
    """By one host, per step."""
    resent_segments: int
    """By both hosts."""

    @property
    def seconds(self) -> float:
        """Of a step; mean over the epoch's."""
        return fmean(self.step_seconds)

    def phase_seconds(self, *phases: str) -> float:
        """Of a step, in these phases together; mean over ranks and steps."""
        sums = [sum(timing[f"{phase}_seconds_mean"] for phase in phases) for timing in self.timings]
        return fmean(sums) / len(self.step_seconds)


def measured(bed: TestBed, ranks: RanksOnHosts, rounds: int, seed: int = 1) -> Iterator[Measured]:
    """Epochs of every batch, on every link and alone, in an order that differs from round to round."""
    for batch, steps in STEPS.items():
        for together in (True, False):
            ranks.call(begin, together, batch, steps)
            ranks.call(train_epoch, together, batch)  # the ways of its convolutions are chosen, its memory is got
    order = random.Random(seed)
    for number in range(rounds):
        for batch in STEPS:
            links: list[Link | None] = [*LINKS, None]
            order.shuffle(links)
            for link in links:
                yield one_epoch(bed, ranks, link, batch, number)
    bed.shape(BARE)


def one_epoch(bed: TestBed, ranks: RanksOnHosts, link: Link | None, batch: int, number: int) -> Measured:
    """On the link, or alone."""
    bed.shape(link or BARE)
    before = [host.traffic() for host in bed.hosts]
    epochs = ranks.call(train_epoch, link is not None, batch)
    traffic = [host.traffic() - earlier for host, earlier in zip(bed.hosts, before, strict=True)]
    steps = tuple(max(times) for times in zip(*(epoch.step_seconds for epoch in epochs), strict=True))
    return Measured(
        link=ALONE if link is None else str(link),
        batch=batch,
        round=number,
        step_seconds=steps,
        timings=tuple(epoch.timing for epoch in (epochs if link is None else epochs[:1])),
        sent_bytes=fmean(each.sent_bytes for each in traffic) / len(steps),
        resent_segments=sum(each.resent_segments for each in traffic),
    )


def of(epochs: Sequence[Measured], link: str, batch: int) -> list[Measured]:
    """Those of a link and a batch, round by round."""
    return sorted((epoch for epoch in epochs if (epoch.link, epoch.batch) == (link, batch)), key=lambda epoch: epoch.round)


def frame(epochs: Sequence[Measured]) -> pd.DataFrame:
    """One row per training and round, with the columns of `gan3d.tracking.frames.epochs` that a calibration needs; rounds are blocks."""
    rows: list[dict[str, object]] = []
    for epoch in epochs:
        for timing in epoch.timings:
            size = int(timing["world_size"])
            rows.append(
                {
                    "trial": len(rows),
                    "epoch": 2,  # the first is before anything is measured
                    "state": "complete",
                    "world_size": size,
                    "batch_per_worker": epoch.batch,
                    "global_batch": size * epoch.batch,
                    "training.seed": epoch.round,
                    "block": epoch.round,
                    **{f"timing.{name}": value for name, value in timing.items()},
                    "timing.epochs_since_start": 2.0,
                }
            )
    return pd.DataFrame(rows)
