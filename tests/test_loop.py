"""The loop: merged records, learning rates that act, training that breaks down on all ranks together, and a generator that learns."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from gloo_processes import GlooProcesses
from small_trial import ALONE, checksum, showers_of, small_files, small_trial, some_epochs, trained, training_showers, values

from gan3d.config.training import TrialSettings
from gan3d.errors import DivergedError
from gan3d.records import METRICS, PHASES
from gan3d.training.clock import PhaseClock
from gan3d.training.loop import Trial, Work, epochs, learning_rate_factor, merged_losses, merged_timing, to_batch
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState, transform_of
from gan3d.training.step import Batch

NUM_TRAIN = 48


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"), num_train=NUM_TRAIN)


def factors(files: Path, changes: dict[str, Any], steps: range, steps_per_epoch: int = 10) -> list[float]:
    settings = small_trial(files, {"training.epochs": 5, "training.learning_rate_reference_batch": 4} | changes)
    return [learning_rate_factor(settings, step, steps_per_epoch) for step in steps]


@pytest.mark.parametrize(("rule", "full"), [("none", 1.0), ("sqrt", 2.0), ("linear", 4.0)])
def test_the_rule_scales_learning_rates_with_the_global_batch(files: Path, rule: str, full: float) -> None:
    assert factors(files, {"training.learning_rate_rule": rule}, range(3)) == [full] * 3


def test_warm_up_rises_step_by_step_to_the_full_rate(files: Path) -> None:
    warm_up = {"training.learning_rate_warmup_epochs": 0.5}
    assert factors(files, warm_up, range(7)) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])
    linear = warm_up | {"training.learning_rate_rule": "linear"}
    assert factors(files, linear, range(7)) == pytest.approx([1.6, 2.2, 2.8, 3.4, 4, 4, 4])
    assert factors(files, {"training.learning_rate_warmup_epochs": 2.0}, range(19, 22)) == pytest.approx([1, 1, 1])


def test_a_cosine_falls_from_the_end_of_the_warm_up_to_the_last_epoch(files: Path) -> None:
    cosine = {"training.learning_rate_schedule": "cosine", "training.epochs": 4}
    assert factors(files, cosine, range(0, 41, 10)) == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0])
    warm = cosine | {"training.learning_rate_warmup_epochs": 2.0}
    assert factors(files, warm, range(9, 41, 10)) == pytest.approx([0.5, 1.0, 0.578, 0.006], abs=1e-3)
    scaled = cosine | {"training.learning_rate_rule": "linear"}
    assert factors(files, scaled, range(20, 21)) == pytest.approx([2.0])


@pytest.fixture(scope="module")
def one_step(files: Path) -> dict[str, TrainState]:
    """States after one step: plain, with a rule, with a warm-up whose first step is a tenth of the full rate, and by hand."""
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "rule": {"training.learning_rate_rule": "linear", "training.learning_rate_reference_batch": 4},
        "warm_up": {"training.learning_rate_warmup_epochs": 10.0, "training.epochs": 10},
        "a_tenth": {"training.generator.learning_rate": 1e-4, "training.discriminator.learning_rate": 1e-4},
    }
    few = {"training.max_steps_per_epoch": 1}
    return {name: trained(small_trial(files, few | change), num_epochs=1)[0] for name, change in changes.items()}


def test_the_rule_and_the_warm_up_act_on_the_weights(one_step: dict[str, TrainState]) -> None:
    sums = {name: checksum(state.generator, state.discriminator) for name, state in one_step.items()}
    assert sums["warm_up"] == sums["a_tenth"]
    assert len({sums["plain"], sums["rule"], sums["warm_up"]}) == 3


def test_weights_move_in_proportion_to_the_learning_rate(files: Path, one_step: dict[str, TrainState]) -> None:
    fresh = values(TrainState(small_trial(files), ALONE).discriminator)
    moved = {
        name: sum(float((value - fresh[key]).abs().sum()) for key, value in values(state.discriminator).items())
        for name, state in one_step.items()
    }
    assert moved["rule"] == pytest.approx(4 * moved["plain"], rel=0.3)
    assert moved["warm_up"] == pytest.approx(0.1 * moved["plain"], rel=0.3)


def test_every_epoch_gives_one_whole_record(files: Path) -> None:
    heard: list[tuple[int, int]] = []
    saved: list[int] = []
    settings = small_trial(files, {"training.epochs": 2})
    trial = Trial(settings, ALONE, showers_of(settings), lambda state: saved.append(state.epoch), lambda *step: heard.append(step))
    state = TrainState(settings, ALONE)
    records = list(epochs(trial, state))
    assert [record.epoch for record in records] == saved == [1, 2]
    assert (state.epoch, state.step) == (2, 6)
    assert heard == [(1, 3), (2, 3), (3, 3)] * 2
    for record in records:
        # One rank: nothing to measure a gradient's noise with. What an epoch cost the worker adds.
        assert record.as_metrics().keys() == {name for name in METRICS if not name.startswith(("noise_scale.", "cost."))}
        assert (record.timing.num_steps, record.timing.num_showers, record.timing.world_size) == (3, NUM_TRAIN, 1)
        assert 0 < record.timing.num_showers / record.timing.epoch_seconds < record.timing.showers_per_second
    assert records[0].losses != records[1].losses


def test_a_complete_state_has_nothing_left_to_train(files: Path) -> None:
    settings = small_trial(files, {"training.epochs": 1, "training.max_steps_per_epoch": 1})
    state, _ = trained(settings)
    assert list(some_epochs(settings, state, None)) == []


def test_an_epoch_can_be_cut_short(files: Path) -> None:
    _, (record,) = trained(small_trial(files, {"training.epochs": 1, "training.max_steps_per_epoch": 2}))
    assert (record.timing.num_steps, record.timing.num_showers) == (2, 32)


def test_closing_the_loop_ends_the_reading_thread(files: Path) -> None:
    settings = small_trial(files)
    before = threading.active_count()

    def stop(_step: int, _steps: int) -> None:
        message = "the caller had enough"
        raise KeyboardInterrupt(message)

    with pytest.raises(KeyboardInterrupt, match="had enough"):
        next(epochs(Trial(settings, ALONE, showers_of(settings), progress=stop), TrainState(settings, ALONE)))
    assert threading.active_count() == before


def test_batches_are_in_network_units_and_keep_their_energies(files: Path) -> None:
    settings = small_trial(files, {"data.threshold_gev": 1e-3, "data.cell_power": 0.5})
    showers = training_showers(settings, 0, 4)
    batch = to_batch(showers, transform_of(settings), ALONE.device, polar_angle=True)
    cells = torch.from_numpy(showers.cells)
    kept = torch.where(cells >= 1e-3, cells, 0.0)
    torch.testing.assert_close(batch.cells, (30 * kept).sqrt())
    torch.testing.assert_close(batch.deposited_energy, kept.sum((1, 2, 3)))
    assert torch.equal(batch.incident_energy, torch.from_numpy(showers.incident_energy))
    assert batch.polar_angle is None, "the files have none"


def merged_over(ranks: Ranks) -> tuple[dict[str, float], dict[str, float]]:
    """Losses 1 to 10 on rank 0 and ten times that on rank 1, of 2 steps; seconds by rank."""
    sums = torch.arange(1.0, 11.0, dtype=torch.float64).view(2, 5) * (1, 10)[ranks.rank]
    losses = merged_losses(sums, 2, ranks)
    clock = PhaseClock(now=iter([0.0, 10.0]).__next__)
    clock.seconds.update({name: float(place + 2 * ranks.rank) for place, name in enumerate(PHASES)})
    return dataclasses.asdict(losses), dataclasses.asdict(merged_timing(clock, 8.0 + ranks.rank, Work(5, 16, 3), ranks))


def test_losses_are_means_and_seconds_means_and_maxima_over_ranks(two_ranks: GlooProcesses) -> None:
    (losses, timing), other = two_ranks.run(merged_over)
    assert (losses, timing) == other
    assert list(losses.values()) == pytest.approx([number * 5.5 / 2 for number in range(1, 11)])
    assert next(iter(losses)) == "discriminator_total"
    for place, name in enumerate(PHASES):
        assert (timing[f"{name}_seconds_mean"], timing[f"{name}_seconds_max"]) == (place + 1, place + 2)
    assert timing["showers_per_second"] == pytest.approx(80 / 9), "by the slowest rank's training time"
    assert timing["epochs_since_start"] == 3
    assert (timing["epoch_seconds"], timing["num_showers"], timing["num_steps"], timing["world_size"]) == (10, 80, 5, 2)


def broken_batch(*arguments: Any, **names: Any) -> Batch:
    """The real batch with one cell that is not a number."""
    batch = to_batch(*arguments, **names)
    batch.cells[0, 0, 0, 0] = float("nan")
    return batch


def breaks_down(ranks: Ranks, settings: TrialSettings) -> str:
    """What this rank says when the last rank alone reads a broken batch."""
    is_last = ranks.rank == ranks.world_size - 1
    with patch("gan3d.training.loop.to_batch", broken_batch if is_last else to_batch):
        try:
            trained(settings, ranks)
        except DivergedError as error:
            return str(error)
    return "nothing"


def test_not_finite_on_one_rank_ends_all_and_the_ranks_can_train_on(two_ranks: GlooProcesses, files: Path) -> None:
    settings = small_trial(files, {"workers.per_trial": 2, "training.epochs": 1, "training.max_steps_per_epoch": 2})
    first, second = two_ranks.run(breaks_down, settings)
    assert first == second
    assert "not finite" in first
    healthy = two_ranks.run(num_records, settings)
    assert healthy == [1, 1]


def num_records(ranks: Ranks, settings: TrialSettings) -> int:
    return len(trained(settings, ranks)[1])


def test_not_finite_ends_a_trial_of_one_worker(files: Path) -> None:
    assert "losses are not finite on 1 of 1 workers by step 1 (epoch 1)" in breaks_down(
        ALONE, small_trial(files, {"training.max_steps_per_epoch": 1})
    )


def running_statistics(ranks: Ranks, settings: TrialSettings) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Of the discriminator: each rank's own, and after averaging."""
    state = TrainState(settings, ranks)
    for buffer in state.discriminator.buffers():
        buffer.fill_(1 + ranks.rank)
    own = [buffer.clone() for buffer in state.discriminator.buffers()]
    state.average_buffers(ranks)
    return own, [buffer.clone() for buffer in state.discriminator.buffers()]


def test_running_statistics_are_averaged_over_ranks(two_ranks: GlooProcesses, files: Path) -> None:
    changes = {"workers.per_trial": 2, "training.discriminator.normalisation": "batch", "training.generator.normalisation": "batch"}
    (own, averaged), (own_of_other, averaged_of_other) = two_ranks.run(running_statistics, small_trial(files, changes))
    assert len(own) == 9, "mean, variance and number of batches of three normalisations"
    for mine, other, mean, mean_of_other in zip(own, own_of_other, averaged, averaged_of_other, strict=True):
        assert (float(mine.max()), float(other.max())) == (1, 2)
        if mean.is_floating_point():
            assert bool((mean == 1.5).all())
            assert torch.equal(mean, mean_of_other)


def test_the_seeds_recipe_learns_the_deposited_energy(files: Path) -> None:
    """The recipe as the seed has it, with small networks: a quarter of the generator's error goes within a few epochs."""
    changes = {"training.epochs": 8, "training.generator.learning_rate": 2e-3}
    _, records = trained(small_trial(files, changes))
    errors = [record.losses.generator_deposited_energy for record in records]
    assert sum(errors[-2:]) < 0.75 * sum(errors[:2]), errors
