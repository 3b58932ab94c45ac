"""What is to be judged and what it is held against, from the names that users give: files, a trial's folder, an exported generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gan3d.data.layouts import GridShape
from gan3d.data.shower_file import by, open_shower_file
from gan3d.data.showers import Showers
from gan3d.errors import ConfigError, DataError
from gan3d.generation.formats.catalog import format_of
from gan3d.generation.generator import Generator
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.validation.collection import read_all
from gan3d.validation.detector import Detector
from gan3d.validation.seen import Seen, refuse_learnt, seen_by, warnings_of


@dataclass(frozen=True, slots=True)
class Loaded:
    """Monte Carlo, and a file's showers or who makes some like it."""

    reference: Showers
    origin: Showers | Generator
    warnings: tuple[str, ...]
    """What is to be known of the reference."""

    @property
    def crop_to(self) -> GridShape | None:
        """What larger showers are cropped to."""
        return _crop_of(self.origin) if isinstance(self.origin, Generator) else None


def load(what: Path, reference: Sequence[Path], training: Sequence[Path] = (), *, most: int, most_reference: int) -> Loaded:
    """Read the reference, cropped as a generator's trial cropped its own, and open what is held against it.

    Args:
        what: a file of showers, the folder of a trial, a state of it, or an exported generator.
        reference: files of Monte Carlo.
        training: files that the user says it was trained on.
        most: showers of a file, at most.
        most_reference: showers of the reference, at most.

    Raises:
        ConfigError: there is nothing of that name, or it was trained on the reference.
        DataError: a file cannot be read, or grids differ.
    """
    seen = seen_in(what)
    refuse_learnt(reference, seen, training)
    if is_of_trial(what) or format_of(what):
        generator = Generator.load(what)
        found = Loaded(read_all(reference, most_reference, _crop_of(generator)), generator, warnings_of(reference, seen))
        refuse_other_grid(generator.grid, found.reference)
        return found
    if not what.is_file():
        message = "there is no such file and no such folder. Name a file of showers, a trial, or an exported generator."
        raise ConfigError(message, where=str(what))
    showers = read_all([what], most)
    found = Loaded(read_all(reference, most_reference), showers, warnings_of(reference, seen))
    refuse_other_grid(showers.cells.shape[1:], found.reference)
    return found


def _crop_of(generator: Generator) -> GridShape | None:
    return generator.grid if generator.card.crop else None


def refuse_other_grid(grid: Sequence[int], reference: Showers) -> None:
    """See that showers can be held against the reference.

    Raises:
        DataError: they have other cells.
    """
    if tuple(grid) != reference.cells.shape[1:]:
        message = f"showers of {_by(grid)} cells cannot be held against those of {_by(reference.cells.shape[1:])}"
        raise DataError(message)


def _by(grid: Sequence[int]) -> str:
    num_x, num_y, num_layers = grid
    return by((num_x, num_y, num_layers))


def is_of_trial(what: Path) -> bool:
    """Whether it is the folder of a trial, or a state of it."""
    return what.is_dir() or what.suffix == ".pt"


def seen_in(what: Path) -> Seen:
    """The shower files of a trial; none of an exported file, nor of showers, which do not name them."""
    return seen_by(what) if is_of_trial(what) else {}


def detector_of(reference: Sequence[Path], name: str | None) -> Detector:
    """The calorimeter of that name or file; None: what the reference's first file tells."""
    return Detector.told_by(open_shower_file(reference[0]).layout) if name is None else Detector.of(calorimeter(name))
