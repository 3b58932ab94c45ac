"""Figures of any showers beside Monte Carlo: files in, pictures and tables out."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_study import write_showers

from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers

ANALYSIS = Path(__file__).resolve().parents[1] / "analysis"


def report(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.syspath_prepend(str(ANALYSIS))
    monkeypatch.setattr(sys, "argv", ["physics_report.py", *map(str, arguments)])
    code: int = importlib.import_module("physics_report").main()
    return code


def test_twice_the_energy_is_a_ratio_of_two_in_every_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_showers(tmp_path, num_train=60, num_validation=30)
    showers = open_shower_file(tmp_path / "train.h5").read(0, 60)
    write_clic_file(tmp_path / "doubled.h5", Showers(2 * showers.cells, showers.incident_energy, None, showers.identity))
    output = tmp_path / "figures"
    assert report(monkeypatch, tmp_path / "doubled.h5", "--reference", tmp_path / "train.h5", "--output", output) == 0
    names = {"profiles", "observables", "correlations", "events"}
    assert {path.stem for path in output.glob("*.png")} == {f"physics_{name}" for name in names}
    profiles = pd.read_csv(output / "physics_profiles.csv")
    ratios = profiles["ratio"].dropna()
    assert len(ratios) > 60
    assert ratios.to_numpy() == pytest.approx(2, rel=1e-4)
    observables = pd.read_csv(output / "physics_observables.csv")
    assert observables.groupby(["observable", "kind"])["share"].sum().max() <= 1 + 1e-9
    correlations = pd.read_csv(output / "physics_correlations.csv")
    assert np.allclose(correlations["value"], correlations["monte_carlo"], equal_nan=True)


def test_what_is_no_file_of_showers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(monkeypatch, tmp_path / "absent.h5", "--reference", tmp_path / "nothing.h5") == 2
    assert "there is no such file" in capsys.readouterr().err
