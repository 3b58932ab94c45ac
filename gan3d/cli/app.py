"""The `gan3d` command and its options. Each command parses, calls and prints; what it calls is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import gan3d
from gan3d.cli import cluster_commands, generator_commands, shower_commands
from gan3d.cli.failures import FAILED, INTERRUPTED, reported
from gan3d.cli.options import AsJson

app = typer.Typer(
    name="gan3d",
    help="Which 3D GAN, batch and learning rate, on how many nodes, at what cost and with which physics fidelity: answered by studies.",
    epilog="Exit codes: 0 done, 1 a study ran and failed, 2 the request was wrong, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, such as studies/quickstart.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a field by its dotted key, as in training.epochs=2. May be repeated.", show_default=False
    ),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A running Ray cluster, such as auto or 10.0.0.1:6379. By default this machine."),
]
StudyPlace = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A study's name, its file, or the folder of its results.", show_default=False)
]
ResultsFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of its results. By default results/NAME_OF_STUDY.", show_default=False)
]


def main() -> None:
    """The entry point."""
    app()


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"gan3d {gan3d.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command(epilog="Example: gan3d plan studies/seed_baseline.yaml --set workers.per_trial=512")
def plan(study: StudyFile, overrides: Overrides = None, address: Address = None, as_json: AsJson = False) -> None:
    """Show what a study would do and need. Starts nothing and costs nothing."""
    from gan3d.cli.studies import show_plan

    with reported(as_json=as_json):
        show_plan(study, overrides or [], address, as_json=as_json)


@app.command(
    epilog="Example: gan3d run studies/quickstart.yaml --set trials.number=4\n\n"
    "Go on after an interruption: gan3d run studies/quickstart.yaml --resume"
)
def run(  # noqa: PLR0913, PLR0917 - each is an option
    study: StudyFile,
    overrides: Overrides = None,
    address: Address = None,
    results: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the results. By default results/NAME_OF_STUDY.")] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="MLflow's server or database. By default tracking.db in the results.")
    ] = None,
    optuna_storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of Optuna's, as sqlite:///FILE.db or 'postgresql://ME:$PASSWORD@HOST/DB'. By default a journal in the results.",
        ),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option("--resume/--fresh", help="Where the results hold this study already: go on with it, or move it aside and start anew."),
    ] = None,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what Ray and Tune say.")] = False,
) -> None:
    """Run a study: propose samples, train each as a trial, keep records, draw figures."""
    from gan3d.cli.studies import Request, run_and_show

    asked = Request(study, tuple(overrides or ()), address, results, tracking_uri, verbose, optuna_storage)
    with reported(as_json=as_json, go_on=asked.command_to_go_on):
        state = run_and_show(asked, resume=resume, as_json=as_json)
    _exit_as(state)


@app.command(
    epilog="Example: gan3d resume quickstart\n\nMore trials than it was to have: gan3d resume results/quickstart --add-trials 8",
)
def resume(
    study: StudyPlace,
    add_trials: Annotated[int, typer.Option(min=0, metavar="N", help="Trials more than it was to have.")] = 0,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A running Ray cluster, where it is another one now.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what Ray and Tune say.")] = False,
) -> None:
    """Go on with a study as it was last run: interrupted trials from their last epoch, then those never begun."""
    from gan3d.cli.resuming import request_again
    from gan3d.cli.studies import run_and_show

    with reported(as_json=as_json):
        asked = request_again(study, add_trials=add_trials, address=address, verbose=verbose)
    with reported(as_json=as_json, go_on=asked.command_to_go_on):
        state = run_and_show(asked, resume=True, as_json=as_json)
    _exit_as(state)


@app.command(
    epilog="Example: gan3d stop quickstart\n\nGo on with it later: gan3d resume quickstart\n\n"
    "Exit codes: 0 it was asked to, 1 it has not stopped within --wait, 2 there is no such study, or nobody runs it.",
)
def stop(
    study: StudyPlace,
    results: ResultsFolder = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Wait until it has stopped, at most so long.")] = 0.0,
) -> None:
    """Ask a study that runs, here or on another node, to stop when its trials' epochs end: nothing that was trained is lost."""
    from gan3d.cli.stopping import stop_study

    with reported():
        has_stopped = stop_study(study, results, wait)
    if not has_stopped:
        raise typer.Exit(FAILED)


@app.command(
    epilog="Example: gan3d status quickstart\n\nAgain and again: watch -n 10 gan3d status quickstart\n\n"
    "Exit codes: 0 whatever the study's state is, 2 there is no such study.",
)
def status(
    study: StudyPlace,
    results: ResultsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what a study has done and is doing, from any terminal, while it runs or afterwards. Only reads its results folder."""
    from gan3d.cli.status_lines import show_status

    with reported(as_json=as_json):
        show_status(study, results, as_json=as_json)


@app.command(epilog="Example: gan3d ui quickstart\n\nA copy from a cluster: gan3d ui copied/quickstart")
def ui(
    study: StudyPlace,
    results: ResultsFolder = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="N", help="By default the first free one from 5000 on.", show_default=False)
    ] = None,
) -> None:
    """Open a study in MLflow's user interface, on this machine only; wherever its results have been copied to."""
    from gan3d.cli.ui import serve

    with reported():
        code = serve(study, results, port)
    raise typer.Exit(code)


@app.command(
    epilog="Example: gan3d confirm quickstart --seeds 5\n\nWhat it would do, and nothing more: gan3d confirm quickstart --plan\n\n"
    "It is a study like any other: gan3d status quickstart_confirmation, gan3d resume quickstart_confirmation.",
)
def confirm(
    study: StudyPlace,
    seeds: Annotated[int, typer.Option(min=2, metavar="N", help="Seeds of each contender, none of which the study has used.")] = 3,
    core_seconds: Annotated[
        float | None,
        typer.Option(min=1.0, metavar="S", help="What each trial may cost. By default what the best one did.", show_default=False),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Beside this contender only: default, or a reference's name; repeatable. By default all of them."
        ),
    ] = None,
    plan_only: Annotated[bool, typer.Option("--plan", help="Only show what would be trained, and what that needs.")] = False,
    resume: Annotated[
        bool | None, typer.Option("--resume/--fresh", help="Where it was begun already: go on with it, or move it aside and start anew.")
    ] = None,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what Ray and Tune say.")] = False,
) -> None:
    """Train a study's best sample again, beside the default one and its references: fresh seeds, equal core-seconds."""
    from gan3d.cli.confirming import Confirmation, request_to_confirm
    from gan3d.cli.studies import run_and_show, show_plan

    with reported(as_json=as_json):
        asked = request_to_confirm(Confirmation(study, seeds, core_seconds, tuple(against or ())), verbose=verbose)
        if plan_only:
            show_plan(asked.study, (), asked.address, as_json=as_json)
            return
    with reported(as_json=as_json, go_on=asked.command_to_go_on):
        state = run_and_show(asked, resume=resume, as_json=as_json)
    _exit_as(state)


def _exit_as(state: str) -> None:
    """End with the exit code of a study's state."""
    if state not in ("complete", "stopped"):
        raise typer.Exit(FAILED if state == "failed" else INTERRUPTED)


@app.command(
    epilog="Example: gan3d predict studies/scaling.yaml --fabric 25GbE --batch-per-worker 8\n\n"
    "With all-reduces measured where you are: python -m gan3d.training.fabric > here.json; "
    "gan3d predict studies/scaling.yaml --fabric 25GbE --software here.json"
)
def predict(  # noqa: PLR0913, PLR0917 - each is an option
    study: StudyFile,
    fabric: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE.json",
            help="Between nodes: 10GbE, 25GbE, omni-path, hdr-infiniband, or a file that python -m gan3d.training.fabric printed.",
            show_default=False,
        ),
    ],
    workers_per_node: Annotated[int, typer.Option(min=1, metavar="N", help="Workers that share a node and its link.")] = 1,
    batch_per_worker: Annotated[
        int | None, typer.Option(min=1, metavar="B", help="Weak scaling: showers per step on a worker. By default as the study has it.")
    ] = None,
    global_batch: Annotated[
        int | None, typer.Option(min=1, metavar="G", help="Strong scaling: showers per step of the team, instead.")
    ] = None,
    algorithm: Annotated[Literal["ring", "tree", "hierarchical"], typer.Option(help="How gradients are reduced.")] = "ring",
    software: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="All-reduces within a node, as python -m gan3d.training.fabric printed them."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the study's results or of its published frames. By default results/NAME_OF_STUDY."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict 1 to 256 workers from a scaling study that was run: efficiency with intervals, and what was assumed."""
    from gan3d.cli.predict import Question, show_prediction

    asked = Question(study, fabric, workers_per_node, batch_per_worker, global_batch, algorithm, software, results)
    with reported(as_json=as_json):
        show_prediction(asked, as_json=as_json)


@app.command(epilog="Example: gan3d schema > study.schema.json, for an editor that completes and explains the keys of a study file.")
def schema(
    metrics: Annotated[bool, typer.Option("--metrics", help="List the metrics an objective can name, instead.")] = False,
    search_space: Annotated[bool, typer.Option("--search-space", help="The schema of a search space file, instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Metrics as JSON, not as a table.")] = False,
) -> None:
    """Print the JSON Schema of a study file."""
    from gan3d.cli.schemas import print_metrics, print_schema

    if metrics and search_space:
        message = "--metrics and --search-space are two questions: ask one at a time."
        raise typer.BadParameter(message)
    if metrics:
        print_metrics(as_json=as_json)
    else:
        print_schema(search_space=search_space)


shower_commands.add_to(app)
generator_commands.add_to(app)
cluster_commands.add_to(app)
