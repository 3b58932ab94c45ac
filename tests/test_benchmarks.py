"""Benchmarks compare like with like: the naive port is our function, work is counted as it is, and tables show what was recorded."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import run, weak_scaling
from benchmarks.harness import Row, interleaved, rates
from benchmarks.layers import VARIANTS, convolutions, passes
from benchmarks.naive import NaiveTraining, deposited, take_weights
from benchmarks.run import BENCHMARKS, README, main, recorded
from benchmarks.tables import BEGIN, END, Grid, figure, markdown, replaced
from benchmarks.threads import workers
from benchmarks.training_step import study_settings
from benchmarks.weak_scaling import Blocks
from gan3d.config.training import TrialSettings
from gan3d.models.discriminator import DiscriminatorNetwork
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.response import ResponseCurve
from gan3d.models.work import discriminator_convolutions, discriminator_multiply_adds, step_multiply_adds
from gan3d.physics.transform import ENERGY_UNIT_GEV
from gan3d.records import Timing
from gan3d.training.ranks import Ranks
from gan3d.training.state import transform_of

#: Of a training step of the seed per shower, counted by hand in the project's notes on performance.
SEED_MULTIPLY_ADDS = 9.51e9


@pytest.fixture(scope="module")
def seed() -> TrialSettings:
    return study_settings("seed_baseline")


def shaken(network: nn.Module) -> nn.Module:
    """With statistics and biases that are not what they start from, so that each of them matters."""
    random = torch.Generator().manual_seed(3)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.add_(0.2 * torch.rand(tensor.shape, generator=random))
    return network


def closely_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    """To fp32 rounding of sums with thousands of terms."""
    return bool((first - second).abs().max() <= 2e-5 * second.abs().max())


@pytest.mark.parametrize("training", [False, True])
def test_the_naive_generator_is_the_same_function(seed: TrialSettings, training: bool) -> None:
    ours = shaken(GeneratorNetwork(seed.training.generator, seed.data.grid)).train(training)
    naive = NaiveTraining().generator.train(training)
    take_weights(naive, ours)
    noise, energy = torch.randn(3, 200), torch.tensor([10.0, 80.0, 500.0])
    cells = ours(noise, energy)
    assert cells.any()
    assert closely_equal(naive(noise * (energy / ENERGY_UNIT_GEV)[:, None]).squeeze(1), cells)


@pytest.mark.parametrize("training", [False, True])
def test_the_naive_discriminator_is_the_same_function(seed: TrialSettings, training: bool) -> None:
    without_dropout = seed.training.discriminator.model_copy(update={"dropout": 0.0})
    ours = shaken(DiscriminatorNetwork(without_dropout, seed.data.grid, transform_of(seed))).train(training)
    naive = NaiveTraining().discriminator.train(training)
    for module in naive.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    take_weights(naive, ours)
    cells = torch.rand(3, *seed.data.grid)
    output, (validity, energy, total) = ours(cells), naive(cells.unsqueeze(1))
    assert closely_equal(validity, torch.sigmoid(output.validity_logit))
    assert closely_equal(energy * ENERGY_UNIT_GEV, output.incident_energy)
    assert closely_equal(total, output.deposited_energy)


def test_the_naive_step_expects_the_same_deposited_energy() -> None:
    energy = torch.tensor([10.0, 100.0, 500.0])
    assert closely_equal(deposited(energy / ENERGY_UNIT_GEV), ResponseCurve.seed()(energy))


def test_multiply_adds_of_the_seed_are_those_counted_by_hand(seed: TrialSettings) -> None:
    assert step_multiply_adds(seed.training, seed.data.grid) == pytest.approx(SEED_MULTIPLY_ADDS, rel=0.005)


def test_multiply_adds_are_those_torch_counts_of_the_naive_step_less_its_wasted_gradients(seed: TrialSettings) -> None:
    batch = 2
    with torch.device("meta"):
        naive = NaiveTraining()
        with FlopCounterMode(display=False) as counter:
            naive.step(torch.zeros(batch, 1, *seed.data.grid), torch.ones(batch))
    wasted = seed.training.generator_steps * discriminator_multiply_adds(seed.training.discriminator, seed.data.grid)[0]
    assert counter.get_total_flops() / 2 / batch - wasted == step_multiply_adds(seed.training, seed.data.grid)


def test_strided_convolutions_are_counted_where_they_are_made() -> None:
    quickstart = study_settings("quickstart")
    places = [block.places for block in discriminator_convolutions(quickstart.training.discriminator, quickstart.data.grid)]
    assert places == [(25, 25, 25), (13, 13, 13), (7, 7, 7), (5, 5, 5)]


def test_every_variant_of_a_convolution_gives_the_same_passes() -> None:
    block = next(block for block in convolutions() if block.name == "G3")
    for name in VARIANTS:
        calls = passes(block, name)
        (of_input,), (of_weight, of_bias) = calls["input gradient"](), calls["weight gradient"]()  # type: ignore[misc]
        assert calls["forward"]().shape[1:] == (block.filters, *block.places)  # type: ignore[attr-defined]
        assert of_input.shape[1:] == (block.channels, *block.size)
        assert (of_weight.shape, of_bias.shape) == ((block.filters, block.channels, *block.kernel), (block.filters,))


def test_variants_are_called_in_turn_and_once_before() -> None:
    called: list[str] = []
    ticks = iter(range(100))
    seconds = interleaved({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2, lambda: float(next(ticks)))
    assert "".join(called) == "ab" + "abab"
    assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def count_ranks(ranks: Ranks) -> Callable[[], None]:
    def step() -> None:
        assert ranks.sum(torch.ones(1)) == 2

    return step


def leave_at_once(ranks: Ranks) -> Callable[[], None]:
    def step() -> None:
        sys.exit()

    return step


def test_workers_step_together_until_told_to_leave() -> None:
    with workers(count_ranks, 2, 1) as step:
        step()
        step()
        mine = multiprocessing.active_children()
        assert len(mine) == 2
    assert not any(process.is_alive() for process in mine)


def test_a_worker_that_dies_ends_the_measurement() -> None:
    with workers(leave_at_once, 2, 1) as step, pytest.raises(RuntimeError, match="died"):
        step()


def test_a_row_is_the_median_with_its_extremes() -> None:
    row = Row.of(("benchmark", "case", "variant"), rates(12, [6, 2, 4]), "showers/s")
    assert (row.value, row.lowest, row.highest, row.rounds) == (3, 2, 6, 3)
    assert figure(row) == "3.00 (2.00-6.00)"


def test_a_table_has_a_line_per_case_and_variant_and_a_column_per_unit() -> None:
    rows = [Row.of(("b", "case", variant), [1.0], unit) for variant, unit in (("x", "ms"), ("x", "MB"), ("y", "MB"))]
    grid = Grid.of(rows)
    assert grid.header == ("case", "variant", "ms", "MB", "rounds")
    assert grid.lines == (("case", "x", "1.00", "1.00", "1"), ("case", "y", "", "1.00", "1"))


def test_the_readme_shows_what_is_recorded() -> None:
    text, results = README.read_text(encoding="utf-8"), recorded()
    assert set(results) <= {*BENCHMARKS, "peer", "hosts", "hosts_study"}  # whose tables are in READMEs of their own
    assert replaced(text, markdown(results, BENCHMARKS)) == text


def test_a_text_without_markers_is_not_written_to() -> None:
    with pytest.raises(ValueError, match="results"):
        replaced(f"text {BEGIN} text", "table")


@pytest.fixture
def two_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails after its first row, and one that works; recorded elsewhere."""

    def rows(quick: bool) -> Iterator[Row]:
        yield Row.of(("works", "case", "variant"), [1.0 + quick], "ms")

    def broken_rows(quick: bool) -> Iterator[Row]:
        yield from rows(quick)
        raise OSError

    for name, function in (("broken", broken_rows), ("works", rows)):
        module = ModuleType(f"benchmarks.{name}")
        module.rows = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(run, "BENCHMARKS", {"broken": "One.", "works": "Two."})
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(run, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(f"Text.\n{BEGIN}\n{END}\n")


@pytest.mark.usefixtures("two_benchmarks")
def test_a_benchmark_that_fails_costs_only_its_own_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert set(recorded()) == {"works"}
    assert "failed: broken" in capsys.readouterr().out
    assert "| case | variant | 1.00 | 1 |" in run.README.read_text()


@pytest.mark.usefixtures("two_benchmarks")
def test_a_quick_run_is_not_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["works", "--quick"]) == 0
    assert "2.00" in capsys.readouterr().out
    assert recorded() == {}


def test_an_unknown_benchmark_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["training_stepp"])
    assert "training_step," in capsys.readouterr().err


def test_efficiency_without_straggler_wait_is_of_the_seconds_that_ranks_computed() -> None:
    """Two together train 80 showers in 10 s, of which each waits one on average; apart they make 8.5 and 8.6 showers/s."""
    timing = Timing(**{field.name: 0.0 for field in fields(Timing)} | {"num_showers": 80.0, "showers_per_second": 8.0})
    together = replace(timing, straggler_wait_seconds_mean=1.0)
    apart = [replace(timing, showers_per_second=rate) for rate in (4.25, 4.3)]
    blocks = Blocks(5, alone=[timing] * 2, apart=[apart] * 2, together=[together] * 2)
    values = {row.variant: row.value for row in weak_scaling.rows_of("a case", blocks)}
    assert values["efficiency over ceiling"] == pytest.approx(100 * 8 / 8.55)
    assert values["the same, straggler wait taken out"] == pytest.approx(100 * (80 / 9) / 8.55)
