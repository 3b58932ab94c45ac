from __future__ import annotations

import pytest
import torch

from gan3d.physics.transform import Transform

SEED = Transform(threshold_gev=1e-6, cell_scale=1.0, cell_power=1.0)
SEED_VARIABLE_ANGLE = Transform(threshold_gev=1e-6, cell_scale=50.0, cell_power=0.85)
TRANSFORMS = [
    SEED,
    SEED_VARIABLE_ANGLE,
    Transform(0.0, 10.0, 0.5),
    Transform(1e-6, 1e4, 1.0, "logarithm"),
    Transform(1e-6, 1e3, 0.7, "logarithm"),
]


def cells_above(threshold: float) -> torch.Tensor:
    return threshold + torch.logspace(-7, 1, 200).reshape(2, 4, 5, 5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_inverse_undoes_transform_above_threshold(transform: Transform) -> None:
    cells = cells_above(transform.threshold_gev)
    torch.testing.assert_close(transform.to_gev(transform.to_network(cells)), cells, rtol=5e-6, atol=0)


def test_power_one_and_scale_one_change_nothing_above_threshold() -> None:
    cells = cells_above(SEED.threshold_gev)
    assert torch.equal(SEED.to_network(cells), cells)
    assert torch.equal(SEED.to_gev(cells), cells)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_threshold_itself_is_read_out_and_less_is_not(transform: Transform) -> None:
    threshold = max(transform.threshold_gev, 1e-30)
    cells = torch.tensor([0.0, -1.0, threshold / 2 if transform.threshold_gev else 0.0, threshold], dtype=torch.float64)
    network = transform.to_network(cells)
    assert network[:3].tolist() == [0.0, 0.0, 0.0]
    assert network[3] > 0


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transform_keeps_the_order_of_cells(transform: Transform) -> None:
    cells = torch.linspace(0, 1, 100)
    assert (transform.to_network(cells).diff() > 0).all()
    assert (transform.to_gev(cells).diff() > 0).all()


def test_network_units_follow_the_formula() -> None:
    network = SEED_VARIABLE_ANGLE.to_network(torch.tensor([0.04]))
    assert network.item() == pytest.approx(2.0**0.85, rel=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_gradients_are_finite_for_empty_cells(transform: Transform) -> None:
    for direction in (transform.to_network, transform.to_gev):
        cells = torch.zeros(3, requires_grad=True)
        (gradient,) = torch.autograd.grad(direction(cells).sum(), cells)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_gradients_are_the_derivative(transform: Transform) -> None:
    cells = torch.linspace(0.1, 2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(transform.to_network, (cells,))
    assert torch.autograd.gradcheck(transform.to_gev, (cells,))
