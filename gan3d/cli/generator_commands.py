"""Commands about trained generators: `gan3d generate`, `export`, `register` and `benchmark`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from gan3d.cli.failures import FAILED, reported
from gan3d.cli.options import AsJson
from gan3d.generation.card import LARGEST_SEED

Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What computes, as the generator's library calls it: cuda for trials, .pt2 and .onnx, gpu for .xml; one process unless"
        " --processes says more.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Make them commands of it."""
    app.command(
        epilog="Example: gan3d generate results/quickstart/trials/0005 showers.h5 --showers 10000 --energy 10 100\n\n"
        "A study's best trial, with the energies of a file: gan3d generate quickstart showers.h5 --like geant4.h5\n\n"
        "Interrupted, or killed: the same command goes on from the parts that were done."
    )(generate)
    app.command(
        epilog="Example: gan3d export quickstart generator.onnx --precision int8 --reference geant4.h5\n\n"
        "It is judged first, against the trial's own showers and against Monte Carlo, by the gate of gan3d validate.\n\n"
        "Exit codes: 0 it was written, 1 its showers fall through the gate and it was not forced, 2 the request was wrong."
    )(export)

    app.command(
        epilog="Example: gan3d register generator.onnx quickstart --name clic-electrons\n\n"
        "Then: gan3d generate models:/clic-electrons@passes-gate showers.h5 --tracking-uri sqlite:///results/quickstart/tracking.db"
    )(register)
    benchmark = typer.Typer(no_args_is_help=True, help="Measure what was made, on this machine.")
    benchmark.command(
        epilog="Example: gan3d benchmark generation quickstart generator.onnx --batch 128 --monte-carlo geant4.h5",
    )(generation)
    app.add_typer(benchmark, name="benchmark")


def generate(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[
        Path,
        typer.Argument(
            metavar="TRIAL|STATE.pt|STUDY|FILE|models:/NAME/VERSION",
            help="A trial's folder, at its best epoch; a state of it; a study, its best trial; an exported file; or a registered one.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.h5", help="The file to write.", show_default=False)],
    showers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many. By default 1000, or as many as --like has.", show_default=False)
    ] = None,
    energy: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Incident energies between these [GeV]. By default 10 to 100.", show_default=False),
    ] = None,
    spectrum: Annotated[
        Literal["uniform", "log_uniform"] | None,
        typer.Option(
            help="Of the energies, by default uniform; log_uniform: as many below their geometric mean as above.", show_default=False
        ),
    ] = None,
    angle: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH", help="Polar angles between these [degrees], where the generator was trained with them.", show_default=False
        ),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The energies and angles of a shower file, in its order.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Same seed, same showers, on any number of processes.")] = 1,
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes side by side, of one thread each. By default one per core.", show_default=False),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Ray cluster to generate on, whose nodes all see these files.", show_default=False),
    ] = None,
    device: Device = "cpu",
    tracking_uri: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Where a registered model is. By default $MLFLOW_TRACKING_URI.", show_default=False),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier run has left unfinished.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make showers with a trained generator and write them as a shower file, in the layout of its training data."""
    from gan3d.cli.generation import How, Wanted, generate_showers

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is being made is finished, and kept
    with reported(as_json=as_json, go_on="the same command"):
        wanted = Wanted(showers, energy, angle, spectrum, like, seed)
        generate_showers(model, output, wanted, How(processes, address, fresh, force, tracking_uri, device), as_json=as_json)


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
            help="Monte Carlo, twice as many showers as are judged; no training files. May be repeated. By default the trial's validation"
            " files, which chose its epoch: better to name others.",
            show_default=False,
        ),
    ] = None,
    calorimeter: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.yaml", help="As of gan3d validate. By default all layers count alike.")
    ] = None,
    most: Annotated[int, typer.Option(min=100, metavar="N", help="Showers to judge, at most.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the noise.")] = 1,
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


def register(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What gan3d export has written.", show_default=False)],
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="The study of its trial: name, file, or folder of its results.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the registered model. By default the study's.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register an exported generator with MLflow: signature, example, and what the gate said of it as tags."""
    from gan3d.cli.registering import register_and_show

    with reported(as_json=as_json):
        register_and_show(file, study, name, as_json=as_json)


def generation(  # noqa: PLR0913, PLR0917 - one per option
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL", help="Trials, states, studies (their best trials) or exported files, timed by turns.", show_default=False
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
    device: Device = "cpu",
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Calls that count, of each batch.")] = 10,
    monte_carlo: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Monte Carlo showers with the seconds that each took (cpu_s).", show_default=False),
    ] = None,
    monte_carlo_machine: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="That made this file. By default what its attribute machine says.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep the numbers, as for the verdict page.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time generators: milliseconds per shower by batch and threads, with noise, inverse transform, threshold and copy."""
    from gan3d.cli.benchmarking import Asked, benchmark_and_show

    with reported(as_json=as_json):
        asked = Asked(tuple(models), tuple(batch or ()), tuple(threads or ()), device, repeats, monte_carlo, monte_carlo_machine, output)
        benchmark_and_show(asked, as_json=as_json)
