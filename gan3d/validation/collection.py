"""The showers that are judged: of one or several files of any origin, or of a generator, all in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan3d.data.layouts import GridShape
from gan3d.data.shower_file import ShowerFile, open_shower_file
from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.generation.generator import Generator

#: Showers to a block.
BLOCK = 100


def read_all(paths: Sequence[Path], most: int | None = None, crop_to: GridShape | None = None) -> Showers:
    """Showers of files of one grid, in their order, broken ones too; ``most`` of them, equally spaced, if there are more.

    With ``crop_to`` larger ones are cropped to it, in their middle.

    Raises:
        DataError: a file cannot be read, or has another grid than the first, or cannot be cropped.
    """
    files = _of_one_grid(paths, crop_to)
    total = sum(file.num_showers for file in files)
    wanted = np.arange(total) if most is None or most >= total else np.linspace(0, total - 1, most).astype(np.int64)
    return in_a_row(list(_chosen(files, wanted)))


def read_in_blocks(paths: Sequence[Path], crop_to: GridShape | None = None, like: GridShape | None = None) -> Iterator[Showers]:
    """The same, all of them, ``BLOCK`` at a time: never more are in memory. Files are opened and checked at once.

    Raises:
        DataError: as `read_all`, or another grid than ``like``; of damaged cells when their block's turn comes.
    """
    files = _of_one_grid(paths, crop_to)
    if like is not None and files[0].grid != like:
        message = f"its grid {files[0].grid} is not that of what is validated, {like}"
        raise DataError(message, file=str(files[0].path))
    return (file.read(start, stop) for file in files for start, stop in _ranges(file))


def _of_one_grid(paths: Sequence[Path], crop_to: GridShape | None) -> list[ShowerFile]:
    files = [open_shower_file(path) for path in paths]
    if crop_to is not None:
        files = [file if file.grid == crop_to else file.cropped(crop_to) for file in files]
    for file in files[1:]:
        if file.grid != files[0].grid:
            message = f"its grid {file.grid} is not that of {files[0].path}, {files[0].grid}"
            raise DataError(message, file=str(file.path))
    return files


def _ranges(file: ShowerFile) -> Iterator[tuple[int, int]]:
    return ((start, min(start + BLOCK, file.num_showers)) for start in range(0, file.num_showers, BLOCK))


def _chosen(files: Sequence[ShowerFile], wanted: NDArray[np.int64]) -> Iterator[Showers]:
    """Those at these places of all files' showers, which rise."""
    first = 0
    for file in files:
        for start, stop in _ranges(file):
            rows = wanted[(wanted >= first + start) & (wanted < first + stop)] - first - start
            if len(rows):
                yield file.read(start, stop).take(rows)
        first += file.num_showers


def generated_like(generator: Generator, reference: Showers, seed: int) -> Showers:
    """As many showers as the reference has, with its energies and angles."""
    angle = reference.polar_angle if generator.has_polar_angle else None
    cells = generator.sample(reference.incident_energy, angle, seed=seed)
    return Showers(cells, reference.incident_energy, reference.polar_angle, reference.identity)


class Halves(NamedTuple):
    """Places of as many showers each, none in both."""

    theirs: NDArray[np.int64]
    """What showers are held against."""
    others: NDArray[np.int64]
    """What is held against it too: the floor. A generator gets the energies of these, so that it is judged as they are."""


def halves(num_reference: int, num_judged: int, seed: int) -> Halves:
    """Of a reference in any order, sorted by energy for one: places are drawn by the seed, and the same whenever they are asked for."""
    order = np.random.default_rng(seed).permutation(num_reference)
    return Halves(order[:num_judged], order[num_judged : 2 * num_judged])


def blocks(showers: Showers) -> Iterator[Showers]:
    """Some at a time."""
    for start in range(0, len(showers), BLOCK):
        yield showers.take(slice(start, start + BLOCK))


def in_a_row(parts: Sequence[Showers]) -> Showers:
    """One set, numbered anew."""
    angles: list[NDArray[np.float32]] = [part.polar_angle for part in parts if part.polar_angle is not None]
    energy = np.concatenate([part.incident_energy for part in parts])
    return Showers(
        np.concatenate([part.cells for part in parts]),
        energy,
        np.concatenate(angles) if len(angles) == len(parts) else None,
        np.arange(len(energy), dtype=np.int64),
    )
