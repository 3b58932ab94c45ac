"""What a generator says of itself: what it makes, of whom it comes, how its showers were judged. Every exported file holds it, as JSON."""

from __future__ import annotations

import json
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from gan3d.errors import DataError

FormatName = Literal["onnx", "openvino", "torch-export"]
Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

#: Names of the graph's inputs, in their order; the last one only where there are angles. Its output is called `cells`.
INPUTS = ("noise", "incident_energy", "polar_angle")
OUTPUT = "cells"
#: Largest seed of generated showers: what a shower file can say of its own.
LARGEST_SEED = 2**63 - 1
#: Seed of a registered generator that stands for one that nobody has used: requests that name none must not get the same fluctuations each.
ANY_SEED = -1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(_Frozen):
    """What the gate of ``gan3d.validation.gate`` said of showers of this generator."""

    against: Literal["monte_carlo", "parent"]
    """Monte Carlo showers, or those of the trial that the file was made of."""
    num_showers: int
    """On either side."""
    num_numbers: int
    num_flagged: int
    """Of these, how many are further from the reference than the gate allows."""
    worst: str
    """The number that is furthest, and by how many standard deviations of its floor; None: infinitely many."""
    worst_deviations: float | None

    @property
    def passes(self) -> bool:
        """Whether the gate lets the showers through."""
        return self.num_flagged == 0

    def in_words(self) -> str:
        """One line of text."""
        far = "infinitely many" if self.worst_deviations is None else f"{self.worst_deviations:.1f}"
        passed = "pass" if self.passes else f"{self.num_flagged} of {self.num_numbers} numbers fall through"
        return f"{passed} (worst {self.worst}, {far} standard deviations; {self.num_showers} showers on either side)"


class Card(_Frozen):
    """Of one generator."""

    format: FormatName | Literal["trial"]
    precision: Precision
    grid: tuple[int, int, int]
    """Cells along x, along y, and layers."""
    cells: Literal["square", "polar"]
    crop: bool
    """Whether it was trained on the middle of larger showers."""
    polar_angle: bool
    """Whether showers are made at an angle each."""
    num_noise: int
    """Normal numbers that a shower begins with."""
    threshold_gev: float
    """Fainter cells are 0."""
    incident_energy_gev: tuple[float, float] | None = None
    """Least and largest of the training showers; None: their files are not here any more."""
    study_settings: str
    """Digest of the trial's settings, wherever its shower files lie."""
    epoch: int
    """After which epoch of training."""
    parent_sha256: str
    """Of the state that it was made of."""
    gan3d: str
    """The version that made it."""
    verdicts: tuple[Verdict, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return INPUTS if self.polar_angle else INPUTS[:2]

    def as_json(self) -> str:
        """As it is stored."""
        return self.model_dump_json()

    @classmethod
    def read(cls, text: str | None, file: str) -> Self:
        """From a file's metadata.

        Raises:
            DataError: there is none, or it is of another version.
        """
        try:
            return cls.model_validate_json(text or "")
        except ValidationError as problem:
            found = "none" if not text else json.dumps(problem.errors(include_url=False, include_input=False)[0]["loc"])
            message = (
                f"it holds no generator's card that this version can read ({found}). Make it with gan3d export of this version; "
                "a graph from elsewhere does not say how it takes noise and energies."
            )
            raise DataError(message, file=file) from problem
