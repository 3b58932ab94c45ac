"""Laws of advice: badly chunked sets that stream are named with a way out that works; others are left in peace."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gan3d.config.load import load_study
from gan3d.config.training import Data
from gan3d.data.advice import storage_advice
from gan3d.data.dataset import ShowerSet
from gan3d.data.storage import storage_of
from gan3d.search.plan import make_plan
from gan3d.search.resources import Cluster, Node

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "samples" / "geant4" / "clic_10_100_train.h5"
STREAMED: dict[str, Any] = {"cache_megabytes_per_worker": 0}


def _stored(path: Path, **options: Any) -> Path:
    """The sample's showers, stored otherwise."""
    with h5py.File(SAMPLE) as sample, h5py.File(path, "w") as file:
        file.create_dataset("ECAL", data=sample["ECAL"][()], **options)
        file["target"] = sample["target"][()]
    return path


def _advice(folder: Path, **data: Any) -> tuple[str, ...]:
    asked = Data(train=("*.h5",), validation=("*.h5",), **(STREAMED | data))
    return storage_advice(ShowerSet.open(["*.h5"], base=folder), asked)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    _stored(tmp_path / "bad.h5", chunks=(700, 25, 25, 25), compression="gzip", shuffle=True)
    return tmp_path


def test_a_chunk_of_many_showers_is_named_with_both_ways_out(bad: Path) -> None:
    (advice,) = _advice(bad)
    assert advice.startswith("bad.h5: 700 showers, 44 MB, are packed together (shuffle, gzip)")
    assert "set data.node_cache to a folder" in advice
    assert "h5repack -l ECAL:CHUNK=16x25x25x25" in advice


def test_files_alike_are_named_once(bad: Path) -> None:
    with h5py.File(bad / "bad.h5") as one, h5py.File(bad / "bad_too.h5", "w") as other:
        other.create_dataset("ECAL", data=one["ECAL"][:710], chunks=(700, 25, 25, 25), compression="gzip", shuffle=True)
        other["target"] = one["target"][:710]
    assert [advice.split(":")[0] for advice in _advice(bad)] == ["bad.h5 and 1 more"]


@pytest.mark.skipif(shutil.which("h5repack") is None, reason="HDF5's tools are not here")
def test_the_advised_command_writes_a_file_that_is_read_well(bad: Path) -> None:
    (advice,) = _advice(bad)
    subprocess.run(advice[advice.index("h5repack") :].split(), check=True, timeout=120)
    with h5py.File(bad / "bad_repacked.h5") as good, h5py.File(bad / "bad.h5") as before:
        assert storage_of(good["ECAL"]).chunk == 16
        np.testing.assert_array_equal(good["ECAL"][()], before["ECAL"][()])


def test_chunks_of_parts_of_showers_are_named_too(tmp_path: Path) -> None:
    _stored(tmp_path / "parts.h5", chunks=(700, 5, 5, 25), compression="lzf")
    (advice,) = _advice(tmp_path)
    assert advice.startswith("parts.h5: 700 showers, 44 MB, are packed together (lzf)")


def test_good_chunks_are_left_in_peace(tmp_path: Path) -> None:
    shutil.copy(SAMPLE, tmp_path)
    assert _advice(tmp_path) == ()


def test_what_is_not_compressed_is_left_in_peace(tmp_path: Path) -> None:
    _stored(tmp_path / "contiguous.h5")
    _stored(tmp_path / "chunked.h5", chunks=(700, 25, 25, 25))
    assert _advice(tmp_path) == ()


def test_a_set_that_is_kept_in_memory_is_left_in_peace(bad: Path) -> None:
    assert _advice(bad, cache_megabytes_per_worker=512) == ()
    assert _advice(bad, cache_megabytes_per_worker=2, max_train_showers=32) == ()


def test_a_set_that_is_decoded_on_the_node_is_left_in_peace(bad: Path) -> None:
    assert _advice(bad, node_cache="$TMPDIR/showers") == ()


def test_a_plan_says_it(bad: Path) -> None:
    overrides = [f"data.train=[{bad / 'bad.h5'}]", "data.cache_megabytes_per_worker=0"]
    loaded = load_study(ROOT / "studies" / "quickstart.yaml", overrides)
    planned = make_plan(loaded, Cluster((Node(8, 0, 64.0),), "here"))
    assert len(planned.stock.advice) == 1
    assert json.loads(json.dumps(planned.as_dict()))["stock"]["node_cache_bytes"] is None


def test_a_plan_says_what_a_nodes_disk_holds() -> None:
    loaded = load_study(ROOT / "studies" / "quickstart.yaml", ["data.node_cache=/scratch"])
    planned = make_plan(loaded, Cluster((Node(8, 0, 64.0),), "here"))
    assert planned.stock.node_cache_bytes == (720 + 180) * 62_500
