"""The figure of a staircase: its table holds the numbers, its note says what they are of, its labels do not cover each other."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from logged import log_epoch
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from gan3d.config.load import read_study
from gan3d.config.stairs import STAIRS
from gan3d.models.work import gigaflop_per_shower
from gan3d.records import EpochRecord, Losses, PhysicsDistance, Timing, TrialRecord
from gan3d.search.blocks import ordered_grid
from gan3d.tracking import frames
from gan3d.tracking.store import StudyTracker, default_tracking_uri

ROOT = Path(__file__).resolve().parents[1]
ANALYSIS = ROOT / "analysis"
SHIPPED = (ROOT / "studies" / "single_node.yaml").read_text(encoding="utf-8").replace("name: single_node", "name: NAME")
STUDY = """\
name: NAME
question: What is each setting of a node worth?
search_space:
  stairs:
    start: {workers.threads_per_worker: 2, workers.onednn: false, workers.convolutions: plain}
    oneDNN: {workers.onednn: true}
    filters of 16: {training.generator.filters.1: 16, training.generator.filters.2: 16, training.discriminator.filters.1: 16}
    2 workers: {workers.per_trial: 2, workers.threads_per_worker: 1}
    nothing much: {workers.memory_format: contiguous}
  training.seed: {choice: [1, 2, 3, 4, 5]}
sampler: {name: grid, blocks: training.seed}
objective: {metric: timing.showers_per_second}
workers: {one_node: true}
training: {epochs: 2, batch_per_worker: 8}
data: {train: [train.h5], validation: [validation.h5]}
"""
#: Showers per second of each stair, before a block's drift and scatter.
RATES = {"start": 1.6, "oneDNN": 8.0, "filters of 16": 6.0, "2 workers": 9.0, "nothing much": 8.9}
NAMES = tuple(RATES)


def write_stairs(uri, results, name, blocks=(1, 2, 3, 4, 5), without=(), text=STUDY, scatter=0.01):
    """A finished study of these rates, or of some for stairs that have none here; the first epoch of each trial is slow."""
    text = text.replace("NAME", name)
    study = read_study(text, "test")
    tracker = StudyTracker.open(uri, study_name=name, results=results, resume=False)
    tracker.log_study(study.question, text, [], {}, {}, objective=study.objective)
    rng = np.random.default_rng(4)
    samples = [sample for sample in ordered_grid(study) if sample["training.seed"] in blocks and sample.get(STAIRS) not in without]
    for number, sample in enumerate(samples):
        settings = study.trial_settings(sample)
        tracker.start_trial(number, sample, settings.model_dump(), "")
        rate = RATES.get(sample.get(STAIRS), 15.0) * 1.1 ** sample["training.seed"] * np.exp(scatter * rng.standard_normal())
        for epoch, speed in ((1, rate / 10), (2, rate)):
            known = {"num_showers": 8.0 * settings.world_size, "showers_per_second": speed, "epochs_since_start": float(epoch)}
            log_epoch(tracker, number, record(epoch, known))
        tracker.end_trial(TrialRecord(number, sample, "complete", "", 2, rate, 5.0))
    assert tracker.end()


def record(epoch, known):
    """An epoch's record of ones, but for what is known."""
    kinds = (Losses, PhysicsDistance, Timing)
    return EpochRecord(epoch, *(kind(**{entry.name: known.get(entry.name, 1.0) for entry in fields(kind)}) for kind in kinds))


@pytest.fixture(scope="module")
def results(tracked_folder):
    folder = tracked_folder("stairs")
    uri = default_tracking_uri(folder)
    write_stairs(uri, folder, "five")
    write_stairs(uri, folder, "two", blocks=(1, 2), text=SHIPPED, scatter=0.3)
    write_stairs(uri, folder, "one", blocks=(1,))
    write_stairs(uri, folder, "unfinished", blocks=(1,), without=("2 workers",))
    flat = STUDY[: STUDY.index("  stairs:")] + STUDY[STUDY.index("  training.seed") :]
    write_stairs(uri, folder, "flat", text=flat)
    return folder


@pytest.fixture
def single_node(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    return importlib.import_module("single_node")


@pytest.fixture
def drawn(single_node, results, tmp_path, monkeypatch):
    """Runs the script in this process; returns its exit code, its figure as drawn, and table and facts if it wrote them."""

    def run(study, *options):
        figures = []
        heading = single_node.drawing.heading
        monkeypatch.setattr(single_node.drawing, "heading", lambda figure, *texts: (figures.append(figure), heading(figure, *texts)))
        monkeypatch.setattr(sys, "argv", ["single_node", study, "--results", str(results), "--output", str(tmp_path), *options])
        code = single_node.main()
        if code:
            return code, None, None, None
        table = pd.read_csv(tmp_path / "single_node.csv").set_index("stair")
        return code, figures[0], table, json.loads((tmp_path / "single_node.json").read_text(encoding="utf-8"))

    return run


def test_the_table_holds_the_numbers(drawn, results):
    code, _, table, facts = drawn("five", "--log")
    assert code == 0
    assert tuple(table.index) == NAMES
    assert (table["blocks"] == 5).all()
    expected = [RATES[name] / RATES[before] for before, name in itertools.pairwise(NAMES)]
    assert table["factor"].to_numpy()[1:] == pytest.approx(expected, rel=0.05)
    assert table["cumulative"].to_numpy() == pytest.approx([RATES[name] / RATES["start"] for name in NAMES], rel=0.05)
    study = read_study(frames.study(default_tracking_uri(results), "five").yaml_text, "test")
    work = [gigaflop_per_shower(study.trial_settings({STAIRS: name})) for name in NAMES]
    assert table["gigaflop_per_shower"].to_numpy() == pytest.approx(work)
    assert work[0] == work[1] < work[2] == work[3] == work[4]
    assert table.loc["filters of 16", "factor"] < 1 < table.loc["filters of 16", "work_factor"]
    assert table.loc["oneDNN", "change"] == "onednn=true"
    assert [row["cumulative"] for row in facts["rows"]] == pytest.approx(table["cumulative"].tolist())
    assert facts["rows"][0]["factor"] is None, "the lowest has none"
    assert (facts["seed_factor"], facts["block_key"], facts["blocks"]) == (8.0, "training.seed", 5)
    assert sorted(facts["showers_per_second_by_block"]["3"]) == sorted(NAMES)
    folder = frames.study(default_tracking_uri(results), "five").artifact_dir / "figures"
    assert sorted(path.name for path in folder.iterdir()) == [f"single_node.{ending}" for ending in ("csv", "json", "png", "svg")]


def test_the_figure_says_what_its_numbers_are(drawn, tmp_path):
    drawn("five")
    text = (tmp_path / "single_node.svg").read_text(encoding="utf-8")
    for said in ("What is each setting of a node worth?", "Showers per second", "Work per second", "2018: 8x", *NAMES):
        assert said in text
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in {".svg", ".json"}}
    drawn("five")
    assert first == {name: (tmp_path / name).read_bytes() for name in first}, "the same numbers, the same bytes"


@pytest.mark.parametrize(
    ("study", "said", "unsaid"),
    [
        ("five", "95% t-intervals on log ratios over 5 blocks paired by training.seed", "FEWER THAN"),
        ("two", "over 2 blocks paired by training.seed; grey dots are blocks. FEWER THAN 5 BLOCKS: intervals are wide", "One block"),
        ("one", "One block: no intervals. Left out: timing warm-up epochs, 1 per trial", "FEWER THAN"),
    ],
)
def test_the_note_tells_how_much_to_trust(drawn, study, said, unsaid):
    _, figure, table, _ = drawn(study)
    note = " ".join(figure.texts[1].get_text().split())
    assert said in note
    assert unsaid not in note
    assert table["cumulative_low"].iloc[1:].isna().all() == (study == "one")


def texts_of(figure):
    """All that is drawn; matplotlib keeps labels of ticks that it has used before and of those beyond the ends of an axis."""
    of_ticks = {text for tick in figure.findobj(Tick) for text in (tick.label1, tick.label2)}
    texts = [text for text in figure.findobj(Text) if text not in of_ticks]
    for axes in figure.axes:
        low, high = axes.get_ylim()
        texts += [*axes.get_xticklabels(), *(label for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high)]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("study", ["five", "two", "one"])
def test_no_label_covers_another_or_leaves_the_figure(drawn, study):
    _, figure, _, _ = drawn(study)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer, edge = canvas.get_renderer(), figure.bbox
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts_of(figure)]
    assert len(boxes) > 40
    for (one, box), (other, other_box) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other_box), (one, other)
    for text, box in boxes:
        assert edge.x0 <= box.x0 <= box.x1 <= edge.x1, text
        assert edge.y0 <= box.y0 <= box.y1 <= edge.y1, text


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("unfinished", "no trial on 2 workers has an epoch after its warm-up epochs"),
        ("flat", "the study has no staircase"),
        ("absent", "Studies there: five, flat, one, two, unfinished"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_sentence(drawn, capsys, study, message):
    assert drawn(study)[0] == 2
    assert message in capsys.readouterr().err
