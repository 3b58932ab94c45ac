"""The bytes DDP reduces in a step are those counted without a team, bucket by bucket, in the order of launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from gloo_processes import GlooProcesses
from small_trial import small_files, small_files_with_angle, small_trial, some_epochs
from torch.nn.parallel import distributed

from gan3d.config.training import TrialSettings
from gan3d.models.work import discriminator_multiply_adds, generator_multiply_adds, step_multiply_adds
from gan3d.training.all_reduce import DeferredAllReduce
from gan3d.training.buckets import (
    BUCKET_BYTES,
    DISCRIMINATOR_UPDATES,
    FIRST_BUCKET_BYTES,
    filled,
    hiding_shares,
    network_buckets,
    update_buckets,
)
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState

#: Trials whose gradients fill one bucket and several. Buckets do not depend on how convolutions are computed; the first says so.
TRIALS: dict[str, dict[str, Any]] = {
    "measured_convolutions": {
        "workers.convolutions": "measured",
        "training.generator.filters": [64, 32, 4],
        "training.generator.kernel": 5,
    },
    "normalised_per_batch": {
        "training.generator.filters": [96, 64, 8],
        "training.generator.kernel": "seed",
        "training.generator.normalisation": "batch",
        "training.discriminator.normalisation": "batch_per_plane",
        "training.generator_steps": 1,
    },
    "virtual_ranks": {
        "training.generator.filters": [128, 96, 8],
        "training.generator.output": "rectified_normal",
        "training.virtual_ranks": 2,
        "training.global_batch": 8,
    },
    "small_buckets": {"training.generator.filters": [64, 32, 4], "training.generator.kernel": 5, "workers.bucket_megabytes": 0.25},
    "polar_angle": {"training.polar_angle": True, "training.discriminator.filters": [8, 64, 96, 64]},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Shower files without and with a polar angle."""
    plain = small_files(tmp_path_factory.mktemp("showers"), num_train=16, num_validation=6)
    return {False: plain, True: small_files_with_angle(tmp_path_factory.mktemp("angles"), num_train=16, num_validation=6)}


def launched(ranks: Ranks, settings: TrialSettings) -> list[tuple[int, int]]:
    """Of every bucket that this rank's training launched: its place, and its bytes."""
    seen: list[tuple[int, int]] = []
    launch = DeferredAllReduce.launch

    def watched(self, state, bucket):  # type: ignore[no-untyped-def]  # DDP looks at annotations
        seen.append((bucket.index(), bucket.buffer().nbytes))
        return launch(self, state, bucket)

    DeferredAllReduce.launch = watched  # type: ignore[method-assign]
    try:
        list(some_epochs(settings, TrainState(settings, ranks), 1, ranks))
    finally:
        DeferredAllReduce.launch = launch  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize("name", TRIALS)
def test_buckets_are_those_that_ddp_launches(two_ranks: GlooProcesses, folders: dict[bool, Path], name: str) -> None:
    """Two steps; the first reduction of each network is of one bucket."""
    common = {"training.epochs": 1, "training.global_batch": 4, "training.max_steps_per_epoch": 2, "workers.per_trial": 2}
    settings = small_trial(folders[name == "polar_angle"], common | {"workers.convolutions": "plain"} | TRIALS[name])
    updates = update_buckets(settings)
    assert max(map(len, updates)) > 1, "a trial that tells the order of arrival"
    first = list(updates)
    for place in (0, DISCRIMINATOR_UPDATES):
        first[place] = (sum(updates[place]),)
    expected = [bucket for update in (*first, *updates) for bucket in enumerate(update)]
    assert two_ranks.run(launched, settings) == [expected, expected]


def test_the_seeds_networks_fill_one_bucket_each(folders: dict[bool, Path]) -> None:
    """Their 872,808 + 73,402 trainable parameters: all of the generator's but the dense layer's stay below the first bucket's limit."""
    networks = {name: {"normalisation": "batch"} for name in ("generator", "discriminator")}
    settings = small_trial(
        folders[False], {f"training.{name}": content for name, content in networks.items()} | {"data.grid": [25, 25, 25]}
    )
    assert update_buckets(settings) == ((4 * 73_402,),) * 2 + ((4 * 872_808,),) * 2
    wider = {"training.generator.filters": [64, 16, 16], "training.discriminator.filters": [32, 16, 16, 16]}
    changes = {f"training.{name}": content for name, content in networks.items()} | wider | {"data.grid": [25, 25, 25]}
    generator, _ = network_buckets(small_trial(folders[False], changes))
    assert len(generator) == 2


def test_the_discriminators_reductions_hide_behind_the_generator_and_the_generators_last_behind_the_discriminator(
    folders: dict[bool, Path],
) -> None:
    settings = small_trial(folders[False], {"training.generator_steps": 3})
    training, grid = settings.training, settings.data.grid
    step = step_multiply_adds(training, grid)
    generator, of_dense = generator_multiply_adds(training.generator, grid)
    discriminator, of_first = discriminator_multiply_adds(training.discriminator, grid)
    first, second, *bare, last = hiding_shares(settings)
    assert first == second == pytest.approx(generator / step)
    assert bare == [0.0, 0.0]
    assert last == pytest.approx((3 * discriminator - of_first) / step)
    virtual = small_trial(folders[False], {"training.generator_steps": 3, "training.virtual_ranks": 2})
    assert hiding_shares(virtual) == (first, pytest.approx(second / 2), *bare, last), "one virtual rank's pass, and the update is needed"
    assert first + 2 * last == pytest.approx(1 - 3 * (3 * generator - of_dense + 2 * discriminator) / step)


def test_a_bucket_closes_when_it_holds_its_limit_or_more() -> None:
    assert filled([]) == []
    assert filled([4]) == [4]
    assert filled([FIRST_BUCKET_BYTES - 4, 4, 4]) == [FIRST_BUCKET_BYTES, 4]
    assert filled([FIRST_BUCKET_BYTES - 4, 8, 4]) == [FIRST_BUCKET_BYTES + 4, 4]
    assert filled([FIRST_BUCKET_BYTES, BUCKET_BYTES - 4, 4, 4]) == [FIRST_BUCKET_BYTES, BUCKET_BYTES, 4]


def test_limits_are_torchs() -> None:
    assert dist._DEFAULT_FIRST_BUCKET_BYTES == FIRST_BUCKET_BYTES
    assert distributed._DEFAULT_BUCKET_CAP_MB << 20 == BUCKET_BYTES
