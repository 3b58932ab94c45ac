"""Write a study's trials and epochs as files that go with a repository: every script here then draws from that folder, too.

    python analysis/publish_frames.py STUDY --output FOLDER [--results DIR] [--run-id ID]
    python analysis/large_batch.py STUDY --tracking-uri FOLDER --output FIGURES

A study run in parts is published part by part into one folder. Layout and rules: ``gan3d.tracking.published``.
"""

from __future__ import annotations

import argparse
import sys

import drawing

from gan3d.tracking import frames


def main() -> int:
    """Publish; 2 if there is no such study."""
    return drawing.run(drawing.parser(__doc__.splitlines()[0] if __doc__ else "").parse_args(), write)


def write(arguments: argparse.Namespace) -> str:
    """The folder's files; returns the study's run id."""
    number = frames.publish(arguments.tracking_uri, arguments.study, arguments.output, arguments.run_id)
    arguments.written += sorted(arguments.output.iterdir())
    print(f"{number} trials of {arguments.study}")
    return frames.study(arguments.tracking_uri, arguments.study, arguments.run_id).run_id


if __name__ == "__main__":
    sys.exit(main())
