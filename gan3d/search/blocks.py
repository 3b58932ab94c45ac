"""The order of a grid's trials: as written, or block by block, shuffled within each.

A machine drifts: it warms up, others come and go, a disk fills. Timings that are compared stand in one block, near each other in time,
and in an order that differs from block to block, so that drift is common to a block or averages out (a randomised complete block
design: Fisher, The Design of Experiments, 1935). The reader pairs by block: ``gan3d.scaling.speedup``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gan3d.config.study import Study


def ordered_grid(study: Study) -> Iterator[dict[str, Any]]:
    """Every sample of a finite space in the order it is to be trained; the same on every call.

    With `sampler.blocks` the blocks come in the order of that key's values. No block has the order of the one before: with two
    samples to a block they alternate.
    """
    key = study.sampler.blocks
    if key is None:
        yield from study.grid
        return
    blocks: dict[Any, list[dict[str, Any]]] = {}
    for sample in study.grid:
        blocks.setdefault(sample[key], []).append(sample)
    random = np.random.default_rng(study.sampler.seed)
    before: list[int] = []
    for samples in blocks.values():
        before = another_order(len(samples), before, random)
        yield from (samples[place] for place in before)


def another_order(length: int, before: list[int], random: np.random.Generator) -> list[int]:
    """A random order of so many places; not ``before``, where there is another."""
    while True:
        order = [int(place) for place in random.permutation(length)]
        if order != before or length < 2:
            return order
