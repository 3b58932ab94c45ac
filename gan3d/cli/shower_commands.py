"""Commands about showers: `gan3d simulate` and `gan3d validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gan3d.cli.failures import FAILED, reported
from gan3d.cli.options import AsJson, Energy, Spectrum
from gan3d.generation.card import LARGEST_SEED

Calorimeter = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE.yaml",
        help="clic: the CLIC electromagnetic calorimeter's barrel; clic_wide: the same in 51 x 51 cells; uniform: one radiation length per"
        " layer; calochallenge_2: the cylinder of CaloChallenge's data set 2; or your own, described in a file (docs/calorimeters.md).",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Make them commands of it."""
    app.command(
        epilog="Example: gan3d simulate showers.h5 --calorimeter clic --showers 2000 --energy 10 100\n\n"
        "With polar angles of 60 to 120 degrees: gan3d simulate inclined.h5 --showers 500 --angle 60 120"
    )(simulate)
    app.command(
        epilog="Example: gan3d validate showers.h5 --reference geant4.h5 --calorimeter clic\n\n"
        "A trial's generator: gan3d validate results/quickstart/trials/0003 --reference geant4.h5\n\n"
        "Exit codes: 0 the showers pass the gate, 1 they do not, 2 the request was wrong."
    )(validate)


def simulate(  # noqa: PLR0913, PLR0917 - one per option
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.h5", help="The file to write.", show_default=False)],
    calorimeter: Calorimeter = "clic",
    showers: Annotated[int, typer.Option(min=1, metavar="N", help="How many.")] = 1000,
    energy: Energy = (10, 100),
    spectrum: Spectrum = "uniform",
    angle: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH", help="Polar angles, uniform between these [degrees]. By default 90, normal incidence, and no angle."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Same seed, same showers, on any number of processes.")] = 1,
    processes: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that simulate side by side.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Simulate electron showers without Geant4 and write them as a shower file."""
    from gan3d.cli.simulation import Beam, write_showers

    with reported():
        write_showers(output, Beam(calorimeter, showers, energy, angle, seed, spectrum), processes=processes, force=force)


def validate(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|TRIAL|STATE.pt",
            help="A file of showers, a trial's folder, a state of it, or an exported generator.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="Monte Carlo, twice as many showers as are judged; none that was trained on. May be repeated.",
            show_default=False,
        ),
    ],
    training: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="What a generator was trained on, to look for copies. By default a trial's own files.", show_default=False
        ),
    ] = None,
    calorimeter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.yaml",
            help="Weights the layers of the response by their absorbers, and knows the read-out threshold. By default all count alike.",
            show_default=False,
        ),
    ] = None,
    most: Annotated[int, typer.Option(min=100, metavar="N", help="Showers to judge, at most.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of noise, draws, folds and networks.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="The gate, response, profiles and the ten distances only: seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold showers against Monte Carlo: a gate that catches bad ones, and the field's metrics, each beside its floor."""
    from gan3d.cli.validation import Validation, show_validation

    with reported(as_json=as_json):
        passes = show_validation(Validation(what, tuple(reference), tuple(training or ()), calorimeter, most, seed, quick), as_json=as_json)
    if not passes:
        raise typer.Exit(FAILED)
