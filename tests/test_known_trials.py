"""What an earlier study's trials are, told to one that begins: from its tracking and from its published frames, without a training."""

from __future__ import annotations

from pathlib import Path

import pytest
from logged import log_epoch
from small_study import load_small_study
from test_store import record

from gan3d.config.load import dump_study
from gan3d.records import TrialRecord
from gan3d.search.warm_start import known_trials
from gan3d.tracking import frames
from gan3d.tracking.store import StudyTracker, default_tracking_uri

CLIPPING = "training.gradient_clipping"
SPACE = {CLIPPING: {"choice": [1.0, None]}, "training.seed": {"choice": [1, 2]}}


@pytest.mark.parametrize("place", ["results", "published"])
def test_a_value_that_is_nothing_is_known_as_any_other(tracked_folder, tmp_path: Path, place: str) -> None:
    results = Path(tracked_folder("results"))
    loaded = load_small_study(tmp_path, SPACE)
    (results / "study.yaml").write_text(dump_study(loaded.study), encoding="utf-8")
    tracker = StudyTracker.open(default_tracking_uri(results), study_name="small", results=results, resume=False)
    tracker.log_study("", dump_study(loaded.study), [], {}, {}, objective=loaded.study.objective)
    samples = list(loaded.study.grid)
    for number, sample in enumerate(samples):
        settings = loaded.study.trial_settings(sample)
        tracker.start_trial(number, sample, settings.model_dump(mode="json"), settings.digest())
        log_epoch(tracker, number, record(1, float(number)))
        tracker.end_trial(TrialRecord(number, sample, "complete", "", 1, float(number), 1.0))
    tracker.end()
    frames.publish(default_tracking_uri(results), "small", tmp_path / "published")
    start = results if place == "results" else tmp_path / "published"
    (tmp_path / "next").mkdir()
    following = load_small_study(tmp_path / "next", SPACE, warm_start=[str(start)])
    known = known_trials(following.study, following.base)
    assert [one.sample for one in known] == samples
    assert [one.sample[CLIPPING] for one in known] == [1.0, 1.0, None, None]
