"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Energy = Annotated[tuple[float, float], typer.Option(metavar="LOW HIGH", help="Incident energies between these [GeV].")]
Spectrum = Annotated[
    Literal["uniform", "log_uniform"], typer.Option(help="Of the energies; log_uniform: as many below their geometric mean as above.")
]
