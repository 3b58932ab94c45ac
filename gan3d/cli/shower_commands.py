"""Commands about showers rather than studies: `gan3d simulate`, `validate`, `generate`, `export` and `benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gan3d.cli.failures import FAILED, reported
from gan3d.cli.options import AsJson

Calorimeter = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE.yaml",
        help="clic: the CLIC electromagnetic calorimeter's barrel; clic_wide: the same in 51 x 51 cells; uniform: one radiation length per"
        " layer; calochallenge_2: the cylinder of CaloChallenge's data set 2; or your own, described in a file (docs/calorimeters.md).",
    ),
]

Energy = Annotated[tuple[float, float], typer.Option(metavar="LOW HIGH", help="Incident energies between these [GeV].")]
Spectrum = Annotated[
    Literal["uniform", "log_uniform"], typer.Option(help="Of the energies; log_uniform: as many below their geometric mean as above.")
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
    app.command(
        epilog="Example: gan3d generate results/quickstart/trials/0005 showers.h5 --showers 10000 --energy 10 100\n\n"
        "A study's best trial, with the energies of a file: gan3d generate quickstart showers.h5 --like geant4.h5\n\n"
        "Interrupted, or killed: the same command goes on from the parts that were done."
    )(generate)
    app.command(
        epilog="Example: gan3d export quickstart generator.onnx --precision int8\n\n"
        "It is judged first, against the trial's own showers and against Monte Carlo, by the gate of gan3d validate.\n\n"
        "Exit codes: 0 it was written, 1 its showers fall through the gate and it was not forced, 2 the request was wrong."
    )(export)

    benchmark = typer.Typer(no_args_is_help=True, help="Measure what was made, on this machine.")
    benchmark.command(
        epilog="Example: gan3d benchmark generation quickstart generator.onnx --batch 128 --monte-carlo geant4.h5",
    )(generation)
    app.add_typer(benchmark, name="benchmark")


def generate(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[
        Path,
        typer.Argument(
            metavar="TRIAL|STATE.pt|STUDY|FILE",
            help="A trial's folder, at its best epoch; a state of it; a study, its best trial; or an exported file.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.h5", help="The file to write.", show_default=False)],
    showers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many. By default 1000, or as many as --like has.", show_default=False)
    ] = None,
    energy: Energy = (10, 100),
    spectrum: Spectrum = "uniform",
    angle: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH", help="Polar angles between these [degrees], where the generator was trained with them.", show_default=False
        ),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The energies and angles of a shower file, in its order.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same showers, on any number of processes.")] = 1,
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes side by side, of one thread each. By default one per core.", show_default=False),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Ray cluster to generate on, whose nodes all see these files.", show_default=False),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier run has left unfinished.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make showers with a trained generator and write them as a shower file, in the layout of its training data."""
    from gan3d.cli.generation import How, Wanted, generate_showers

    with reported(as_json=as_json, go_on="the same command"):
        wanted = Wanted(showers, energy, angle, spectrum, like, seed)
        generate_showers(model, output, wanted, How(processes, address, fresh, force), as_json=as_json)


def generation(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...", help="Trials, states, studies (their best trials) or exported files, timed by turns.", show_default=False
        ),
    ],
    batch: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Showers to a call. May be repeated. By default 1, 8, 100, 128, 1000.", show_default=False),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Of each generator. May be repeated. By default 1.", show_default=False),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Calls that count, of each batch.")] = 10,
    monte_carlo: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Monte Carlo showers with the seconds that each took (cpu_s).", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep the numbers, as for the verdict page.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time generators: milliseconds per shower by batch and threads, with noise, inverse transform, threshold and copy."""
    from gan3d.cli.benchmarking import Asked, benchmark_and_show

    with reported(as_json=as_json):
        asked = Asked(tuple(models), tuple(batch or ()), tuple(threads or ()), repeats, monte_carlo, output)
        benchmark_and_show(asked, as_json=as_json)


def export(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[
        Path,
        typer.Argument(
            metavar="TRIAL|STATE.pt|STUDY",
            help="A trial's folder, at its best epoch; a state of it; or a study, its best trial.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="The file to write: .onnx, .xml (OpenVINO) or .pt2 (torch-export).", show_default=False),
    ],
    format: Annotated[
        Literal["onnx", "openvino", "torch-export"] | None,
        typer.Option(help="By default what the output's name ends on says.", show_default=False),
    ] = None,
    precision: Annotated[Literal["fp32", "bf16", "int8"], typer.Option(help="Of convolutions; int8 is calibrated on showers.")] = "fp32",
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Monte Carlo, twice as many showers as are judged. May be repeated. By default the trial's validation files.",
            show_default=False,
        ),
    ] = None,
    calorimeter: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.yaml", help="As of gan3d validate. By default all layers count alike.")
    ] = None,
    most: Annotated[int, typer.Option(min=100, metavar="N", help="Showers to judge, at most.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Write it although its showers fall through the gate; its card says so.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export a trained generator for onnxruntime, OpenVINO or torch alone, once its showers have passed the gate."""
    from gan3d.cli.exporting import Wanted, export_and_show

    with reported(as_json=as_json):
        wanted = Wanted(model, output, format, precision, tuple(reference or ()), calorimeter, most, seed, force, replace)
        _, written = export_and_show(wanted, as_json=as_json)
    if written is None:
        raise typer.Exit(FAILED)


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
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same showers, on any number of processes.")] = 1,
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
            metavar="FILE|TRIAL", help="A file of showers, the folder of a trial, or an exported generator.", show_default=False
        ),
    ],
    reference: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Monte Carlo, twice as many showers as are judged. May be repeated.", show_default=False),
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
    seed: Annotated[int, typer.Option(min=0, help="Of noise, draws, folds and networks.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="The gate and the response only: seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold showers against Monte Carlo: a gate that catches bad ones, and the field's metrics, each beside its floor."""
    from gan3d.cli.validation import Validation, show_validation

    with reported(as_json=as_json):
        passes = show_validation(Validation(what, tuple(reference), tuple(training or ()), calorimeter, most, seed, quick), as_json=as_json)
    if not passes:
        raise typer.Exit(FAILED)
