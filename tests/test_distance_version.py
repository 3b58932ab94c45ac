"""Physics distances of two definitions are never compared: a version belongs to what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from logged import log_epoch
from shower_makers import geant4_showers
from torch import Tensor
from verdict_records import SEEDS, records

from gan3d.config.load import LoadedStudy, load_study
from gan3d.config.study import Study
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError
from gan3d.physics.binning import Binning
from gan3d.physics.definitions import VERSION, distance_version
from gan3d.physics.distance import monte_carlo_floor
from gan3d.physics.matching import matched_draws
from gan3d.physics.sums import ShowerSums
from gan3d.records import EpochRecord, Losses, PhysicsDistance, Timing, TrialRecord
from gan3d.search.warm_start import known_trials
from gan3d.tracking import frames
from gan3d.tracking.provenance import provenance
from gan3d.tracking.store import StudyTracker, default_tracking_uri
from gan3d.verdict.answer import answer_of

STUDY = """
name: earlier
question: Which?
search_space: {{training.seed: {{choice: [1, 2]}}}}
sampler: {{name: grid}}
objective: {{metric: physics.shower_distance}}
training: {{global_batch: 16, polar_angle: {angle}}}
data: {{train: [a.h5], validation: [b.h5], grid: [16, 9, 45], cells: {cells}}}
"""
KINDS = {"square": ("square", False), "polar": ("polar", False), "angle": ("square", True)}

#: The floor of the Geant4 samples as it was recorded before there was a version 2.
FLOOR_OF_VERSION_1 = {
    "shower_distance": 0.09076502363966206,
    "shower_distance_low_energy": 0.08742262203295555,
    "shower_distance_high_energy": 0.08633976517432279,
    "response": 0.01235809722835119,
    "resolution": 0.08455302917642593,
    "longitudinal_profile": 0.02129856090651741,
    "transverse_profile": 0.02084866344362488,
    "first_moments": 0.21678129564399914,
    "second_moments": 0.21517655445403397,
    "layer_fractions": 0.2427575548979712,
    "occupancy": 0.14642662569782403,
    "cell_energy_spectrum": 0.01449805623745846,
    "maximum_position": 0.09197530864197533,
}


def study_of(kind: str, folder: Path, more: str = "") -> LoadedStudy:
    cells, angle = KINDS[kind]
    path = folder / "earlier.yaml"
    path.write_text(STUDY.format(cells=cells, angle=str(angle).lower()) + more, encoding="utf-8")
    return load_study(path)


def settings_of(kind: str, folder: Path) -> TrialSettings:
    return study_of(kind, folder).study.trial_settings({"training.seed": 1})


def record(value: float) -> EpochRecord:
    return EpochRecord(1, *(group(**{entry.name: value for entry in fields(group)}) for group in (Losses, PhysicsDistance, Timing)))


def earlier(kind: str, folder: Path, facts: dict[str, Any]) -> Study:
    """A study that is done, of one trial, with such a provenance; its frames are in `published`."""
    study, sample = study_of(kind, folder).study, {"training.seed": 1}
    settings = study.trial_settings(sample)
    tracker = StudyTracker.open(default_tracking_uri(folder), study_name="earlier", results=folder, resume=False)
    tracker.log_study("Which?", (folder / "earlier.yaml").read_text("utf-8"), [], {}, facts, objective=study.objective)
    tracker.start_trial(0, sample, settings.model_dump(), settings.digest())
    log_epoch(tracker, 0, record(0.5))
    tracker.end_trial(TrialRecord(0, sample, "complete", "", 1, 0.5, 9.0))
    assert tracker.end()
    frames.publish(default_tracking_uri(folder), "earlier", folder / "published")
    return study


@pytest.mark.parametrize(("kind", "version"), [("square", 1), ("polar", 2), ("angle", 2)])
def test_square_cells_stay_what_they_were(kind: str, version: int, tmp_path: Path) -> None:
    settings = settings_of(kind, tmp_path)
    assert distance_version(settings) == version
    assert distance_version(settings, 1) == 1
    assert distance_version(settings, VERSION + 1) == VERSION + 1, "anything may have changed"


def test_square_cells_have_the_numbers_they_had() -> None:
    """To the last bit where they were recorded; other processors round otherwise."""
    (cells, energy), (candidates, candidate_energy) = geant4_showers("validation"), geant4_showers("train")
    binning = Binning.from_incident_energy((25, 25, 25), energy)

    def sums(showers: Tensor) -> ShowerSums:
        found = ShowerSums(binning)
        found.add(showers, energy)
        return found

    draws = [sums(candidates[rows]) for rows in matched_draws(candidate_energy.numpy(), energy.numpy(), num_draws=3)]
    found = monte_carlo_floor(draws, sums(cells))
    assert {name: found[name] for name in FLOOR_OF_VERSION_1} == pytest.approx(FLOOR_OF_VERSION_1, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "physics", "refused"),
    [
        ("square", "1", None),
        ("square", None, None),
        ("square", "2", None),
        ("polar", "2", None),
        ("polar", "1", "by definitions 1, now they are 2"),
        ("polar", None, "by definitions 1, now they are 2"),
        ("angle", "1", "by definitions 1, now they are 2"),
        ("square", "3", "by definitions 3, now they are 1"),
    ],
)
def test_a_warm_start_refuses_what_other_definitions_measured(
    kind: str, physics: str | None, refused: str | None, tracked_folder: Callable[[str], Path]
) -> None:
    folder = tracked_folder(f"{kind}{physics}")
    earlier(kind, folder, {} if physics is None else {"physics": physics})
    loaded = study_of(kind, folder, "warm_start: [published]\n")
    if refused is None:
        assert [one.trial for one in known_trials(loaded.study, loaded.base)] == [0]
        return
    with pytest.raises(ConfigError, match=refused):
        known_trials(loaded.study, loaded.base)


def test_a_study_says_the_newest_version_and_the_reader_which_one_its_trials_have(tracked_folder: Callable[[str], Path]) -> None:
    folder = tracked_folder("now")
    earlier("polar", folder, provenance([]))
    info = frames.study(str(folder / "published"), "earlier")
    assert info.provenance["physics"] == str(VERSION)
    assert [info.distance_version(settings_of(kind, folder)) for kind in KINDS] == [1, 2, 2]


@pytest.mark.parametrize(("changes", "ranked"), [({}, True), ({"training": {"global_batch": 16, "polar_angle": True}}, False)])
def test_the_verdict_ranks_distances_of_one_definition(changes: dict[str, Any], ranked: bool) -> None:
    """Of the same showers, measured by an earlier and by this version."""
    rows = [{"training.seed": seed, "seconds": 10, "distances": [0.1 * seed]} for seed in (1, 2)]
    old, new = (records(name, rows, {"training.seed": SEEDS["training.seed"]}, **changes) for name in ("old", "new"))
    new = replace(new, info=replace(new.info, provenance={"physics": str(VERSION)}))
    old = replace(old, info=replace(old.info, provenance={"physics": "1"}))
    assert [one.study for one in answer_of([old, new]).not_ranked] == ([] if ranked else ["new"])
