"""The physics distances of one source of showers with their standard errors, and how many of these lie between two sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan3d.physics.distance import DISTANCES, with_scalars
from gan3d.physics.sums import ShowerSums

#: What is estimated: the scalar and its ten parts.
QUANTITIES = ("shower_distance", *DISTANCES)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Distances of one source of showers from the held-out Monte Carlo; arrays are in the order of ``QUANTITIES``.

    Q quantities, S draws of the source (noise seeds, or draws of the floor), R resamples of the held-out showers.
    """

    of_draws: Values
    """(S, Q), of all held-out showers."""
    of_resamples: Values
    """(R, Q), each a mean over the draws."""

    @classmethod
    def of(cls, draws: Sequence[Sequence[ShowerSums]], monte_carlo: Sequence[ShowerSums]) -> Estimate:
        """From the sums of each draw and of the Monte Carlo: of all showers first, then of each resample (``resampled_sums``)."""
        found = np.array([[_values(one, other) for one, other in zip(draw, monte_carlo, strict=True)] for draw in draws])
        return cls(found[:, 0], found[:, 1:].mean(axis=0))

    @property
    def value(self) -> Values:
        """Mean over the draws, (Q,)."""
        return np.asarray(self.of_draws.mean(axis=0))

    @property
    def draw_error(self) -> Values:
        """Standard error of the mean over draws, (Q,); 0 for a single draw, whose spread is not known."""
        num_draws = len(self.of_draws)
        if num_draws == 1:
            return np.zeros(len(QUANTITIES))
        return np.asarray(self.of_draws.std(axis=0, ddof=1) / num_draws**0.5)

    @property
    def shower_error(self) -> Values:
        """Standard error from the finite number of held-out showers, (Q,): the spread over resamples."""
        return np.asarray(self.of_resamples.std(axis=0, ddof=1))

    @property
    def error(self) -> Values:
        """Both errors combined, (Q,); a little too large, as resampling generated showers also resamples their noise."""
        return np.hypot(self.draw_error, self.shower_error)

    def standard_errors_below(self, other: Estimate, quantity: str = "shower_distance") -> float:
        """By how many standard errors of the difference this is below ``other``; negative if above.

        Both were measured on the same resamples, so what the held-out showers do to both alike drops out of the difference.
        """
        place = QUANTITIES.index(quantity)
        difference = float(other.value[place] - self.value[place])
        from_showers = float((other.of_resamples[:, place] - self.of_resamples[:, place]).std(ddof=1))
        error = float(np.sqrt(from_showers**2 + self.draw_error[place] ** 2 + other.draw_error[place] ** 2))
        if error == 0.0:
            return float(np.copysign(np.inf, difference)) if difference else 0.0
        return difference / error


def _values(generated: ShowerSums, monte_carlo: ShowerSums) -> list[float]:
    found = with_scalars(generated, monte_carlo)
    return [found[name] for name in QUANTITIES]
