"""Laws of the batches: the ranks' epochs partition the data set, another order each epoch, the same bits each time, in bounded memory."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shower_layouts import clic, clic_angle, make_showers

from gan3d.data.dataset import ShowerSet
from gan3d.data.loader import Loader, Share, validation_shard
from gan3d.data.memory import shuffled_within
from gan3d.data.read_ahead import read_ahead
from gan3d.data.showers import Showers
from gan3d.errors import DataError

SIZES = (300, 120, 250)
NUM_SHOWERS = sum(SIZES)
CACHES = pytest.mark.parametrize("cache_megabytes", [0, 64], ids=["window", "whole_set"])
SAMPLE = Path(__file__).parent.parent / "samples" / "geant4" / "clic_10_100_train.h5"


NUM_LARGE = 200_160
"""Of 25 x 25 x 25 cells: 12.5 GB decoded."""
WORKER = """
import re, sys
from pathlib import Path
from gan3d.data.dataset import ShowerSet
from gan3d.data.loader import Loader, Share

showers = ShowerSet.open([sys.argv[1]], base=Path.cwd())
loader = Loader(showers, Share(batch_per_worker=64, rank=0, world_size=2, seed=1), cache_megabytes=512, read_ahead_batches=4)
"""
WHOLE_EPOCH = """
num_seen = sum(len(batch) for batch in loader.epoch(0))
peak_kilobytes = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(len(showers), num_seen, peak_kilobytes * 1024)
"""
DIES_WITHIN = """
batches = loader.epoch(0)
next(batches)
sys.exit(3)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("showers")
    for number, size in enumerate(SIZES):
        clic(folder / f"{number}.h5", make_showers(size, seed=number))
    return folder


def _loader(
    folder: Path, rank: int = 0, world_size: int = 1, *, cache_megabytes: int = 0, num_steps: int | None = None, **other: Any
) -> Loader:
    showers = ShowerSet.open(["*.h5"], base=folder)
    share = Share(**{"batch_per_worker": 16, "rank": rank, "world_size": world_size, "seed": 3} | other)
    return Loader(showers, share, cache_megabytes=cache_megabytes, read_ahead_batches=2, num_steps=num_steps)


def _identities(loader: Loader, epoch: int) -> np.ndarray:
    return np.concatenate([batch.identity for batch in loader.epoch(epoch)])


def _reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gan3d-read-ahead"]


@CACHES
@pytest.mark.parametrize(("world_size", "batch_per_worker"), [(1, 16), (1, 670), (2, 16), (3, 7), (5, 32), (8, 1)])
def test_ranks_partition_the_data_set(world_size: int, batch_per_worker: int, cache_megabytes: int, folder: Path) -> None:
    loaders = [
        _loader(folder, rank, world_size, batch_per_worker=batch_per_worker, cache_megabytes=cache_megabytes) for rank in range(world_size)
    ]
    global_batch = batch_per_worker * world_size
    assert {loader.num_steps for loader in loaders} == {NUM_SHOWERS // global_batch}
    for epoch in range(2):
        seen = np.concatenate([_identities(loader, epoch) for loader in loaders])
        assert len(np.unique(seen)) == len(seen) == NUM_SHOWERS // global_batch * global_batch
        assert set(seen) <= set(range(NUM_SHOWERS))


@CACHES
def test_the_remainder_is_another_one_each_epoch(cache_megabytes: int, folder: Path) -> None:
    loader = _loader(folder, batch_per_worker=64, cache_megabytes=cache_megabytes)
    remainders = [set(range(NUM_SHOWERS)) - set(_identities(loader, epoch)) for epoch in range(6)]
    assert {len(each) for each in remainders} == {NUM_SHOWERS % 64}
    assert len({frozenset(each) for each in remainders}) == 6


@CACHES
def test_every_epoch_every_seed_and_every_rank_has_its_own_order(cache_megabytes: int, folder: Path) -> None:
    orders = {
        tuple(_identities(_loader(folder, rank, 2, seed=seed, cache_megabytes=cache_megabytes), epoch))
        for rank in range(2)
        for seed in range(2)
        for epoch in range(3)
    }
    assert len(orders) == 12


@CACHES
def test_an_epoch_depends_on_its_number_only_bit_for_bit(cache_megabytes: int, folder: Path) -> None:
    went_on, resumed = (_loader(folder, 1, 3, cache_megabytes=cache_megabytes) for _ in range(2))
    for epoch in range(2):
        _identities(went_on, epoch)
    for first, second in zip(went_on.epoch(2), resumed.epoch(2), strict=True):
        assert first.cells.tobytes() == second.cells.tobytes()
        assert first.incident_energy.tobytes() == second.incident_energy.tobytes()
        assert first.identity.tobytes() == second.identity.tobytes()


@CACHES
def test_a_batch_holds_the_showers_that_it_names(cache_megabytes: int, folder: Path) -> None:
    every = ShowerSet.open(["*.h5"], base=folder).read(np.arange(NUM_SHOWERS))
    for batch in _loader(folder, cache_megabytes=cache_megabytes).epoch(0):
        assert len(batch) == 16
        np.testing.assert_array_equal(batch.cells, every.cells[batch.identity])
        np.testing.assert_array_equal(batch.incident_energy, every.incident_energy[batch.identity])


@CACHES
def test_the_polar_angle_goes_with_its_shower(cache_megabytes: int, tmp_path: Path) -> None:
    showers = make_showers(90, has_polar_angle=True)
    assert showers.polar_angle is not None
    clic_angle(tmp_path / "file.h5", showers)
    for batch in _loader(tmp_path, cache_megabytes=cache_megabytes).epoch(0):
        np.testing.assert_array_equal(batch.polar_angle, showers.polar_angle[batch.identity])


@CACHES
def test_dropped_showers_are_in_no_batch_and_no_other_is_lost(cache_megabytes: int, tmp_path: Path) -> None:
    showers = make_showers(200)
    showers.cells[::9] = 0
    showers.cells[100, 2, 2, 2] = np.nan
    clic(tmp_path / "file.h5", showers)
    seen = [_identities(_loader(tmp_path, rank, 4, batch_per_worker=1, cache_megabytes=cache_megabytes), 0) for rank in range(4)]
    assert sorted(np.concatenate(seen)) == sorted(set(range(200)) - set(range(0, 200, 9)) - {100})


@pytest.fixture(scope="module")
def streamed_order(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Order of an epoch of 8192 showers (4.2 MB) of which a window of 1024 is held."""
    folder = tmp_path_factory.mktemp("streamed")
    clic(folder / "file.h5", make_showers(8192, (8, 8, 2)))
    return _identities(_loader(folder, batch_per_worker=64, cache_megabytes=2), 0)


def test_one_rank_shuffles_well_though_it_reads_in_blocks(streamed_order: np.ndarray) -> None:
    assert sorted(streamed_order) == list(range(8192))
    assert (np.abs(np.diff(streamed_order)) == 1).mean() < 0.01
    assert abs(np.corrcoef(streamed_order, np.arange(8192))[0, 1]) < 0.2
    blocks_in_a_batch = [len(np.unique(batch // 32)) for batch in streamed_order.reshape(-1, 64)]
    assert min(blocks_in_a_batch) >= 20


def test_a_window_holds_no_more_than_it_may(streamed_order: np.ndarray) -> None:
    """Whatever is let go has been read: the blocks seen so far, less the showers let go, were all held at that time."""
    blocks = streamed_order // 32
    is_first = np.zeros(8192, dtype=bool)
    is_first[np.unique(blocks, return_index=True)[1]] = True
    held = 32 * np.cumsum(is_first) - np.arange(1, 8193)
    assert held.max() <= 1024 + 2 * 32


def test_an_epoch_ends_early_when_asked(folder: Path) -> None:
    loader = _loader(folder, num_steps=5)
    assert loader.num_steps == len(list(loader.epoch(0))) == 5
    assert _loader(folder, num_steps=1000).num_steps == NUM_SHOWERS // 16


def test_fewer_showers_than_a_global_batch_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"670 showers are fewer than one global batch of 672; lower training\.global_batch or add files"):
        _loader(folder, 0, 2, batch_per_worker=336)


def test_a_warm_cache_needs_no_file(tmp_path: Path) -> None:
    clic(tmp_path / "file.h5", make_showers(64))
    loader = _loader(tmp_path, cache_megabytes=64)
    first = _identities(loader, 0)
    (tmp_path / "file.h5").unlink()
    assert sorted(_identities(loader, 1)) == sorted(first)


def test_a_step_does_not_wait_on_a_warm_cache(folder: Path) -> None:
    loader = _loader(folder, cache_megabytes=64)
    _identities(loader, 0)
    waits, batches = [], loader.epoch(1)
    for _ in range(loader.num_steps):
        asked = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - asked)
        time.sleep(0.005)
    batches.close()
    assert np.median(waits) < 0.0025


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
@CACHES
def test_reading_takes_one_thread_and_no_more(cache_megabytes: int, folder: Path) -> None:
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    batches = _loader(folder, cache_megabytes=cache_megabytes).epoch(0)
    next(batches)
    assert len(list(tasks.iterdir())) <= before + 1
    batches.close()


def test_the_next_trial_on_the_same_set_finds_it_in_memory(tmp_path: Path) -> None:
    clic(tmp_path / "file.h5", make_showers(64))
    showers = ShowerSet.open(["*.h5"], base=tmp_path)
    shares = [Share(batch_per_worker=16, rank=0, world_size=1, seed=seed) for seed in (1, 2)]
    first = _identities(Loader(showers, shares[0], cache_megabytes=64, read_ahead_batches=2), 0)
    (tmp_path / "file.h5").unlink()
    second = _identities(Loader(showers, shares[1], cache_megabytes=64, read_ahead_batches=2), 0)
    assert sorted(first) == sorted(second) == list(range(64))
    assert first.tolist() != second.tolist()


@CACHES
def test_the_thread_ends_when_the_consumer_stops_early(cache_megabytes: int, folder: Path) -> None:
    batches = _loader(folder, cache_megabytes=cache_megabytes).epoch(0)
    next(batches)
    assert len(_reading_threads()) == 1
    batches.close()
    assert not _reading_threads()


def test_the_thread_ends_when_the_consumer_forgets_the_iterator(folder: Path) -> None:
    for _ in _loader(folder).epoch(0):
        break
    gc.collect()
    assert not _reading_threads()


def test_an_epoch_that_nobody_starts_has_no_thread(folder: Path) -> None:
    batches = _loader(folder).epoch(0)
    assert not _reading_threads()
    batches.close()


def test_a_worker_that_dies_within_an_epoch_ends() -> None:
    command = [sys.executable, "-c", WORKER + DIES_WITHIN, str(SAMPLE)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 3


@CACHES
def test_an_error_while_reading_ahead_reaches_the_consumer(cache_megabytes: int, tmp_path: Path) -> None:
    clic(tmp_path / "file.h5", make_showers(300))
    loader = _loader(tmp_path, cache_megabytes=cache_megabytes)
    (tmp_path / "file.h5").unlink()
    with pytest.raises(DataError, match="there is no such file"):
        list(loader.epoch(0))
    assert not _reading_threads()


def test_items_before_an_error_are_delivered_first() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        message = "third"
        raise ValueError(message)

    ahead = read_ahead(items(), depth=3)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(ahead)


@pytest.mark.parametrize("depth", [1, 4])
def test_as_many_items_wait_ready_as_asked_and_no_more(depth: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    ahead = read_ahead(items(), depth)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    # One in the consumer's hands, `depth` ready, one in the thread's hands.
    while len(made) < depth + 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(made) == depth + 2
    ahead.close()


@given(num_showers=st.integers(0, 300), window=st.integers(1, 100), seed=st.integers(0, 1000))
def test_a_shuffling_window_is_a_permutation_that_looks_no_further_ahead(num_showers: int, window: int, seed: int) -> None:
    going = shuffled_within(num_showers, window, np.random.default_rng(seed))
    assert sorted(going) == list(range(num_showers))
    assert (going <= np.arange(num_showers) + window - 1).all()


@given(num_showers=st.integers(0, 1000), world_size=st.integers(1, 50))
def test_validation_shards_are_consecutive_and_together_all(num_showers: int, world_size: int) -> None:
    shards = [validation_shard(num_showers, rank, world_size) for rank in range(world_size)]
    assert np.concatenate(shards).tolist() == list(range(num_showers))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def _seen_by(folder: Path, rank: int, pipe: multiprocessing.connection.Connection) -> None:
    pipe.send(_identities(_loader(folder, rank, 3, cache_megabytes=0), 1))


def test_forked_processes_read_the_same_files_at_the_same_time(folder: Path) -> None:
    expected = [_identities(_loader(folder, rank, 3), 1) for rank in range(3)]
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(3)]
    processes = [context.Process(target=_seen_by, args=(folder, rank, pipes[rank][1])) for rank in range(3)]
    for process in processes:
        process.start()
    for rank, process in enumerate(processes):
        assert pipes[rank][0].poll(60)
        np.testing.assert_array_equal(pipes[rank][0].recv(), expected[rank])
        process.join(timeout=20)
        assert process.exitcode == 0
    for end in itertools.chain.from_iterable(pipes):
        end.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_a_data_set_of_12_gigabytes_is_read_in_2_gigabytes(tmp_path: Path) -> None:
    with h5py.File(SAMPLE) as sample, h5py.File(tmp_path / "large.h5", "w") as large:
        num_copies = NUM_LARGE // len(sample["ECAL"])
        for name in ("ECAL", "target"):
            layout = h5py.VirtualLayout((NUM_LARGE, *sample[name].shape[1:]), dtype="f4")
            for copy in range(num_copies):
                layout[copy * 720 : (copy + 1) * 720] = h5py.VirtualSource(SAMPLE, name, shape=sample[name].shape)
            large.create_virtual_dataset(name, layout)
    command = [sys.executable, "-c", WORKER + WHOLE_EPOCH, str(tmp_path / "large.h5")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=550)
    num_showers, num_seen, peak_bytes = map(int, answer.stdout.split())
    assert num_showers == NUM_LARGE
    assert num_seen == NUM_LARGE // 128 * 64
    assert peak_bytes < 2_000_000_000


def test_showers_of_a_slice_share_their_cells() -> None:
    showers = make_showers(5)
    assert np.shares_memory(showers.take(slice(1, 3)).cells, showers.cells)
    assert not np.shares_memory(showers.take(np.array([1, 2])).cells, showers.cells)
    assert isinstance(showers.take(slice(0, 1)), Showers)


@CACHES
@pytest.mark.parametrize("rank", [0, 1])
def test_in_the_seeds_order_every_rank_takes_the_first_showers_in_every_epoch(rank: int, cache_megabytes: int, folder: Path) -> None:
    loader = _loader(folder, rank, 2, order="seed", virtual_ranks=3, batch_per_worker=8, cache_megabytes=cache_megabytes)
    assert loader.num_steps == NUM_SHOWERS // 48
    for epoch in range(2):
        of_steps = _identities(loader, epoch).reshape(loader.num_steps, 3, 8)
        for of_virtual_rank in of_steps.transpose(1, 0, 2):
            np.testing.assert_array_equal(of_virtual_rank.reshape(-1), np.arange(loader.num_steps * 8))


def test_virtual_ranks_take_what_as_many_workers_would(folder: Path) -> None:
    together = _loader(folder, 1, 2, virtual_ranks=3, batch_per_worker=8, cache_megabytes=64)
    for epoch in range(2):
        of_steps = _identities(together, epoch).reshape(together.num_steps, 3, 8)
        for number in range(3):
            alone = _loader(folder, 3 + number, 6, batch_per_worker=8, cache_megabytes=64)
            np.testing.assert_array_equal(of_steps[:, number].reshape(-1), _identities(alone, epoch))


def test_virtual_ranks_of_a_large_set_share_no_shower(folder: Path) -> None:
    loaders = [_loader(folder, rank, 2, virtual_ranks=3, batch_per_worker=8) for rank in range(2)]
    seen = np.concatenate([_identities(loader, 1) for loader in loaders])
    assert len(np.unique(seen)) == len(seen) == NUM_SHOWERS // 48 * 48
