"""Published frames are the study's own, name no place on anybody's machine, and grow part by part."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_frames import SAMPLES, write_study

from gan3d.errors import ConfigError
from gan3d.tracking import frames
from gan3d.tracking.published import EPOCHS, STUDY, TEXT, TRIALS, read_trials
from gan3d.tracking.store import default_tracking_uri

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def uri(tracked_folder):
    folder = tracked_folder("study")
    write_study(default_tracking_uri(folder), folder, "two_trials")
    return default_tracking_uri(folder)


@pytest.fixture(scope="module")
def folder(uri, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "two_trials"
    assert frames.publish(uri, "two_trials", folder) == 2
    return folder


def test_trials_and_epochs_come_back_as_mlflow_has_them(uri, folder):
    """With their numbers, though the second was the first to start: trials that start at once may."""
    assert not frames.trials(uri, "two_trials")["started"].is_monotonic_increasing
    pd.testing.assert_frame_equal(frames.trials(str(folder), "two_trials"), frames.trials(uri, "two_trials"), check_dtype=False)
    pd.testing.assert_frame_equal(frames.epochs(str(folder), "two_trials"), frames.epochs(uri, "two_trials"), check_dtype=False)


def test_samples_keep_their_types(folder):
    found = frames.trials(str(folder), "two_trials")
    for number, sample in enumerate(SAMPLES):
        assert {key: found[key].tolist()[number] for key in sample} == sample


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["seed", "3", "", "5"], ["seed", 3, None, 5]),
        (["relu", "", "rectified_normal"], ["relu", None, "rectified_normal"]),
        (["True", "", "False"], [True, None, False]),
        (["none", "linear"], ["none", "linear"]),
    ],
)
def test_a_samples_key_may_have_words_numbers_and_gaps(values, expected, tmp_path):
    file = tmp_path / TRIALS
    file.write_text("trial,training.knob\n" + "".join(f"{place},{value}\n" for place, value in enumerate(values)), encoding="utf-8")
    found = [None if pd.isna(value) else value for value in read_trials(tmp_path)["training.knob"]]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_asked_for_metrics_are_all_there_is(folder):
    found = frames.epochs(str(folder), "two_trials", metrics=["physics.response"])
    assert [name for name in found if name.startswith(("physics.", "losses.", "timing."))] == ["physics.response"]


def test_the_study_comes_back(uri, folder):
    published, original = frames.study(str(folder), "two_trials"), frames.study(uri, "two_trials")
    assert (published.question, published.yaml_text, published.run_id) == (original.question, original.yaml_text, original.run_id)
    assert published.provenance == {"commit": "abc"}
    assert published.artifact_dir is None


def test_no_file_names_a_place(uri, tmp_path):
    """Neither where the study ran, nor the command line it was started with."""
    where = Path(uri.removeprefix("sqlite:///")).parent
    frames.publish(uri, "two_trials", tmp_path / "out")
    texts = [gzip.decompress((tmp_path / "out" / EPOCHS).read_bytes()).decode()]
    texts += [file.read_text(encoding="utf-8") for file in (tmp_path / "out").iterdir() if file.suffix != ".gz"]
    assert not any(str(where) in text for text in texts)
    assert "command" not in json.loads((tmp_path / "out" / STUDY).read_text(encoding="utf-8"))["provenance"]


def test_publishing_again_changes_no_byte(uri, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert frames.publish(uri, "two_trials", copy) == 2
    assert {file.name: file.read_bytes() for file in copy.iterdir() if file.name != STUDY} == {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name != STUDY
    }


def test_another_part_adds_its_trials_and_of_one_recipe_the_complete_one_stays(tracked_folder, folder, tmp_path):
    """The other part trained three recipes: that of the complete trial here anew, that of the pruned one anew, and a new one."""
    other = tracked_folder("other")
    write_study(default_tracking_uri(other), other, "two_trials", [SAMPLES[0], SAMPLES[1]])
    copy = shutil.copytree(folder, tmp_path / "copy")
    ours = frames.trials(str(copy), "two_trials").set_index("digest")["run_id"]
    (copy / TEXT).write_text("name: whole\n", encoding="utf-8")
    table = pd.read_csv(copy / TRIALS)
    table.loc[table["digest"] == "digest1", "digest"] = "another recipe"
    table.loc[table["digest"] == "digest0", ["digest", "state"]] = ["digest1", "complete"]
    table.to_csv(copy / TRIALS, index=False)
    assert frames.publish(default_tracking_uri(other), "two_trials", copy) == 3
    found = frames.trials(str(copy), "two_trials")
    assert found["trial"].tolist() == [0, 1, 2]
    is_ours = found["run_id"].isin(ours).tolist()
    assert is_ours == sorted(is_ours, reverse=True), "the other part's come behind"
    by_digest = found.set_index("digest")
    assert by_digest.loc["digest1", "run_id"] == ours["digest0"]
    assert set(by_digest["state"]) == {"complete", "pruned"}
    rows = frames.epochs(str(copy), "two_trials")
    assert rows.groupby("run_id").size().reindex(found["run_id"]).tolist() == found["epochs"].tolist()
    assert frames.study(str(copy), "two_trials").provenance["parts"] == "2"
    assert (copy / TEXT).read_text(encoding="utf-8") == "name: whole\n"


def test_another_study_is_refused(tracked_folder, folder, tmp_path):
    other = tracked_folder("other study")
    write_study(default_tracking_uri(other), other, "another")
    with pytest.raises(ConfigError, match="two_trials"):
        frames.publish(default_tracking_uri(other), "another", shutil.copytree(folder, tmp_path / "copy"))
    with pytest.raises(ConfigError, match="two_trials"):
        frames.study(str(folder), "another")


def test_the_projects_own_ablation_is_drawn_from_its_published_frames(tmp_path):
    """What `studies/README.md` says of large batches comes from this command."""
    command = [sys.executable, str(ROOT / "analysis" / "large_batch.py"), "large_batch", "--output", str(tmp_path), "--markdown"]
    command += ["--tracking-uri", str(ROOT / "studies" / "published" / "large_batch")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "from the defects of its code" in done.stdout
    assert {"large_batch_by_updates.png", "large_batch_energies.svg", "large_batch.md"} <= {file.name for file in tmp_path.iterdir()}
