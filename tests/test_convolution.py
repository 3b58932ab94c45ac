from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from gan3d.config.networks import Discriminator, Generator
from gan3d.models.convolution import PATHS, Convolution, Path, Shape, arrange_, convolution
from gan3d.models.discriminator import DiscriminatorNetwork
from gan3d.models.fourier.kernel import Kernel
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.tuning import convolutions, set_paths
from gan3d.physics.transform import Transform

needs_kernel = pytest.mark.skipif(Kernel.here() is None, reason="no kernel was compiled here")


def cells(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 9, 8, 7, generator=torch.Generator().manual_seed(1)) - 0.4


def module(**keywords: int) -> Convolution:
    torch.manual_seed(1)
    return Convolution(3, 5, 3, padding=1, **keywords)


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_the_same_function(path: Path) -> None:
    layer, x = module(), cells().requires_grad_()
    plain = layer(x)
    towards = torch.rand_like(plain)
    expected = torch.autograd.grad(plain, (x, *layer.parameters()), towards)
    layer.path = path
    assert path == "shifted_sums" or path in Shape((3, 9, 8, 7), (5, 3, 3, 3, 3), (1, 1, 1)).paths
    found = torch.autograd.grad(layer(x), (x, *layer.parameters()), towards)
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@needs_kernel
@pytest.mark.parametrize("path", [path for path in PATHS if path != "plain"])
def test_a_second_derivative_that_a_path_does_not_have_is_refused(path: Path) -> None:
    layer, x = Convolution(1, 3, 3, padding=1), torch.rand(2, 1, 5, 5, 5, requires_grad=True)
    layer.path = path
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
def test_without_gradients_the_backward_path_is_torchs_own(path: Path) -> None:
    layer = module()
    layer.path = path
    with torch.no_grad():
        is_plain = torch.equal(layer(cells()), nn.functional.conv3d(cells(), layer.weight, layer.bias, padding=1))
    assert is_plain == (path != "fourier")


@needs_kernel
def test_the_shape_of_the_newest_call_is_known() -> None:
    layer = module()
    assert layer.shape is None
    layer(cells(1))
    layer(cells(2)[:, :, :4])
    assert layer.shape == Shape((3, 4, 8, 7), (5, 3, 3, 3, 3), (1, 1, 1))


@pytest.mark.parametrize("changed", ["stride", "double", "autocast", "no showers"])
def test_where_there_is_no_choice_torch_computes_and_no_shape_is_known(changed: str) -> None:
    layer = module(stride=2) if changed == "stride" else module()
    x = cells(0 if changed == "no showers" else 2)
    if changed == "double":
        layer, x = layer.double(), x.double()
    layer.path = "fourier"
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=changed == "autocast"):
        expected = nn.functional.conv3d(x, layer.weight, layer.bias, padding=1, stride=layer.stride)
        assert torch.equal(layer(x), expected)
    assert layer.shape is None


@pytest.mark.parametrize("path", PATHS)
def test_cells_and_weights_of_different_precision_are_refused_as_by_torch(path: Path) -> None:
    layer = module().double()
    layer.path = path
    with pytest.raises(RuntimeError, match="type"):
        layer(cells())


def test_without_a_kernel_torch_computes_whatever_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "here", lambda: None)
    layer = module()
    layer.path = "fourier"
    assert torch.equal(layer(cells()), convolution(cells(), layer.weight, layer.bias, (1, 1, 1), "plain"))
    assert layer.shape is not None
    assert layer.shape.paths == ("plain",)


@needs_kernel
def test_shifted_sums_are_a_choice_with_one_channel_in() -> None:
    assert Shape((1, 9, 9, 9), (4, 1, 3, 3, 3), (1, 1, 1)).paths == PATHS
    assert "shifted_sums" not in Shape((2, 9, 9, 9), (4, 2, 3, 3, 3), (1, 1, 1)).paths


def test_a_period_too_long_leaves_torch() -> None:
    assert Shape((2, 300, 9, 9), (4, 2, 3, 3, 3), (1, 1, 1)).paths == ("plain",)


def test_weights_lie_channels_last_on_a_cpu_and_keep_their_values() -> None:
    network = nn.Sequential(module(), nn.Linear(2, 2))
    before = [parameter.clone() for parameter in network.parameters()]
    arrange_(network, torch.device("cpu"))
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


GRID = (13, 14, 11)


def shaken(network: nn.Module) -> nn.Module:
    """Biases away from zero: there a LeakyReLU has no slope, and rounding would choose one."""
    random = torch.Generator().manual_seed(3)
    for module in convolutions(network).values():
        if module.bias is not None:
            module.bias.data += 0.1 + 0.1 * torch.rand(module.bias.shape, generator=random)
    return network


def generator_gradients(path: Path, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(1)
    settings = Generator.model_validate({"filters": (6, 5, 4), "normalisation": "batch_per_plane", "noise_dim": 9})
    network = shaken(GeneratorNetwork(settings, GRID)).to(dtype)
    set_paths(network, dict.fromkeys(convolutions(network), path))
    noise = torch.randn(4, 9, generator=torch.Generator().manual_seed(2))
    cells = network(noise.to(dtype), torch.tensor([50.0, 100.0, 200.0, 400.0], dtype=dtype))
    return list(torch.autograd.grad(cells.square().sum() + cells.sum(), list(network.parameters())))


def discriminator_gradients(path: Path, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(1)
    settings = Discriminator.model_validate({"filters": (9, 4, 8, 5), "kernel": 5, "normalisation": "batch", "dropout": 0.0})
    network = shaken(DiscriminatorNetwork(settings, GRID, Transform(threshold_gev=1e-6, cell_scale=1.0, cell_power=1.0))).to(dtype)
    set_paths(network, dict.fromkeys(convolutions(network), path))
    random = torch.rand(4, *GRID, generator=torch.Generator().manual_seed(2))
    showers = torch.where(random > 0.8, random, 0.0).to(dtype).requires_grad_()
    output = network(showers)
    loss = output.validity_logit.sum() + output.incident_energy.square().mean() / 1e4
    return list(torch.autograd.grad(loss, [showers, *network.parameters()]))


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradients", [generator_gradients, discriminator_gradients], ids=["generator", "discriminator"])
def test_gradients_of_whole_networks_are_those_in_double_precision_on_every_path(
    gradients: Callable[[Path, torch.dtype], list[torch.Tensor]], path: Path
) -> None:
    for found, exact in zip(gradients(path, torch.float32), gradients("plain", torch.float64), strict=True):
        assert (found.double() - exact).norm() <= 1e-3 * exact.norm()
