"""The update of one network, from fresh gradients to the optimiser's step, which waits until somebody needs the new weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from gan3d.training.all_reduce import DeferredAllReduce
from gan3d.training.clock import PhaseClock
from gan3d.training.gradient_noise import GradientNoise


class Update:
    """One after the other: ``begin``, backward passes, ``finish``."""

    __slots__ = ("_all_reduce", "_average", "_network", "_noise", "_optimiser", "is_due")

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        noise: GradientNoise,
        all_reduce: DeferredAllReduce,
        average: AveragedModel | None = None,
    ) -> None:
        """``noise`` looks at the gradients; ``all_reduce`` is launched by backward passes where there are several ranks.

        ``average`` hears of the new weights.
        """
        self._average = average
        self._network = network
        self._optimiser = optimiser
        self._noise = noise
        self._all_reduce = all_reduce
        self.is_due = False

    def begin(self, learning_rate: float, clock: PhaseClock) -> None:
        """Forget old gradients; the step to come has this learning rate, and its time is charged to ``clock``."""
        assert not self.is_due, "the gradients of the last pass were not used"
        self._all_reduce.clock = clock
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.zero_grad(set_to_none=True)
        self.is_due = True

    def finish(self, clipping: float | None) -> None:
        """Wait for the other ranks' gradients, look at them, clip their norm where asked for, and step; nothing if that is done."""
        if not self.is_due:
            return
        self._all_reduce.finish()
        with self._all_reduce.clock.phase("optimiser"):
            self._noise.see_mean()
            if clipping is not None:
                nn.utils.clip_grad_norm_(self._network.parameters(), clipping)
            self._optimiser.step()
            if self._average is not None:
                self._average.update_parameters(self._network)
        self.is_due = False
