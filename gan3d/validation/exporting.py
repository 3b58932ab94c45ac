"""A trial's generator as a file of another library: written, run, judged against Monte Carlo and against the trial, and only then kept.

The trial's own generator in single precision is the parent. What an export costs is told in three numbers: how far the deposited energy
of a shower moves with the same noise, and what the gate says of its showers against the parent's and against the Monte Carlo.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.generation.card import Card, FormatName, Precision, Verdict
from gan3d.generation.formats.catalog import see_that_there_is
from gan3d.generation.formats.made import Calibration, Save
from gan3d.generation.generator import CHUNK, Generator, card_of, noise_of_chunk, place_of
from gan3d.generation.trained import load_trained
from gan3d.models.shower_graph import ShowerGraph
from gan3d.validation.collection import generated_like, halves
from gan3d.validation.detector import Detector
from gan3d.validation.refusals import refuse_few
from gan3d.validation.report import Report, validate_showers

#: Showers whose activations set the steps of 8 bits.
NUM_CALIBRATION = 256
#: First chunk of the noise that calibrates: of no seed does anybody make so many showers, so that none that is judged has it.
CALIBRATION_CHUNK = 2**32


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of an exported generator."""

    card: Card
    """With its verdicts."""
    parents: Verdict
    """The trial's own against the Monte Carlo."""
    difference: float
    """Root mean square, over showers, of the deposited energy over the parent's with the same noise, minus 1."""

    @property
    def passes(self) -> bool:
        """Whether it may be kept without being forced."""
        return all(one.passes for one in self.card.verdicts)


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported, and how it is judged."""

    model: Path
    """A trial's folder or a state of it."""
    format: FormatName
    precision: Precision
    reference: Showers
    """Monte Carlo; half of it is the floor."""
    detector: Detector
    seed: int = 1

    def parent(self) -> Generator:
        """The trial's own generator.

        Raises:
            ConfigError: there is none.
            DataError: it cannot be read.
        """
        return Generator.load(self.model)

    def converted(self) -> tuple[Card, Save]:
        """The card without verdicts, and what writes the file.

        Raises:
            ConfigError: the format has no such precision, or a package is missing.
            DataError: the trial cannot be read.
        """
        kind = see_that_there_is(self.format, self.precision)
        folder, state = place_of(self.model)
        trained = load_trained(folder, state)
        card = card_of(trained, state or folder.best).model_copy(
            update={
                "format": self.format,
                "precision": self.precision,
                "incident_energy_gev": trained.energy_range(),
            }
        )
        graph = ShowerGraph(trained.generator, trained.transform, torch.bfloat16 if self._computes_in_bf16 else torch.float32)
        return card, kind.export(graph.eval(), card, calibration(card, self.reference))

    @property
    def _computes_in_bf16(self) -> bool:
        # OpenVINO converts what it likes when it loads the file.
        return self.precision == "bf16" and self.format == "torch-export"

    def judged(self, card: Card, exported: Generator, progress: Callable[[str], None] = lambda _what: None) -> Judged:
        """Hold its showers against the parent's and against Monte Carlo.

        Raises:
            DataError: there are too few showers, or none like the generator's.
        """
        if self.reference.cells.shape[1:] != exported.grid:
            message = f"showers of {self.reference.cells.shape[1:]} cells say nothing of a generator of {exported.grid}"
            raise DataError(message)
        parent = self.parent()
        refuse_few(len(self.reference), len(self.reference))
        number = len(self.reference) // 2
        reference = self.reference.take(slice(0, 2 * number))
        places = halves(2 * number, number, self.seed)
        asked_for = reference.take(places.others)
        progress("showers of the trial")
        theirs = generated_like(parent, asked_for, self.seed)
        progress(f"showers in {card.format}, {card.precision}")
        ours = generated_like(exported, asked_for, self.seed)
        # Other noise than the parent's: with the same noise it would be nearer to the parent than the parent is to itself.
        fresh = generated_like(exported, asked_for, self.seed + 1)
        # For the same reason the parent's other half has noise of its own.
        more = generated_like(parent, reference.take(places.theirs), self.seed + 2)
        whole = Showers.empty(2 * number, exported.grid, has_polar_angle=reference.polar_angle is not None)
        whole.put(places.others, theirs)
        whole.put(places.theirs, more)
        found = [
            verdict("monte_carlo", self._report(ours, reference)),
            verdict("parent", self._report(fresh, whole)),
        ]
        parents = verdict("monte_carlo", self._report(theirs, reference))
        return Judged(card.model_copy(update={"verdicts": tuple(found)}), parents, difference(ours, theirs))

    def _report(self, showers: Showers, reference: Showers) -> Report:
        return validate_showers(showers, reference, self.detector, seed=self.seed, is_quick=True)


def tried(card: Card, save: Save) -> Generator:
    """The file, written and read back as users will.

    Raises:
        DataError: it cannot be written or read.
    """
    kind = see_that_there_is(_format(card), card.precision)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"generator{kind.suffix}"
        save(path, card)
        return Generator.load(path)


def _format(card: Card) -> FormatName:
    assert card.format != "trial"
    return card.format


def calibration(card: Card, reference: Showers) -> Calibration:
    """Noise of its own, with energies and angles of the reference."""
    # Equally spaced: a reference may be sorted by energy.
    rows = reference.take(np.linspace(0, len(reference) - 1, min(len(reference), NUM_CALIBRATION)).astype(np.int64))
    noise = np.concatenate(
        [noise_of_chunk(CHUNK, card.num_noise, seed=0, number=CALIBRATION_CHUNK + number) for number in range(-(-len(rows) // CHUNK))]
    )
    return Calibration(noise[: len(rows)], rows.incident_energy, rows.polar_angle if card.polar_angle else None)


def verdict(against: str, report: Report) -> Verdict:
    """In few words what a report says."""
    worst = report.findings[0]
    return Verdict.model_validate(
        {
            "against": against,
            "num_showers": report.num_judged,
            "num_numbers": len(report.findings),
            "num_flagged": sum(one.is_flagged for one in report.findings),
            "worst": worst.name,
            "worst_deviations": worst.deviations if math.isfinite(worst.deviations) else None,
        }
    )


def difference(ours: Showers, theirs: Showers) -> float:
    """Of the deposited energies of showers with the same noise, ours first; see `Judged`."""
    one, other = (showers.cells.sum(axis=(1, 2, 3), dtype=np.float64) for showers in (ours, theirs))
    has = other > 0
    return float(np.sqrt(np.mean((one[has] / other[has] - 1) ** 2))) if has.any() else math.nan
