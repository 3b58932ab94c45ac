"""Laws of scaling fitted to throughput with repeats: Amdahl, Gustafson, and the universal scalability law.

With N workers, throughput X, and X1 that of one worker:

    amdahl      X = X1 N / (1 + sigma (N - 1))                          Amdahl, AFIPS 30 (1967) 483; for strong scaling
    gustafson   X = X1 (N - sigma (N - 1))                              Gustafson, Comm. ACM 31 (1988) 532; for weak scaling
    universal   X = X1 N / (1 + sigma (N - 1) + kappa N (N - 1))        Gunther, Guerrilla Capacity Planning (2007); for either

sigma: serial fraction, or contention; kappa: coherency, each worker's cost for every other. Errors of times are a share of the time, so
logarithms are fitted, with equal weights. Where all blocks hold the same world sizes, a drift common to a block is taken out first.

Intervals are of profile likelihood: those values of a parameter with which, the others fitted anew, the sum of squares is at most
1 + t^2 / degrees of freedom times the smallest one, t being Student's. That is the exact t-interval of a linear model, and unlike one
from the curvature at the best fit it stays inside the bounds (0 <= sigma <= 1, 0 <= kappa) and follows how flat the sum of squares is
next to them; unlike a bootstrap it needs no more repeats than there are.

A law with p parameters goes through any p world sizes, whatever is true: with fewer than p + 1 it is *undetermined*, and no number is
given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import optimize, stats

from gan3d.scaling.draws import CONFIDENCE, Array, Estimate

Law = Literal["amdahl", "gustafson", "universal"]
LAWS: tuple[Law, ...] = get_args(Law)

#: Speed-up by law, of world sizes and shape parameters.
_SHAPES: dict[Law, Callable[..., Array]] = {
    "amdahl": lambda sizes, sigma: sizes / (1 + sigma * (sizes - 1)),
    "gustafson": lambda sizes, sigma: sizes - sigma * (sizes - 1),
    "universal": lambda sizes, sigma, kappa: sizes / (1 + sigma * (sizes - 1) + kappa * sizes * (sizes - 1)),
}
_NAMES: dict[Law, tuple[str, ...]] = {"amdahl": ("sigma",), "gustafson": ("sigma",), "universal": ("sigma", "kappa")}
#: Largest values that are looked at; gustafson's throughput is still positive there.
_BOUNDS = {"sigma": 1.0, "kappa": 1.0}
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Fit:
    """A law with the parameters that describe a curve best."""

    law: Law
    one_worker: Estimate
    """X1 [showers/s]; NaN if undetermined."""
    parameters: dict[str, Estimate]
    """Shape parameters by name; NaN if undetermined."""
    world_sizes: tuple[int, ...]
    scatter: float
    """Standard deviation of the logarithm of throughput about the law."""
    undetermined: str
    """Why no numbers are given; empty where they are."""

    def throughput(self, world_sizes: Array) -> Array:
        """The law's curve [showers/s]; NaN if undetermined."""
        values = [estimate.value for estimate in self.parameters.values()]
        return self.one_worker.value * _SHAPES[self.law](np.asarray(world_sizes, float), *values)

    @property
    def peak(self) -> float:
        """World size beyond which more workers do less: sqrt((1 - sigma) / kappa) of the universal law, else infinite."""
        kappa = self.parameters["kappa"].value if "kappa" in self.parameters else 0.0
        return float(np.sqrt((1 - self.parameters["sigma"].value) / kappa)) if kappa > 0 else float("inf")


def fit_law(rates: pd.DataFrame, law: Law, confidence: float = CONFIDENCE, column: str = "showers_per_second") -> Fit:
    """Fit one law.

    Args:
        rates: One row per trial: ``world_size``, ``block`` and ``column``, as `gan3d.scaling.speedup.throughput` returns.
        law: Which.
        confidence: Of the intervals.
        column: Which throughput.
    """
    sizes = rates["world_size"].to_numpy(float)
    distinct = tuple(int(size) for size in np.unique(sizes))
    count = 1 + len(_NAMES[law])
    if len(distinct) < count + 1:
        nothing = Estimate(*[float("nan")] * 3)
        shown = ", ".join(map(str, distinct))
        why = f"{law} has {count} parameters, so {count + 1} world sizes can test it; there are {len(distinct)} ({shown})"
        return Fit(law, nothing, dict.fromkeys(_NAMES[law], nothing), distinct, float("nan"), f"undetermined: {why}")
    logs, lost = without_drift(rates, column)
    return _Problem(law, sizes, logs, len(logs) - count - lost, confidence).solved(distinct)


def fit_laws(rates: pd.DataFrame, confidence: float = CONFIDENCE, column: str = "showers_per_second") -> dict[Law, Fit]:
    """All laws, by name."""
    return {law: fit_law(rates, law, confidence, column) for law in LAWS}


def without_drift(rates: pd.DataFrame, column: str) -> tuple[Array, int]:
    """Logarithms of throughput, each block's mean moved to that of all, and degrees of freedom that took; of complete blocks only."""
    logs = np.log(rates[column].to_numpy(float))
    per_block = rates.groupby("block")["world_size"].apply(lambda sizes: tuple(sorted(sizes)))
    if len(per_block) < 2 or len(set(per_block)) > 1:
        return logs, 0
    means = pd.Series(logs).groupby(rates["block"].to_numpy()).transform("mean").to_numpy(float)
    return logs - means + logs.mean(), len(per_block) - 1


class _Problem:
    """Least squares of one law on logarithms: X1 is linear in them and solved for, shapes are searched for."""

    def __init__(self, law: Law, sizes: Array, logs: Array, freedom: int, confidence: float) -> None:
        self._law, self._sizes, self._logs, self._freedom = law, sizes, logs, max(freedom, 1)
        t = stats.t.ppf(0.5 + confidence / 2, self._freedom)
        self._factor = 1 + t * t / self._freedom
        self._names = _NAMES[law]

    def solved(self, distinct: tuple[int, ...]) -> Fit:
        """The best parameters with their intervals."""
        best = self._best({})
        smallest = self._sum_of_squares(best)
        limit = max(smallest, _TINY) * self._factor
        values = dict(zip(self._names, best, strict=True))
        parameters = {name: self._interval(name, value, limit) for name, value in values.items()}
        log_one = float(np.mean(self._logs - np.log(self._shape(best))))
        one = self._interval_of_one_worker(log_one, limit)
        return Fit(self._law, one, parameters, distinct, float(np.sqrt(smallest / self._freedom)), "")

    def _shape(self, shape: Array) -> Array:
        return np.maximum(_SHAPES[self._law](self._sizes, *shape), _TINY)

    def _sum_of_squares(self, shape: Array, log_one: float | None = None) -> float:
        rest = self._logs - np.log(self._shape(shape))
        return float(np.sum((rest - (rest.mean() if log_one is None else log_one)) ** 2))

    def _best(self, held: dict[str, float], log_one: float | None = None) -> Array:
        """Shape parameters of the smallest sum of squares, those in ``held`` kept."""
        free = [name for name in self._names if name not in held]
        if not free:
            return np.array([held[name] for name in self._names])

        def complete(values: Array) -> Array:
            searched = dict(zip(free, values, strict=True))
            return np.array([held.get(name, searched.get(name, 0.0)) for name in self._names])

        def residuals(values: Array) -> Array:
            rest = self._logs - np.log(self._shape(complete(values)))
            return np.asarray(rest - (rest.mean() if log_one is None else log_one))

        found = optimize.least_squares(
            residuals,
            [0.01] * len(free),
            bounds=([0.0] * len(free), [_BOUNDS[name] for name in free]),
            x_scale=0.01,
            xtol=1e-12,
            ftol=1e-14,
        )
        return complete(found.x)

    def _interval(self, name: str, value: float, limit: float) -> Estimate:
        """Where the profile of a parameter reaches the limit, or its bound."""

        def excess(held: float) -> float:
            return self._sum_of_squares(self._best({name: held})) - limit

        return Estimate(value, _crossing(excess, value, 0.0), _crossing(excess, value, _BOUNDS[name]))

    def _interval_of_one_worker(self, log_one: float, limit: float) -> Estimate:
        def excess(held: float) -> float:
            return self._sum_of_squares(self._best({}, held), held) - limit

        return Estimate(*np.exp([log_one, _crossing(excess, log_one, log_one - 3), _crossing(excess, log_one, log_one + 3)]).tolist())


def _crossing(excess: Callable[[float], float], inside: float, bound: float) -> float:
    """Where ``excess`` becomes positive between a value at which it is not, and a bound; the bound where it does not."""
    if excess(bound) <= 0:
        return bound
    return float(optimize.brentq(excess, inside, bound, xtol=1e-10, rtol=1e-6))
