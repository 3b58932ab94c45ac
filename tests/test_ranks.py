"""Two workers of 8 showers do what one worker of 16 does; ranks that train together stay equal to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo_processes import GlooProcesses
from small_trial import ALONE, checksum, showers_of, small_files, small_trial, trained, training_showers
from torch.nn.parallel import DistributedDataParallel

from gan3d.config.training import TrialSettings
from gan3d.data.showers import Showers
from gan3d.training.clock import PhaseClock
from gan3d.training.conditions import TrainingSetConditions
from gan3d.training.loop import autocast_of, to_batch
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState, transform_of
from gan3d.training.step import Recipe, finish_step, slots_of, train_step

GLOBAL_BATCH = 16
#: Everything that draws random numbers per shower is on; dropout, which belongs to ranks, is off.
AGREEING: dict[str, Any] = {"training.discriminator.dropout": 0.0, "training.flipped_targets": 0.25, "workers.per_trial": 2}
RECIPES: dict[str, dict[str, Any]] = {
    "seed": {},
    "adam_clipped": {"training.optimiser.name": "adam", "training.gradient_clipping": 0.1, "training.generator_steps": 3},
    "seed_conditions": {"training.conditions": "seed", "training.response": "seed"},
    # 2.2 million weights: more than DDP's first bucket of 1 MiB holds, so early buckets take the asynchronous way.
    "several_buckets": {"training.generator.noise_dim": 4096},
}

#: The others run with the slow tests.
FAST = ("seed", "several_buckets")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


@contextmanager
def arithmetic(dtype: torch.dtype) -> Iterator[None]:
    """Networks and noise made inside are of this type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def in_type(showers: Showers, dtype: torch.dtype) -> Showers:
    numpy_type = torch.zeros((), dtype=dtype).numpy().dtype
    return Showers(showers.cells.astype(numpy_type), showers.incident_energy.astype(numpy_type), None, showers.identity)


def after_steps(ranks: Ranks, settings: TrialSettings, dtype: torch.dtype, num_steps: int) -> dict[str, torch.Tensor]:
    """Gradients and weights of both networks after steps on the first showers, of which every rank takes its part."""
    torch.set_num_threads(1)  # in every process alike: the number of threads chooses the kernels
    with arithmetic(dtype):
        state, batch = TrainState(settings, ranks), settings.batch_per_worker
        conditions = showers_of(settings).conditions(settings.training)
        if isinstance(conditions, TrainingSetConditions):
            conditions = TrainingSetConditions(conditions.incident_energy.to(dtype), None)
        recipe = Recipe(
            settings.training, conditions, showers_of(settings).response(settings.training), autocast_of(settings, ranks.device)
        )
        for step in range(num_steps):
            first = step * settings.global_batch + ranks.rank * batch
            showers = in_type(training_showers(settings, first, first + batch), dtype)
            cells = to_batch(showers, transform_of(settings), ranks.device, polar_angle=False)
            train_step(state, cells, recipe, slots_of(settings, ranks, step), PhaseClock())
        finish_step(state, recipe)
        assert isinstance(state.generator_ddp, DistributedDataParallel) == (ranks.world_size > 1)
        found = {}
        for name in ("generator", "discriminator"):
            for parameter, value in getattr(state, name).named_parameters():
                found[f"{name}.{parameter}"] = value.detach().clone()
                found[f"{name}.{parameter}.grad"] = value.grad.clone()
        return found


def largest_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], *, of: str) -> float:
    """Over all tensors of one kind, relative to each tensor's largest number."""
    names = [name for name in expected if name.endswith(".grad") == (of == "gradients")]
    assert names
    return max(float((found[name] - expected[name]).abs().max() / expected[name].abs().max().clamp_min(1e-30)) for name in names)


def settings_of(files: Path, recipe: dict[str, Any], world_size: int) -> TrialSettings:
    return small_trial(files, AGREEING | recipe | {"training.global_batch": GLOBAL_BATCH, "workers.per_trial": world_size})


def compare(two_ranks: GlooProcesses, files: Path, recipe: dict[str, Any], dtype: torch.dtype, *, num_steps: int = 1) -> dict[str, float]:
    alone = after_steps(ALONE, settings_of(files, recipe, 1), dtype, num_steps)
    together = two_ranks.run(after_steps, settings_of(files, recipe, 2), dtype, num_steps)
    for name, value in together[0].items():
        assert torch.equal(value, together[1][name]), f"{name} differs between the ranks"
    return {kind: largest_difference(together[0], alone, of=kind) for kind in ("gradients", "weights")}


@pytest.mark.parametrize("recipe", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in RECIPES])
def test_two_workers_of_8_are_one_of_16_to_double_rounding(two_ranks: GlooProcesses, files: Path, recipe: str) -> None:
    differences = compare(two_ranks, files, RECIPES[recipe], torch.float64, num_steps=2 if recipe == "seed" else 1)
    assert max(differences.values()) < 1e-8, differences


def test_two_workers_of_8_are_one_of_16_to_single_rounding(two_ranks: GlooProcesses, files: Path) -> None:
    # RMSprop divides a gradient by its own size, so a weight whose gradient is rounding noise moves at random: not so with a large epsilon.
    # Rounding that takes one number over the kink of an activation changes gradients by far more than rounding. Which seeds that happens to
    # depends on the processor (up to 7e-2 was seen, and 9e-6 without); a mistake in the arithmetic happens to all of them.
    recipes = [{"training.optimiser.epsilon": 1.0, "training.seed": seed} for seed in range(2016, 2020)]
    found = [compare(two_ranks, files, recipe, torch.float32) for recipe in recipes]
    assert min(max(differences.values()) for differences in found) < 1e-4, found


def test_batch_normalisation_sees_one_workers_showers(two_ranks: GlooProcesses, files: Path) -> None:
    """The documented exception, and proof that the comparison can fail."""
    differences = compare(two_ranks, files, {"training.discriminator.normalisation": "batch"}, torch.float64)
    assert differences["gradients"] > 1e-3


def after_training(ranks: Ranks, settings: TrialSettings) -> tuple[str, list[dict[str, float]]]:
    state, records = trained(settings, ranks)
    return checksum(state.generator, state.discriminator), [record.as_metrics() for record in records]


@pytest.mark.parametrize("normalisation", ["group", "batch", "batch_per_plane"])
def test_ranks_are_equal_bit_for_bit_after_epochs_with_dropout(two_ranks: GlooProcesses, files: Path, normalisation: str) -> None:
    changes = {
        "training.generator.normalisation": normalisation,
        "training.discriminator.normalisation": normalisation,
        "training.epochs": 3,
        "workers.per_trial": 2,
    }
    (first, records), (second, records_of_other) = two_ranks.run(after_training, small_trial(files, changes))
    assert first == second
    assert len(records) == 3
    assert records == records_of_other, "a record is merged before it exists: the same on every rank"


def test_gradients_through_memory_and_through_the_network_are_the_same_bit_for_bit(two_ranks: GlooProcesses, files: Path) -> None:
    changes = {"training.epochs": 2, "workers.per_trial": 2} | RECIPES["several_buckets"]
    found = [two_ranks.run(after_training, small_trial(files, changes | {"workers.shared_memory": is_on})) for is_on in (True, False)]
    assert len({checksum for ranks in found for checksum, _ in ranks}) == 1


def collectives(ranks: Ranks) -> dict[str, Any]:
    mine = torch.tensor([1.0 + ranks.rank, -1.0 - ranks.rank])
    found: dict[str, Any] = {name: getattr(ranks, name)(mine.clone()).tolist() for name in ("sum", "max", "min", "mean")}
    in_place = mine.clone()
    ranks.sum(in_place)
    ranks.barrier()
    return found | {"in_place": in_place.tolist(), "broadcast": ranks.broadcast({"from": ranks.rank})}


def test_collectives_of_two_ranks(two_ranks: GlooProcesses) -> None:
    expected = {
        "sum": [3.0, -3.0],
        "max": [2.0, -1.0],
        "min": [1.0, -2.0],
        "mean": [1.5, -1.5],
        "in_place": [3.0, -3.0],
        "broadcast": {"from": 0},
    }
    assert two_ranks.run(collectives) == [expected, expected]


def test_a_world_of_one_needs_no_process_group() -> None:
    found = collectives(ALONE)
    expected = {name: [1.0, -1.0] for name in ("sum", "max", "min", "mean", "in_place")}
    assert found == expected | {"broadcast": {"from": 0}}
    assert not torch.distributed.is_initialized()
