"""JSON documents that other commands wrote, as far as the answer needs them; what stands there is checked before it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from gan3d.errors import DataError


class _Document(BaseModel):
    """What else stands there is of no concern here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Finding(_Document):
    """One number of the gate."""

    is_flagged: bool


class Distance(_Document):
    """One of the distances; None: not measured."""

    value: FiniteFloat | None


class JudgedGenerator(_Document):
    """Of whose card the showers were judged."""

    format: str
    """`trial`, or that of an exported file."""
    precision: str
    epoch: int | None = Field(default=None, ge=0)
    """After which the state was; None: of a version that did not say."""
    parent_sha256: str
    """Of the state that it was made of."""


class Validation(_Document):
    """What `gan3d validate --json` prints."""

    what: str = ""
    settings: str | None
    """Digest of the trial's; None: the showers were of a file."""
    generator: JudgedGenerator | None = None
    """None: of a file of showers; or the document is of a version that did not say, which said nothing of exported files."""
    passes: bool
    num_judged: int = Field(ge=1)
    findings: tuple[Finding, ...]
    distances: dict[str, Distance]


class Machine(_Document):
    """That generators were timed on."""

    processor: str
    cores: int = Field(ge=1)


class Row(_Document):
    """One generator with one batch and one number of threads."""

    model: str
    format: str
    precision: str
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    mean_ms: FiniteFloat = Field(gt=0)
    spread_ms: FiniteFloat = Field(ge=0)
    median_ms: FiniteFloat = Field(gt=0)
    peak_memory_mb: FiniteFloat = Field(gt=0)
    speed_up: FiniteFloat | None = Field(gt=0)


class Seed(_Document):
    """What the seed tells of its own."""

    geant4_seconds: FiniteFloat
    """For a shower."""
    threedgan_seconds: FiniteFloat = Field(alias="3dgan_seconds")
    batch: int
    cores: int
    machine: str = "another machine"
    energy_gev: tuple[FiniteFloat, FiniteFloat] | None = None
    """Incident energies of its showers; None, and another machine: of a version that did not say."""


class Timing(_Document):
    """What `gan3d benchmark generation --output` writes."""

    machine: Machine
    energy_gev: tuple[FiniteFloat, FiniteFloat]
    monte_carlo_seconds: FiniteFloat | None = Field(gt=0)
    """For a shower of the mean of these energies, on one core."""
    monte_carlo_machine: str | None = None
    seed: Seed
    rows: tuple[Row, ...] = Field(min_length=1)


class Network(_Document):
    """That teams were predicted on."""

    name: str


class Calibrated(_Document):
    """What a prediction was calibrated with."""

    blocks: int = Field(ge=0)


class PredictedTeam(_Document):
    """One size of a predicted curve."""

    world_size: int = Field(ge=1)
    efficiency: FiniteFloat = Field(gt=0)
    """Against one worker."""
    efficiency_low: FiniteFloat | None = Field(gt=0)
    efficiency_high: FiniteFloat | None = Field(gt=0)


class Prediction(_Document):
    """What `gan3d predict --json` prints."""

    study: str
    kind: Literal["strong", "weak"]
    global_batch: int | None
    batch_per_worker: FiniteFloat | None
    workers_per_node: int = Field(ge=1)
    wire: Network | None
    software: Network | None
    calibration: Calibrated
    curve: tuple[PredictedTeam, ...] = Field(min_length=1)


Kind = TypeVar("Kind", bound=_Document)


def read_document(path: Path, kind: type[Kind], written_by: str) -> Kind:
    """One of them.

    Args:
        path: of the file.
        kind: which document it must be.
        written_by: the command, for the message.

    Raises:
        DataError: the file cannot be read, or is no such document.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        message = f"cannot be read: {problem}"
        raise DataError(message, file=str(path)) from problem
    try:
        return kind.model_validate(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        message = f"it is not what {written_by}: {where}: {first['msg']}"
        raise DataError(message, file=str(path)) from problem
