"""Generated showers into a file: in parts by any number of processes, each part kept when it is done, joined when all are.

A part is a shower file of its own in a folder beside the output, ``.NAME.parts``. What was asked stands in that folder as well: asked
for the same again, only the parts that are missing are made; asked for something else, the folder is refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import torch

from gan3d.data.shower_file import open_shower_file
from gan3d.data.shower_writer import METADATA_BYTES, ShowerWriter
from gan3d.errors import ConfigError, DataError, no_room_in
from gan3d.generation.conditions import Conditions
from gan3d.generation.executors import Executor, processes
from gan3d.generation.generator import CHUNK, Generator, files_of
from gan3d.writing import take_room, write_atomically, write_text

#: Chunks to a part: what is lost, at most, with a process that dies, and what is waited for behind Ctrl-C.
CHUNKS_PER_PART = 2
SHOWERS_PER_PART = CHUNK * CHUNKS_PER_PART
REQUEST = "request.json"
GO_ON = "The parts that are done are kept: the same command goes on from them."


@dataclass(frozen=True, slots=True)
class Production:
    """What is made."""

    model: Path
    """A trial's folder, a state of it, or an exported file."""
    conditions: Conditions
    seed: int
    device: str = "cpu"
    """Of `Generator.load`."""

    @property
    def num_parts(self) -> int:
        """Of the last one the rest."""
        return -(-self.conditions.num_showers // SHOWERS_PER_PART)

    def size_of_part(self, number: int) -> int:
        """Showers of a part."""
        return min(SHOWERS_PER_PART, self.conditions.num_showers - number * SHOWERS_PER_PART)

    def digest(self, model_sha256: str) -> str:
        """Of all that decides what the showers are: the model's bytes, the seed, the device (its last digits), every energy and angle."""
        found = hashlib.sha256(model_sha256.encode())
        found.update(json.dumps([self.seed, self.conditions.num_showers, CHUNK, self.device]).encode())
        for number in range(-(-self.conditions.num_showers // CHUNK)):
            for values in self.conditions.of_chunk(number):
                found.update(b"none" if values is None else values.tobytes())
        return found.hexdigest()


def produce(
    asked: Production,
    output: Path,
    *,
    executor: Executor | None = None,
    is_fresh: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write ``output``, which appears when all showers are there; returns how many of them an earlier run had made.

    Args:
        asked: what.
        output: HDF5 file in the layout of ``gan3d.data.shower_writer``; an existing one is replaced.
        executor: who makes the parts; by default this process, one after the other.
        is_fresh: throw away what another run has left.
        progress: called with the numbers of showers as they are done, those of an earlier run at once.

    Raises:
        ConfigError: angles do not fit the generator, or another request's parts lie there.
        DataError: the model cannot be read or changes meanwhile, or nothing can be written.
        OSError: the disk is full; parts that were done are kept.
    """
    generator = Generator.load(asked.model, device=asked.device)
    for number in range(-(-asked.conditions.num_showers // CHUNK)):
        generator.conditions(*asked.conditions.of_chunk(number))
    # Tasks of a cluster run in folders of their own.
    output, asked = output.absolute(), replace(asked, model=asked.model.absolute())
    folder, model_sha256 = parts_folder(output), sha256_of(asked.model)
    digest = asked.digest(model_sha256)
    _claim(folder, digest, is_fresh=is_fresh)
    missing = [number for number in range(asked.num_parts) if not _is_whole(part_file(folder, number), asked.size_of_part(number))]
    made_before = asked.conditions.num_showers - sum(map(asked.size_of_part, missing))
    tell = progress or (lambda _: None)
    tell(made_before)
    for number in (executor or processes(1))(PartMaker(asked, folder, model_sha256), missing):
        tell(asked.size_of_part(number))
    _join([part_file(folder, number) for number in range(asked.num_parts)], output)
    shutil.rmtree(folder)
    return made_before


def parts_folder(output: Path) -> Path:
    """Where the parts of an unfinished output lie."""
    return output.with_name(f".{output.name}.parts")


def part_file(folder: Path, number: int) -> Path:
    """One of them."""
    return folder / f"{number:06d}.h5"


def _is_whole(part: Path, num_showers: int) -> bool:
    """Whether a part is there and can be read; one that a machine's crash has damaged is made anew."""
    try:
        return part.exists() and open_shower_file(part).num_showers == num_showers
    except DataError:
        return False


def _claim(folder: Path, digest: str, *, is_fresh: bool) -> None:
    """Make the folder, or see that what lies there belongs to the same request; one that has made no part is in nobody's way."""
    if is_fresh and folder.exists():
        shutil.rmtree(folder)
    request = folder / REQUEST
    has_parts = any(folder.glob("*.h5"))
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not request.exists() or not has_parts:
            write_atomically(request, lambda file: write_text(file, json.dumps({"digest": digest})))
    if json.loads(request.read_text(encoding="utf-8"))["digest"] != digest:
        message = (
            "parts of other showers lie here: of another model, seed or number, or of other energies. Give --fresh to throw them away, "
            "or another output."
        )
        raise ConfigError(message, where=str(folder))


@dataclass(frozen=True, slots=True)
class PartMaker:
    """Makes parts by their numbers, in any process that sees the folder."""

    asked: Production
    folder: Path
    model_sha256: str
    """Of the model when the request was made; its trial may train on meanwhile, and processes load it when they start."""

    def __call__(self, number: int) -> int:
        """Write one part, which appears when it is complete; returns its number.

        Raises:
            DataError: it cannot be written, or the model is not what it was.
            OSError: the disk is full.
        """
        # How sums are split over threads is in their last digits: with one thread every process makes the same.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with _writing(part_file(self.folder, number), f". {GO_ON}"):
                self._write(_loaded(self.asked.model, self.model_sha256, self.asked.device), number)
        finally:
            torch.set_num_threads(threads)
        return number

    def _write(self, generator: Generator, number: int) -> None:
        asked, conditions = self.asked, self.asked.conditions
        path = part_file(self.folder, number)
        with ShowerWriter(path, generator.grid, is_polar=generator.is_polar, has_polar_angle=conditions.has_polar_angle) as writer:
            writer.note(**_origin(generator, asked.seed))
            first = number * CHUNKS_PER_PART
            for chunk in range(first, first + -(-asked.size_of_part(number) // CHUNK)):
                energy, angle = conditions.of_chunk(chunk)
                cells = generator.chunk(energy, angle, seed=asked.seed, number=chunk)
                writer.append(cells, energy, angle)


@lru_cache(maxsize=1)
def _loaded(model: Path, sha256: str, device: str) -> Generator:
    """Once for a process and a model.

    Raises:
        DataError: the model has other bytes now: one file would hold showers of two generators.
    """
    # What was loaded is what was asked for only if it is still there behind that, for it is read twice.
    found = Generator.load(model, threads=1, device=device) if sha256_of(model) == sha256 else None
    if found is None or sha256_of(model) != sha256:
        message = (
            "the model has changed since its first showers were made: its trial trains on, or the file was written anew. No file was made. "
            "Wait for the trial's end, or generate from a copy of best.pt or an exported file; then give --fresh, or another output."
        )
        raise DataError(message, file=str(model))
    return found


def sha256_of(model: Path) -> str:
    """Of the files that decide what a generator makes; of one that is gone, of nothing.

    Raises:
        ConfigError: it is no generator.
    """
    found = hashlib.sha256()
    for file in files_of(model):
        with suppress(FileNotFoundError):
            found.update(file.read_bytes())
    return found.hexdigest()


def _origin(generator: Generator, seed: int) -> dict[str, str | int]:
    """What a file tells of where its showers come from."""
    return {"made_by": "gan3d generate", "epoch": generator.card.epoch, "settings": generator.card.study_settings, "seed": seed}


@contextmanager
def _writing(path: Path, way_out: str = "") -> Iterator[None]:
    """What goes wrong in the block is told of ``path``. A full disk stays an error of the system's, for the request is not wrong.

    Other processes raise it as well, and on its way from there an error loses what it was raised from.
    """
    try:
        yield
    except OSError as problem:
        if (full := no_room_in(problem)) is not None:
            raise OSError(full.errno, full.strerror, str(path)) from problem
        message = f"cannot be written: {problem}{way_out}"
        raise DataError(message, file=str(path)) from problem


def _join(parts: list[Path], output: Path) -> None:
    """One file of all; packed cells are copied as they are."""

    def write(partial: Path) -> None:
        shutil.copyfile(parts[0], partial)
        with partial.open("rb+") as file:
            # HDF5 does not survive a full disk (`ShowerWriter`). It sees the longer file, and cuts it when it closes it.
            take_room(file.fileno(), 0, sum(path.stat().st_size for path in parts) + METADATA_BYTES)
        with h5py.File(partial, "r+") as whole:
            for path in parts[1:]:
                with h5py.File(path, "r") as part:
                    for name in part:
                        _extend(whole[name], part[name])

    with _writing(output, f". {GO_ON}"):
        write_atomically(output, write)


def _extend(whole: Any, part: Any) -> None:
    """Append the rows of a data set; by the stored chunk where these do not have to be split."""
    first, rows = len(whole), len(part)
    whole.resize(first + rows, axis=0)
    size = whole.chunks[0]
    if first % size:
        whole[first:] = part[:]
        return
    for start in range(0, rows, size):
        corner = (start, *(0,) * (part.ndim - 1))
        filters, packed = part.id.read_direct_chunk(corner)
        whole.id.write_direct_chunk((first + start, *corner[1:]), packed, filters)
