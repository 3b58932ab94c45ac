"""The answer to a question that several studies were run for: one page, and the same as JSON.

    python analysis/verdict.py STUDY [STUDY ...] [--tracking-uri URI|FOLDER ...] [--validation FILE.json ...] [--generation FILE.json ...]
        [--prediction FILE.json ...] [--target DISTANCE] [--least-efficiency SHARE] [--output DIR] [--log]

Joins searches, confirmations and scaling studies, what ``gan3d validate TRIAL --json`` said of trials, and of files exported from them,
which have a table of their own, what ``gan3d benchmark generation --output`` measured, and what ``gan3d predict --json`` says of teams
that nobody has formed. Recipes are ranked that were measured on the
same validation showers as those of the first study that is not one of scaling; others are shown apart. Writes verdict.html, which needs no
network, and verdict.json. What is chosen and how: ``gan3d.verdict``.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import verdict_page

from gan3d.errors import ConfigError, DataError, Gan3dError
from gan3d.tracking.additions import add_verdict
from gan3d.tracking.published import is_published
from gan3d.tracking.store import default_tracking_uri
from gan3d.verdict.answer import Answer, Asked, answer_of
from gan3d.verdict.evidence import Records, read_gates, read_timings
from gan3d.verdict.predictions import read_predictions
from gan3d.verdict.teams import LEAST_EFFICIENCY
from gan3d.writing import write_atomically, write_text


def main() -> int:
    """Write both; 2 if there is no answer."""
    arguments = parser().parse_args()
    try:
        uris = tracking_uris(arguments)
        records = [Records.read(uri, name) for uri, name in zip(uris, arguments.studies, strict=True)]
        asked = Asked(arguments.target, arguments.least_efficiency)
        gates, timings = read_gates(arguments.validation), read_timings(arguments.generation)
        answer = answer_of(records, gates, timings, asked, read_predictions(arguments.prediction))
        written = write(answer, arguments.output)
        if arguments.log:
            log(answer, written, uris, records)
    except Gan3dError as error:
        print(error, file=sys.stderr)
        return 2
    print(answer.sentence(), *written, sep="\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    found.add_argument(
        "studies",
        nargs="+",
        metavar="STUDY",
        help="names of studies of any kind; the first that is not one of scaling says on which showers",
    )
    found.add_argument(
        "--tracking-uri",
        action="append",
        default=[],
        metavar="URI",
        help="MLflow tracking URI, or folder of published frames: one for all studies, or one for each in their order; "
        "without: results/STUDY/tracking.db",
    )
    found.add_argument("--validation", type=Path, nargs="+", default=[], metavar="FILE", help="what gan3d validate TRIAL --json printed")
    found.add_argument("--generation", type=Path, nargs="+", default=[], metavar="FILE", help="what gan3d benchmark generation wrote")
    found.add_argument("--prediction", type=Path, nargs="+", default=[], metavar="FILE", help="what gan3d predict --json printed")
    found.add_argument("--target", type=float, default=None, help="shower distance that counts as reached; without: 1.1 x the best one")
    found.add_argument("--least-efficiency", type=float, default=LEAST_EFFICIENCY, help="parallel efficiency of a team that is recommended")
    found.add_argument("--output", type=Path, default=Path("verdict"), help="folder of the page")
    found.add_argument(
        "--log", action="store_true", help="add page and JSON to each study's MLflow run, and the verdict to its description"
    )
    return found


def tracking_uris(arguments: argparse.Namespace) -> list[str]:
    """One for each study.

    Raises:
        ConfigError: neither one nor as many as there are studies are given; or the verdict is to be logged where nothing can be.
    """
    uris: list[str] = arguments.tracking_uri or [default_tracking_uri(Path("results") / name) for name in arguments.studies]
    if len(uris) == 1:
        uris *= len(arguments.studies)
    if len(uris) != len(arguments.studies):
        message = f"{len(uris)} tracking URIs for {len(arguments.studies)} studies: give one for all of them, or one for each."
        raise ConfigError(message, key="tracking_uri")
    frozen = [uri for uri in uris if is_published(uri)]
    if arguments.log and frozen:
        message = f"published frames take no verdict: {', '.join(frozen)}. Leave out --log."
        raise ConfigError(message, key="log")
    return uris


def write(answer: Answer, folder: Path) -> list[Path]:
    """Page and JSON.

    Raises:
        DataError: the folder cannot be made or written in.
    """
    document = answer.as_document()
    texts = {"verdict.html": verdict_page.page(document), "verdict.json": json.dumps(document, indent=1, allow_nan=False) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(folder / name, partial(write_text, text=text))
    except OSError as problem:
        message = f"cannot be written: {problem.strerror}"
        raise DataError(message, file=str(problem.filename or folder)) from problem
    return [folder / name for name in texts]


def log(answer: Answer, written: list[Path], uris: list[str], records: list[Records]) -> None:
    """Into the MLflow run of each study."""
    for uri, record in zip(uris, records, strict=True):
        add_verdict(uri, record.info.run_id, written, answer.sentence())


if __name__ == "__main__":
    sys.exit(main())
