"""What a recipe may have beside the seed's: each trains, goes on from a checkpoint bit for bit, and does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from small_study import write_showers
from small_trial import checksum, small_files, small_trial, trained, trained_in_two_parts

from gan3d.config.networks import Discriminator
from gan3d.models.discriminator import DiscriminatorNetwork, spread_of
from gan3d.models.gradient_penalty import gradient_penalty
from gan3d.models.residual import ResidualBlock
from gan3d.models.tuning import paths_of
from gan3d.models.work import step_multiply_adds
from gan3d.physics.transform import Transform

TRANSFORM = Transform(threshold_gev=1e-6, cell_scale=30.0, cell_power=1.0)
GRID = (12, 12, 12)
OPTIONS: dict[str, dict[str, Any]] = {
    "residual generator": {"training.generator.residual_blocks": 2},
    "residual discriminator": {"training.discriminator.residual": True, "training.discriminator.strides": [1, 2, 1, 1]},
    "minibatch statistics": {"training.discriminator.minibatch_statistics": True},
    "relativistic": {"training.adversarial_loss": "relativistic"},
    "wasserstein": {"training.adversarial_loss": "wasserstein", "training.gradient_penalty": 10.0},
    "logarithm": {"data.cell_curve": "logarithm"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_files(tmp_path_factory.mktemp("files"))
    (folder / "cheap").mkdir()
    write_showers(folder / "cheap", num_train=64, num_validation=30)
    return folder


@pytest.fixture(scope="module")
def plain(files: Path) -> str:
    return checksum(trained(small_trial(files))[0].generator)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_trains_to_another_generator_and_goes_on_from_a_checkpoint(name: str, files: Path, plain: str) -> None:
    settings = small_trial(files, OPTIONS[name])
    whole, records = trained(settings)
    assert all(torch.isfinite(torch.tensor([one.losses.generator_total, one.losses.discriminator_total])).all() for one in records)
    assert checksum(whole.generator) != plain
    assert checksum(trained_in_two_parts(settings, first=1).generator) == checksum(whole.generator)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_another_trial_and_its_default_the_same(name: str, files: Path) -> None:
    assert small_trial(files, OPTIONS[name]).digest() != small_trial(files).digest()
    defaults = {"training.generator.residual_blocks": 0, "training.gradient_penalty": 0.0, "data.cell_curve": "power"}
    assert small_trial(files, defaults).digest() == small_trial(files).digest()


def test_a_residual_block_starts_as_the_identity_and_learns() -> None:
    block, x = ResidualBlock(4), torch.randn(2, 4, 5, 5, 5)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.second.weight.grad is not None
    assert block.second.weight.grad.abs().sum() > 0


def test_residual_blocks_and_shortcuts_are_work(files: Path) -> None:
    plain = small_trial(files)
    for changes in ({"training.generator.residual_blocks": 1}, {"training.discriminator.residual": True}):
        other = small_trial(files, changes)
        assert step_multiply_adds(other.training, other.data.grid) > step_multiply_adds(plain.training, plain.data.grid)


def test_showers_all_alike_have_no_spread_and_a_finite_slope() -> None:
    alike = torch.ones(4, 6, requires_grad=True)
    spread = spread_of(alike)
    spread.backward()
    assert spread.item() == pytest.approx(0, abs=1e-3)
    assert alike.grad is not None
    assert torch.isfinite(alike.grad).all()
    values = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
    assert spread_of(values).item() == pytest.approx(1.5)


def test_heads_hear_of_the_batchs_spread() -> None:
    settings = Discriminator(filters=(4, 4, 4, 4), kernel=3, normalisation="none", dropout=0.0, minibatch_statistics=True)
    network = DiscriminatorNetwork(settings, GRID, TRANSFORM)
    cells = torch.rand(1, *GRID)
    with torch.no_grad():
        network.validity.weight[:, -1] = 1.0
        beside_itself, beside_another = (network(torch.cat([cells, other])).validity_logit[0] for other in (cells, cells + 5))
    assert beside_another > beside_itself + 1e-3


def test_a_flat_validity_has_a_penalty_of_one_and_paths_come_back() -> None:
    network = DiscriminatorNetwork(Discriminator(filters=(4, 4, 4, 4), kernel=3, normalisation="group"), GRID, TRANSFORM)
    before = paths_of(network)
    torch.nn.init.zeros_(network.validity.weight)
    penalty = gradient_penalty(network, torch.rand(3, *GRID), torch.rand(3, *GRID), torch.tensor([0.0, 0.5, 1.0]))
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert paths_of(network) == before


def test_the_penalty_is_the_squared_distance_of_the_slope_from_one_and_moves_the_weights() -> None:
    settings = Discriminator(filters=(4, 4, 4, 4), kernel=3, normalisation="none", dropout=0.0)
    network, real = DiscriminatorNetwork(settings, GRID, TRANSFORM), torch.rand(1, *GRID)
    penalty = gradient_penalty(network, real, torch.rand(1, *GRID), torch.ones(1))
    # Slope along a random direction, by differences, is the gradient's projection; along the gradient itself it is the norm.
    at = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(at).validity_logit.sum(), at)
    step = 1e-2 * slope / slope.norm()
    with torch.no_grad():
        norm = float((network(real + step).validity_logit - network(real - step).validity_logit) / 2e-2)
    assert penalty.item() == pytest.approx((norm - 1) ** 2, rel=0.02)
    penalty.backward()
    assert network.blocks[0].convolution.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("weight", "normalisation"), [(1.0, "batch"), (10.0, "batch_per_plane")])
def test_a_penalty_with_a_batch_normalised_together_is_refused(files: Path, weight: float, normalisation: str) -> None:
    with pytest.raises(ValidationError, match="of each shower alone"):
        small_trial(files, {"training.gradient_penalty": weight, "training.discriminator.normalisation": normalisation})


def test_a_logarithm_with_the_moments_of_powers_is_refused(files: Path) -> None:
    with pytest.raises(ValidationError, match="moments of powers"):
        small_trial(files, {"data.cell_curve": "logarithm", "training.generator.output": "rectified_normal"})


def test_pretraining_on_the_training_showers_is_training(files: Path, plain: str) -> None:
    settings = small_trial(files, {"data.pretrain": [str(files / "train.h5")], "training.pretrain_epochs": 1})
    assert checksum(trained(settings)[0].generator) == plain


@pytest.mark.parametrize("pretrained", [1, 2])
def test_pretraining_on_others_is_something_else_and_goes_on_from_any_epoch(files: Path, plain: str, pretrained: int) -> None:
    changes = {"data.pretrain": [str(files / "cheap" / "train.h5")], "training.pretrain_epochs": pretrained, "training.epochs": 3}
    settings = small_trial(files, changes)
    whole, records = trained(settings)
    assert [one.epoch for one in records] == [1, 2, 3]
    assert records[0].timing.num_showers > records[-1].timing.num_showers - records[-2].timing.num_showers  # 64 of them, then 48
    for done in (1, 2):
        assert checksum(trained_in_two_parts(settings, first=done).generator) == checksum(whole.generator)


def test_pretraining_without_files_changes_nothing(files: Path) -> None:
    assert small_trial(files, {"training.pretrain_epochs": 1}).digest() == small_trial(files).digest()
