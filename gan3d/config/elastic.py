"""A trial with fewer workers than it was to have, because nodes have gone: the batch rule applied, or not at all."""

from __future__ import annotations

from pydantic import ValidationError

from gan3d.config.problem import Contradictions
from gan3d.config.training import TrialSettings


def with_workers(settings: TrialSettings, available: int) -> TrialSettings:
    """The settings with as many of the available workers as the batch allows.

    A fixed global batch (strong scaling) has to be divisible by them, so some may be left over; a fixed batch per worker (weak scaling)
    goes on with a smaller global batch, and the learning rate follows by `training.learning_rate_rule`.
    """
    if available >= settings.world_size:
        return settings
    for number in range(available, 0, -1):
        content = settings.model_dump()
        content["workers"] |= {"per_trial": number, "elastic": min(number, settings.workers.elastic or number)}
        try:
            return TrialSettings.model_validate(content)
        except (Contradictions, ValidationError):
            continue
    message = "one worker can always have the whole batch"
    raise AssertionError(message)
