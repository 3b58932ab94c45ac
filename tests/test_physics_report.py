"""Figures of any showers beside Monte Carlo: files in, pictures and tables out."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from shower_layouts import make_showers
from small_study import write_showers
from trained_states import settings, write

from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.generation.trained import trial_folder
from gan3d.validation.detector import Detector

ANALYSIS = Path(__file__).resolve().parents[1] / "analysis"


def report(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["physics_report.py", *map(str, arguments)])
    code: int = script_of(monkeypatch).main()
    return code


def script_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ANALYSIS))
    return importlib.import_module("physics_report")


@pytest.mark.slow
def test_twice_the_energy_is_a_ratio_of_two_in_every_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_showers(tmp_path, num_train=60, num_validation=30)
    showers = open_shower_file(tmp_path / "train.h5").read(0, 60)
    write_clic_file(tmp_path / "doubled.h5", Showers(2 * showers.cells, showers.incident_energy, None, showers.identity))
    output = tmp_path / "figures"
    assert report(monkeypatch, tmp_path / "doubled.h5", "--reference", tmp_path / "train.h5", "--output", output) == 0
    observables = {f"observables_{bin}{scale}" for bin in ("low", "middle", "high") for scale in ("", "_log")}
    names = {"profiles", "layers", "cells", "correlations", "observable_correlations", "events"} | observables
    assert {path.stem for path in output.glob("*.png")} == {f"physics_{name}" for name in names}
    ratios = pd.read_csv(output / "physics_profiles.csv")["ratio"].dropna()
    assert len(ratios) > 60
    assert ratios.to_numpy() == pytest.approx(2, rel=1e-4)
    shares = pd.read_csv(output / "physics_observables.csv").groupby(["observable", "bin"])[["monte_carlo", "value"]].sum()
    assert shares.to_numpy() == pytest.approx(1), "what lies beyond the edges is in the outermost bins"
    assert set(shares.index.get_level_values("bin")) == {"low", "middle", "high"}
    layers = pd.read_csv(output / "physics_correlations.csv")
    assert layers["value"].to_numpy() == pytest.approx(layers["monte_carlo"].to_numpy(), abs=1e-5)
    pairs = pd.read_csv(output / "physics_observable_correlations.csv").set_index(["observable", "other"])
    found = pairs.loc["shower_maximum", "barycentre_depth"]
    assert 0.3 < found["monte_carlo"] == pytest.approx(found["value"], abs=1e-5)
    widths = pd.read_csv(output / "physics_layers.csv")
    assert widths[widths["profile"].str.startswith("width")]["value"].notna().sum() > 60
    cells = pd.read_csv(output / "physics_cells.csv")
    assert cells["profile"].nunique() == 6


def test_broken_and_empty_showers_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_showers(tmp_path, num_train=60, num_validation=30)
    showers = open_shower_file(tmp_path / "train.h5").read(0, 60)
    showers.cells[3, 6, 6, 6] = np.nan
    showers.cells[7] = 0
    script = script_of(monkeypatch)
    kind = script.kind_of("generated", "red", showers, Detector(np.ones(12)))
    assert (len(kind.showers), kind.num_dropped) == (58, 2)
    arguments = argparse.Namespace(label="generated", what=tmp_path / "broken.h5")
    assert "Left out as empty or not finite: 2 generated, 2 generated." in script.note_of(arguments, (kind, kind), ())
    panels = script.profile_panels((kind, kind), 10, 100)
    assert all(np.isfinite(value).all() for panel in panels for value, _ in panel.found), "a place would vanish"


def test_ratios_beyond_the_panel_are_triangles_on_the_axis_of_the_panel_above(monkeypatch: pytest.MonkeyPatch) -> None:
    script_of(monkeypatch)
    panels = importlib.import_module("physics_panels")
    value, error, showers = np.ones(3), np.full(3, 0.1), make_showers(20, (3, 3, 3))
    kinds = [panels.Kind(name, name, showers, None, {}, 0) for name in ("black", "red")]
    panel = panels.Panel("", "layer", "", np.array([4.0, 5.0, 6.0]), ((value, error), (np.array([2.0, 1.1, 0.1]), error)), value > 0)
    figure = panels.draw_grid([[panel]], kinds)
    upper, lower = figure.axes
    triangles = {tuple(place) for one in lower.collections for place in np.asarray(one.get_offsets())}
    assert {(4.0, 1.3), (6.0, 0.7)} <= triangles
    dots = next(line for line in lower.lines if line.get_marker() == "o")
    assert list(dots.get_xdata()) == [5.0]
    upper.set_xlim(0, 25)
    assert lower.get_xlim() == (0, 25)
    plt.close(figure)


def test_other_grids_are_told_and_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_showers(tmp_path, num_train=60, num_validation=30)
    write_clic_file(tmp_path / "small.h5", make_showers(60, (6, 5, 4)))
    assert report(monkeypatch, tmp_path / "small.h5", "--reference", tmp_path / "train.h5", "--output", tmp_path) == 2
    assert "showers of 6 x 5 x 4 cells cannot be held against those of 12 x 12 x 12" in capsys.readouterr().err


def test_a_trial_is_refused_its_training_files_and_warned_of_its_validation_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_showers(tmp_path, num_train=60, num_validation=60)
    trial = trial_folder(tmp_path, 1)
    trial.path.mkdir(parents=True)
    files = {"train": (str(tmp_path / "train.h5"),), "validation": (str(tmp_path / "validation.h5"),)}
    write(trial.best, settings().model_copy(update={"data": settings().data.model_copy(update=files)}))
    assert report(monkeypatch, trial.path, "--reference", tmp_path / "train.h5") == 2
    assert "is a file of data.train of this trial" in capsys.readouterr().err
    arguments = argparse.Namespace(what=trial.path, reference=[tmp_path / "validation.h5"], most=60, seed=1, label="generated")
    (reference, generated), warnings = script_of(monkeypatch).both_kinds(arguments, Detector(np.ones(12)))
    assert len(reference.showers) == len(generated.showers) + generated.num_dropped == 60, "as many as the reference has"
    assert "chose the epoch" in warnings[0]


def test_what_is_no_file_of_showers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(monkeypatch, tmp_path / "absent.h5", "--reference", tmp_path / "nothing.h5") == 2
    assert "there is no such file" in capsys.readouterr().err
