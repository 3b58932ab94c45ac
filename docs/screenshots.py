"""Pictures of MLflow's pages on a study, for the documentation: docs/figures/mlflow_*.png.

    gan3d run studies/quickstart.yaml && python docs/screenshots.py results/quickstart

Starts ``gan3d ui`` on the study and takes its pages with Chromium, headless: the study's run, its trials by shower distance, and the
charts of the best of them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from gan3d.tracking import frames
from gan3d.tracking.client import open_client
from gan3d.tracking.store import default_tracking_uri

FIGURES = Path(__file__).parent / "figures"
SIZE = {"width": 1280, "height": 800}
#: Seconds that MLflow may take to start, and that a page may take to draw.
START, DRAWN = 180.0, 60.0
#: Seconds from a page's first words to its last curves.
SETTLED = 5.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Take them all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the study's folder")
    parser.add_argument("--output", type=Path, default=FIGURES, help="folder of the pictures")
    arguments = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        message = f"there is no browser: one of {', '.join(BROWSERS)} is needed"
        raise SystemExit(message)
    arguments.output.mkdir(parents=True, exist_ok=True)
    uri, name = default_tracking_uri(arguments.results), arguments.results.resolve().name
    study, trials = frames.study(uri, name), frames.trials(uri, name)
    experiment = open_client(uri).get_run(study.run_id).info.experiment_id
    best = trials.loc[trials["best_objective"].idxmin()]
    order = urlencode({"orderByKey": f"metrics.`{study.objective_metric.replace('.', '/', 1)}`", "orderByAsc": "true"})
    pages = {
        "study": (f"#/experiments/{experiment}/runs/{study.run_id}", name),
        "trials": (f"#/experiments/{experiment}/runs?{order}", "trial 0000"),
        "charts": (f"#/experiments/{experiment}/runs/{best['run_id']}/model-metrics", "core_seconds"),
    }
    with served(arguments.results) as address, sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(viewport=SIZE)
        prepare(page, address + pages["study"][0])
        for picture, (place, text) in pages.items():
            path = arguments.output / f"mlflow_{picture}.png"
            take(page, address + place, text, path)
            sys.stdout.write(f"{path}\n")
    return 0


def take(page: Page, url: str, text: str, path: Path) -> None:
    """One picture, once the page says ``text`` and has stopped moving."""
    page.goto("about:blank")  # the part behind # alone would not load anew
    page.goto(url)
    page.get_by_text(text).first.wait_for(timeout=1000 * DRAWN)
    page.wait_for_timeout(1000 * SETTLED)  # its pages never stop asking for news
    page.screenshot(path=path)


def prepare(page: Page, url: str) -> None:
    """Have runs, not conversations, in the side bar."""
    page.goto(url)
    page.get_by_text("Model training", exact=True).first.click(timeout=1000 * DRAWN)
    page.wait_for_timeout(1000 * SETTLED)


@contextmanager
def served(results: Path) -> Iterator[str]:
    """The address of MLflow's pages while they are served."""
    command = [sys.executable, "-m", "gan3d.cli", "ui", results.name, "--results", str(results)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\d.:]+/", server.stdout.readline())
        if found is None:
            message = "gan3d ui did not start"
            raise SystemExit(message)
        wait_for(found[0])
        yield found[0]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def wait_for(address: str) -> None:
    """Until the server answers."""
    end = time.monotonic() + START
    while True:
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
