"""Verdict pages of records, opened in Chromium."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from gan3d.verdict.answer import Answer

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
IN_A_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
#: A page that draws at all draws within seconds.
PATIENCE_MS = 20_000


def page_of(answer: Answer) -> str:
    """What analysis/verdict.py writes."""
    sys.path.insert(0, str(ROOT / "analysis"))
    try:
        return str(importlib.import_module("verdict_page").page(answer.as_document()))
    finally:
        sys.path.remove(str(ROOT / "analysis"))


@contextmanager
def opened(text: str, folder: Path, width: int = 1280) -> Iterator[tuple[Page, list[str]]]:
    """The page once it has drawn, and what its console complains of."""
    (folder / "verdict.html").write_text(text)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 844})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((folder / "verdict.html").as_uri(), wait_until="commit")
        page.wait_for_selector("#recipes-plot .main-svg", timeout=PATIENCE_MS)
        yield page, problems
        browser.close()
