"""`gan3d plan`, `gan3d run`, and what `gan3d resume` runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from gan3d.cli.results import differs_in_cost, holds_study, prepare_results
from gan3d.cli.token import show_token
from gan3d.config.load import LoadedStudy, load_study
from gan3d.errors import DataError
from gan3d.search.place import OPTION, as_written
from gan3d.terminal.console import console_for, is_live

if TYPE_CHECKING:
    from gan3d.search.plan import Plan


@dataclass(frozen=True, slots=True)
class Request:
    """The command line of `gan3d run`, but for what is done about older results."""

    study: Path
    overrides: tuple[str, ...]
    address: str | None
    results: Path | None
    tracking_uri: str | None
    verbose: bool
    optuna_storage: str | None = None

    @property
    def command_to_go_on(self) -> str:
        """The command that continues the study after an interruption."""
        words = ["gan3d", "run", str(self.study)]
        for override in self.overrides:
            words += ["--set", override]
        options = {"--address": self.address, "--results": self.results, "--tracking-uri": self.tracking_uri}
        for option, value in (options | {OPTION: self.optuna_storage}).items():
            words += [option, str(value)] if value is not None else []
        return shlex.join([*words, *(["--verbose"] if self.verbose else []), "--resume"])


def show_plan(path: Path, overrides: Sequence[str], address: str | None, *, as_json: bool) -> None:
    """Print a study's plan.

    Raises:
        ConfigError: the study cannot be used.
        DataError: its shower files are here and cannot be used.
        ResourceError: there is no Ray cluster at the address.
    """
    from gan3d.cli.cost_lines import money_rows
    from gan3d.cli.plan_tables import plan_tables
    from gan3d.cost.estimate import estimate

    loaded = load_study(path, overrides)
    found = plan_of(loaded, address)
    study = loaded.study
    earlier = Path("results") / study.name
    expected = estimate(earlier, study, found.num_trials * found.epochs.most)
    differs_in = [] if expected is None else differs_in_cost(earlier, study)
    if as_json:
        content = found.as_dict() | {"estimate": None if expected is None else asdict(expected) | {"differs_in": differs_in}}
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    console = console_for()
    for part in plan_tables(found, list(money_rows(study, expected, differs_in))):
        console.print(part, highlight=False)
    if notice := notice_of_sampled(loaded):
        console.print("", Text(notice, style="yellow"), sep="\n")


def notice_of_sampled(loaded: LoadedStudy) -> str:
    """What a `--set` of a sampled key does; empty where there is none."""
    keys = ", ".join(loaded.sampled_overrides)
    what = "with --set the search only begins there, at the nearest value of the range. To fix it, take it out of the search space."
    return f"Sampled all the same: {keys}; {what}" if keys else ""


def plan_of(loaded: LoadedStudy, address: str | None) -> Plan:
    """The plan for the Ray cluster at the address, or for this machine."""
    from gan3d.search.plan import make_plan
    from gan3d.search.resources import local_cluster, ray_cluster

    if address is None:
        return make_plan(loaded, local_cluster())
    show_token()
    from gan3d.search.cluster import connected

    with connected(address, verbose=False, say=lambda _text: None):
        cluster = ray_cluster()
    return make_plan(loaded, cluster)


def run_and_show(asked: Request, *, resume: bool | None, as_json: bool) -> str:
    """Run a study, show it while it runs and when it has ended; returns its state.

    Raises:
        ConfigError: the study, or the results folder, cannot be used.
        DataError: shower files are missing or cannot be used.
        ResourceError: the cluster has no room for it.
    """
    loaded = load_study(asked.study, asked.overrides)
    if asked.address is None:
        refuse_before_starting(loaded)
    else:
        show_token()
    folder = asked.results or Path("results") / loaded.study.name
    asked = with_storage(asked, loaded.study.name, folder, resume=resume)
    notice = prepare_results(folder, loaded.study, resume=resume)

    from gan3d.cli.resuming import keep_command
    from gan3d.cli.summary import print_summary, summary
    from gan3d.search.run import RunOptions, run_study
    from gan3d.terminal import Terminal

    keep_command(asked, folder)
    console = console_for(stderr=as_json)
    options = RunOptions(folder, asked.address, asked.tracking_uri, bool(resume), asked.verbose, asked.optuna_storage)
    with ExitStack() as stack:
        terminal = stack.enter_context(Terminal(loaded.study, console, is_live=is_live(console)))
        for text in filter(None, (notice, notice_of_sampled(loaded))):
            terminal.say(text)
        result = run_study(loaded, options, terminal)
    if as_json:
        typer.echo(json.dumps(summary(result, loaded.study, asked.command_to_go_on), indent=2, ensure_ascii=False))
    print_summary(result, loaded.study, asked.command_to_go_on, console)
    return result.state


def with_storage(asked: Request, name: str, folder: Path, *, resume: bool | None) -> Request:
    """The command line with Optuna's database as it may be written down.

    Raises:
        ConfigError: it cannot be used, or a study that is to start anew would find another one of its name there.
    """
    if asked.optuna_storage is None:
        return asked
    url = as_written(asked.optuna_storage)
    if resume is False and holds_study(folder):  # said before the older study is moved aside
        from gan3d.search.storage import refuse_taken

        refuse_taken(name, url)
    return replace(asked, optuna_storage=url)


def refuse_before_starting(loaded: LoadedStudy) -> None:
    """Raise at once where this machine has no room or no showers: starting Ray only to say so would take a while.

    Raises:
        DataError: shower files are missing or cannot be used.
        ResourceError: there is no room for the workers.
    """
    from gan3d.search.plan import refuse_impossible

    plan = plan_of(loaded, None)
    refuse_impossible(plan)
    if plan.stock.missing:
        raise DataError(plan.stock.missing)
