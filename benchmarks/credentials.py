"""What the classifiers of `gan3d validate` are worth: python -m benchmarks.credentials --geant4 FILE [FILE ...] [--write].

An area under the curve says something by a classifier that is known to see. Areas of the same classifiers on what is known: Geant4 against
the embedded Monte Carlo, with its fitted constants and as published, each against itself, and planted faults; with as many showers as
one has. ``--write`` puts the table into docs/validation.md. An hour on an idle core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.planted_faults import CLIC, FAULTS
from gan3d.data.showers import Showers
from gan3d.simulation.constants import ShowerConstants
from gan3d.simulation.simulate import shower_batch
from gan3d.simulation.spots import shower_cells
from gan3d.validation.cells_network import cells_recipe
from gan3d.validation.classifier import Separation, separation
from gan3d.validation.collection import blocks, read_all
from gan3d.validation.detector import Detector
from gan3d.validation.features import features_of
from gan3d.validation.features import joined as joined_features
from gan3d.validation.table import joined, table_of

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "validation.md"
#: What is between these lines of it is written by this command.
BEGIN, END = "<!-- areas: written by python -m benchmarks.credentials -->", "<!-- end of areas -->"
DETECTOR = Detector.of(CLIC)
CELLS = cells_recipe(CLIC.grid, is_polar=False, has_polar_angle=False)
#: Of each kind: what a quick check has, what one production file's worth of Geant4 has, and all there is.
NUMBERS = (500, 1600, 4000)
#: Of planted faults.
NUM_PLANTED = 1600
#: Faults that features cannot see: they are of what is left out before.
UNSEEN = ("1 % not finite", "1 % empty")
#: Showers to the low-level network, whose features are a gigabyte at 16,000.
MOST_LOW_LEVEL = 1600


@dataclass(frozen=True, slots=True)
class Inputs:
    """What each classifier sees of showers."""

    high: NDArray[np.float32]
    challenge: NDArray[np.float32]
    low: NDArray[np.float32]

    @classmethod
    def of(cls, showers: Showers) -> Inputs:
        """Of showers without broken ones."""
        features = joined_features([features_of(part, DETECTOR) for part in blocks(showers)])
        more = joined(table_of(part, DETECTOR) for part in blocks(showers)).matrix
        challenge = features.high.astype(np.float32)
        return cls(np.concatenate([challenge, more.astype(np.float32)], axis=1), challenge, features.low)

    def take(self, rows: slice) -> Inputs:
        """Some of the showers."""
        return Inputs(self.high[rows], self.challenge[rows], self.low[rows])

    def __len__(self) -> int:
        return len(self.high)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--geant4", type=Path, nargs="+", required=True, help="files of showers of 10 to 100 GeV at normal incidence")
    parser.add_argument("--write", action="store_true", help="into docs/validation.md")
    asked = parser.parse_args(arguments)
    lines = ["| | showers of each kind | high level | challenge's features | low level |", "|---|---|---|---|---|"]
    print(*lines, sep="\n")
    for line in rows(Inputs.of(read_all(asked.geant4))):
        print(line, flush=True)
        lines.append(line)
    if asked.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        behind = rest.partition(END)[2]
        DOCUMENT.write_text("\n".join((before + BEGIN, "", *lines, "", END)) + behind, encoding="utf-8")
    return 0


def rows(geant4: Inputs) -> Iterator[str]:
    """Of the table."""
    simulated = embedded(2 * NUM_PLANTED, seed=7)
    ours = Inputs.of(embedded(max(NUMBERS), seed=8))
    for number in [one for one in NUMBERS if one <= len(geant4)]:
        yield row("embedded against Geant4", geant4.take(slice(0, number)), ours.take(slice(0, number)))
    published = Inputs.of(as_published(max(NUMBERS), seed=9))
    for number in [one for one in NUMBERS if one <= len(geant4)]:
        yield row("published constants against Geant4", geant4.take(slice(0, number)), published.take(slice(0, number)))
    for number in [one for one in NUMBERS if 2 * one <= len(geant4)]:
        yield row("Geant4 against Geant4", geant4.take(slice(0, number)), geant4.take(slice(number, 2 * number)))
    half = slice(NUM_PLANTED, 2 * NUM_PLANTED)
    good, others = Inputs.of(simulated.take(slice(0, NUM_PLANTED))), simulated.take(half)
    yield row("embedded against embedded", good, Inputs.of(others))
    for name, fault in FAULTS.items():
        if name not in UNSEEN:
            yield row(name, good, Inputs.of(fault(others)))


def embedded(number: int, seed: int) -> Showers:
    """Simulated showers like the Geant4 ones."""
    found = shower_batch(CLIC, num_showers=number, incident_energy_gev=(10, 100), seed=seed)
    return Showers(found.cells, found.incident_energy, None, np.arange(number, dtype=np.int64))


def as_published(number: int, seed: int) -> Showers:
    """Simulated without the corrections that were fitted to Geant4."""
    generator = np.random.default_rng(seed)
    energy = generator.uniform(10, 100, number)
    cells = shower_cells(energy, np.full(number, np.pi / 2), generator, CLIC, ShowerConstants())
    return Showers(cells, energy.astype(np.float32), None, np.arange(number, dtype=np.int64))


def row(name: str, one: Inputs, other: Inputs) -> str:
    """Areas of all three classifiers, of five folds."""
    found = [separation(one.high, other.high, 1), separation(one.challenge, other.challenge, 1)]
    if len(one) <= MOST_LOW_LEVEL:
        found.append(separation(one.low, other.low, 1, CELLS))
    cells = [area(each) for each in found] + [""] * (3 - len(found))
    return f"| {name} | {len(one)} | {' | '.join(cells)} |"


def area(found: Separation) -> str:
    """With its error."""
    return f"{found.auc:.3f} ± {found.auc_error:.3f}"


if __name__ == "__main__":
    sys.exit(main())
