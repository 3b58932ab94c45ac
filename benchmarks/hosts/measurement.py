"""What the network costs a training step: trainings on two hosts, the link between them changed from epoch to epoch, in turn."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from benchmarks.hosts.ranks import RanksOnHosts
from benchmarks.hosts.testbed import BARE, Link, TestBed
from benchmarks.hosts.training import begin, compute_alike, train_epoch

#: Bare; far away; of little rate (a step's gradients take 0.3 s); both.
LINKS = (BARE, Link(2e-3), Link(bits_per_second=200e6), Link(2e-3, 200e6))
#: By showers per step on each worker: steps of an epoch, and of a quick one. As many showers each, so that what an epoch takes beside its
#: steps (files, look-ahead) is the same per shower. Many, for the clock counts what ranks say to each other at an epoch's end as well.
STEPS, QUICK_STEPS = {8: 12, 32: 3}, {8: 4, 32: 1}
#: Instead of a link: ranks train side by side without each other.
ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Measured:
    """One epoch of all ranks on a link, or `ALONE`."""

    link: str
    batch: int
    """Showers per step on each worker."""
    round: int
    step_seconds: tuple[float, ...]
    """Of the slower rank, step by step."""
    timings: tuple[dict[str, float], ...]
    """Of the epoch's record: one for ranks that train together, one of each rank that trains alone."""
    sent_bytes: float
    """By one host, per step; headers, acknowledgements and the end of the epoch included."""
    resent_segments: int
    """By both hosts."""


def measured(bed: TestBed, ranks: RanksOnHosts, rounds: int, steps: Mapping[int, int], seed: int = 1) -> Iterator[Measured]:
    """Epochs of every batch, on every link and alone, in an order that differs from round to round.

    Args:
        bed: Its hosts hold the ranks; the link is bare afterwards.
        ranks: Two.
        rounds: Epochs of each kind.
        steps: Of an epoch, by showers per step on each worker.
        seed: Of the orders.
    """
    for batch, number in steps.items():
        for together in (True, False):
            ranks.call(begin, together, batch, number)
            ranks.call(train_epoch, together, batch)  # the ways of its convolutions are chosen, its memory is got
        ranks.call(compute_alike, batch)
        ranks.call(train_epoch, False, batch)  # and got for these ways
    order = random.Random(seed)
    for number in range(rounds):
        kinds: list[tuple[int, Link | None]] = [(batch, link) for batch in steps for link in (*LINKS, None)]
        order.shuffle(kinds)
        for batch, link in kinds:
            yield one_epoch(bed, ranks, link, batch, number)
    bed.shape(BARE)


def one_epoch(bed: TestBed, ranks: RanksOnHosts, link: Link | None, batch: int, number: int) -> Measured:
    """On the link, or alone, in round ``number``."""
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


def of(epochs: Sequence[Measured], *links: str, batch: int) -> list[Measured]:
    """Those of some links and a batch, in the order in which they were measured."""
    return [epoch for epoch in epochs if epoch.link in links and epoch.batch == batch]


def frame(epochs: Sequence[Measured]) -> pd.DataFrame:
    """One row per epoch, with the columns of `gan3d.tracking.frames.epochs` that curves and a calibration need.

    Rounds are blocks. Ranks that train alone, each with the other beside it, make one row: the mean of the two.
    """
    rows: list[dict[str, object]] = []
    for place, epoch in enumerate(epochs):
        size = int(epoch.timings[0]["world_size"])
        rows.append(
            {
                "trial": place,
                "epoch": 2,  # the first is before anything is measured
                "state": "complete",
                "world_size": size,
                "batch_per_worker": epoch.batch,
                "global_batch": size * epoch.batch,
                "training.seed": epoch.round,
                **{f"timing.{name}": fmean(timing[name] for timing in epoch.timings) for name in epoch.timings[0]},
                "timing.epochs_since_start": 2.0,
            }
        )
    return pd.DataFrame(rows)
