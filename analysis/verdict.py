"""The answer to a question that several studies were run for: one page, and the same as JSON.

    python analysis/verdict.py STUDY [STUDY ...] [--tracking-uri URI|FOLDER ...] [--validation FILE.json ...] [--generation FILE.json ...]
        [--target DISTANCE] [--least-efficiency SHARE] [--output DIR]

Joins searches, confirmations and scaling studies, what ``gan3d validate TRIAL --json`` said of trials, and what ``gan3d benchmark
generation --output`` measured. Writes verdict.html, which needs no network, and verdict.json. What is chosen and how: ``gan3d.verdict``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import verdict_page

from gan3d.errors import ConfigError, Gan3dError
from gan3d.tracking.store import default_tracking_uri
from gan3d.verdict.answer import Answer, Asked, answer_of
from gan3d.verdict.evidence import Records, read_gates, read_timings
from gan3d.verdict.teams import LEAST_EFFICIENCY


def main() -> int:
    """Write both; 2 if there is no answer."""
    arguments = parser().parse_args()
    try:
        answer = read(arguments)
    except Gan3dError as error:
        print(error, file=sys.stderr)
        return 2
    arguments.output.mkdir(parents=True, exist_ok=True)
    document = answer.as_document()
    for name, text in (
        ("verdict.json", json.dumps(document, indent=1, allow_nan=False) + "\n"),
        ("verdict.html", verdict_page.page(document)),
    ):
        path = arguments.output / name
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    found.add_argument("studies", nargs="+", metavar="STUDY", help="names of studies; searches, confirmations and scaling studies alike")
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
    found.add_argument("--target", type=float, default=None, help="shower distance that counts as reached; without: 1.1 x the best one")
    found.add_argument("--least-efficiency", type=float, default=LEAST_EFFICIENCY, help="parallel efficiency of a team that is recommended")
    found.add_argument("--output", type=Path, default=Path("verdict"), help="folder of the page")
    return found


def read(arguments: argparse.Namespace) -> Answer:
    """The answer.

    Raises:
        ConfigError: there is no such study, or as many tracking URIs as there are studies are not given.
        DataError: a file is not what it should be.
    """
    uris = arguments.tracking_uri or [default_tracking_uri(Path("results") / name) for name in arguments.studies]
    if len(uris) == 1:
        uris *= len(arguments.studies)
    if len(uris) != len(arguments.studies):
        message = f"{len(uris)} tracking URIs for {len(arguments.studies)} studies: give one for all of them, or one for each."
        raise ConfigError(message, key="tracking_uri")
    records = [Records.read(uri, name) for uri, name in zip(uris, arguments.studies, strict=True)]
    asked = Asked(arguments.target, arguments.least_efficiency)
    return answer_of(records, read_gates(arguments.validation), read_timings(arguments.generation), asked)


if __name__ == "__main__":
    sys.exit(main())
