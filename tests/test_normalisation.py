from __future__ import annotations

import pytest
import torch

from gan3d.models.normalisation import BatchNormPerPlane, make_normalisation, num_groups


def activations() -> torch.Tensor:
    scale = torch.arange(1.0, 6.0)
    return 3 + scale * torch.randn(4, 6, 7, 8, 5, generator=torch.Generator().manual_seed(1))


def test_batch_normalisation_per_plane_makes_every_depth_plane_standard() -> None:
    planes = make_normalisation("batch_per_plane", 6, 5)(activations())
    torch.testing.assert_close(planes.mean((0, 1, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(planes.std((0, 1, 2, 3)), torch.ones(5), atol=2e-3, rtol=0)


def test_running_statistics_per_plane_move_one_percent_towards_the_batch() -> None:
    layer, x = BatchNormPerPlane(5), activations()
    layer(x)
    assert layer.running_mean is not None
    torch.testing.assert_close(layer.running_mean, 0.01 * x.mean((0, 1, 2, 3)))


def test_statistics_of_a_plane_do_not_see_the_other_planes() -> None:
    x = activations()
    changed = x.clone()
    changed[..., 0] += 100 * torch.rand_like(changed[..., 0])
    layer = make_normalisation("batch_per_plane", 6, 5)
    torch.testing.assert_close(layer(changed)[..., 1:], layer(x)[..., 1:])


def test_batch_normalisation_makes_every_channel_standard() -> None:
    channels = make_normalisation("batch", 6, 5)(activations())
    torch.testing.assert_close(channels.mean((0, 2, 3, 4)), torch.zeros(6), atol=1e-5, rtol=0)


def test_group_normalisation_of_a_shower_does_not_see_the_others() -> None:
    x, layer = activations(), make_normalisation("group", 6, 5)
    torch.testing.assert_close(layer(x)[:1], layer(x[:1]))


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (6, 6), (8, 8), (13, 1), (14, 7), (16, 8), (20, 5), (64, 8)])
def test_groups_are_the_largest_divisor_up_to_eight(channels: int, groups: int) -> None:
    assert num_groups(channels) == groups
