"""A team's trainer is Ray Train's own but for the helpers that it can do without."""

from __future__ import annotations

import pytest
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from gan3d.search.trainer import SUPERFLUOUS, TeamTrainer


def names(trainer: type[TorchTrainer]) -> list[str]:
    made = trainer(lambda: None, scaling_config=ScalingConfig(num_workers=2))
    return [type(callback).__name__ for callback in made._create_default_callbacks()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray Data copies its own deprecated settings
def test_only_the_superfluous_is_left_out_and_this_ray_has_it() -> None:
    everything = names(TorchTrainer)
    assert set(everything) > SUPERFLUOUS
    assert names(TeamTrainer) == [name for name in everything if name not in SUPERFLUOUS]
