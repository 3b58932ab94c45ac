"""analysis/simulation_against_geant4.py: what cannot be read is told in a sentence, as by every script."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

ANALYSIS = Path(__file__).resolve().parents[1] / "analysis"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["absent.h5"], "absent.h5: there is no such file"), (["absent.h5", "--calorimeter", "none_of_ours"], "none_of_ours")],
)
def test_what_cannot_be_read_is_told(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ANALYSIS))
    monkeypatch.setattr(sys, "argv", ["simulation_against_geant4.py", *arguments])
    assert importlib.import_module("simulation_against_geant4").main() == 2
    assert told in capsys.readouterr().err
