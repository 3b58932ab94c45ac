"""Laws of scaling fitted to throughput with repeats: Amdahl, Gustafson, and the universal scalability law.

With N workers, throughput X, and X1 that of one worker:

    amdahl      X = X1 N / (1 + sigma (N - 1))                          Amdahl, AFIPS 30 (1967) 483; for strong scaling
    gustafson   X = X1 (N - sigma (N - 1))                              Gustafson, Comm. ACM 31 (1988) 532; for weak scaling
    universal   X = X1 N / (1 + sigma (N - 1) + kappa N (N - 1))        Gunther, Guerrilla Capacity Planning (2007); for either

sigma: serial fraction, or contention; kappa: coherency, each worker's cost for every other; both between 0 and 1. Errors of times are a
share of the time, so logarithms are fitted, with equal weights. Each block has a level of its own, so a drift common to a block, as of a
machine that is slower that hour, tells nothing of the law; blocks need not hold the same world sizes.

Intervals are of profile likelihood: those values of a parameter with which, the others fitted anew, the sum of squares is at most
1 + t^2 / nu times the smallest one; t is Student's, nu counts trials less blocks less shape parameters. That is the exact t-interval of
a linear model, and unlike one from the curvature at the best fit it stays inside the bounds and follows how flat the sum of squares is
next to them; unlike a bootstrap it needs no more repeats than there are. Of 2,000 made-up studies 95 % intervals hold the truth in 94 to
96 %. Next to a bound they are cautious: a sigma or kappa that is 0 is held in 97.5 %, since half of all estimates stop at the bound, which
their intervals then always hold; and where both are 0 in nearly all, since each can stand in for the other. So an interval from 0 says
"not told from none", and never that there is some.

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
#: Shape parameters; the level, X1, comes on top.
SHAPES: dict[Law, tuple[str, ...]] = {"amdahl": ("sigma",), "gustafson": ("sigma",), "universal": ("sigma", "kappa")}

#: Efficiency is (1 - s B theta)^s with the basis B of world sizes: s = -1 where the law adds up times, 1 where it adds up work.
_SIGNS: dict[Law, int] = {"amdahl": -1, "gustafson": 1, "universal": -1}
_BASES: dict[Law, Callable[[Array], list[Array]]] = {
    "amdahl": lambda sizes: [sizes - 1],
    "gustafson": lambda sizes: [(sizes - 1) / sizes],
    "universal": lambda sizes: [sizes - 1, sizes * (sizes - 1)],
}
_UNKNOWN = Estimate(*[float("nan")] * 3)
_NEVER = Estimate(*[float("inf")] * 3)
#: Sum of squares of logarithms that is rounding, not scatter.
_ROUNDING = 1e-20


@dataclass(frozen=True, slots=True)
class Fit:
    """A law with the parameters that describe a curve best."""

    law: Law
    one_worker: Estimate
    """X1 [showers/s], geometric mean of blocks; its interval holds their drift, which a single block does not show. NaN if undetermined."""
    parameters: dict[str, Estimate]
    """Shape parameters by name; NaN if undetermined."""
    peak: Estimate
    """World size beyond which more workers do less: sqrt((1 - sigma) / kappa) of the universal law, 1 at least; infinite if never."""
    world_sizes: tuple[int, ...]
    scatter: float
    """Standard deviation of the logarithm of throughput about the law, drift of blocks taken out."""
    p_value: float
    """Chance of lying so far off the law, were it true, judged by the scatter of repeats (F test of lack of fit); NaN without repeats."""
    undetermined: str
    """Why no numbers are given; empty where they are."""

    def throughput(self, world_sizes: Array) -> Array:
        """The law's curve [showers/s]; NaN if undetermined."""
        sizes = np.asarray(world_sizes, float)
        shape = np.array([estimate.value for estimate in self.parameters.values()])
        return self.one_worker.value * sizes * np.exp(_log_efficiency(self.law, sizes, shape))


def fit_law(rates: pd.DataFrame, law: Law, confidence: float = CONFIDENCE, column: str = "showers_per_second") -> Fit:
    """Fit one law.

    Args:
        rates: One row per trial: ``world_size``, ``block`` and ``column``, as `gan3d.scaling.speedup.throughput` returns.
        law: Which.
        confidence: Of the intervals.
        column: Which throughput.
    """
    curve = _reduced(rates, column)
    why = _why_undetermined(curve, law)
    if why:
        shape = dict.fromkeys(SHAPES[law], _UNKNOWN)
        return Fit(law, _UNKNOWN, shape, _UNKNOWN, curve.world_sizes, float("nan"), float("nan"), f"undetermined: {why}")
    return _Problem(law, curve, confidence).solved()


def _log_efficiency(law: Law, sizes: Array, shape: Array) -> Array:
    """Logarithm of X / (X1 N)."""
    sign = _SIGNS[law]
    return np.asarray(sign * np.log(1 - sign * (np.stack(_BASES[law](sizes), axis=-1) @ shape)))


@dataclass(frozen=True, slots=True)
class _Curve:
    """Logarithms of efficiency times X1, y, reduced to what laws see of them: K world sizes in J blocks."""

    sizes: Array
    """(K,)"""
    levels: Array
    """(J,) mean y of blocks."""
    shares: Array
    """(J, K) share of a block's trials at a world size."""
    means: Array
    """(K,) best y of world sizes, each block at its own level; known up to one constant."""
    weights: Array
    """(K, K) matrix W: a law through log efficiencies g has the sum of squares pure + (means - g) W (means - g)."""
    pure: float
    """Sum of squares of repeats about the best means, whatever the law."""
    trials: int
    contrasts: int
    """How many independent differences between world sizes are known: K - 1 if blocks hang together."""

    @property
    def world_sizes(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.sizes)

    @property
    def freedom(self) -> int:
        """Trials less blocks."""
        return self.trials - len(self.levels)


def _reduced(rates: pd.DataFrame, column: str) -> _Curve:
    sizes, at = np.unique(rates["world_size"].to_numpy(float), return_inverse=True)
    blocks, of = np.unique(rates["block"].to_numpy(), return_inverse=True)
    logs = np.log(rates[column].to_numpy(float)) - np.log(sizes[at])
    counts = np.zeros((len(blocks), len(sizes)))
    np.add.at(counts, (of, at), 1.0)
    shares = counts / counts.sum(1, keepdims=True)
    levels = np.bincount(of, logs) / counts.sum(1)
    within = logs - levels[of]
    weights = np.diag(counts.sum(0)) - counts.T @ shares
    sums = np.bincount(at, within)
    means = np.asarray(np.linalg.pinv(weights, hermitian=True) @ sums, float)
    repeats = within - means[at] + (shares @ means)[of]
    contrasts = int(np.linalg.matrix_rank(weights, hermitian=True))
    return _Curve(sizes, levels, shares, means, weights, float(repeats @ repeats), len(logs), contrasts)


def _why_undetermined(curve: _Curve, law: Law) -> str:
    """Empty if the law can be tested."""
    count, distinct = 1 + len(SHAPES[law]), len(curve.sizes)
    shown = f"{law} has {count} parameters, so {count + 1} world sizes can test it"
    if distinct <= count:
        return f"{shown}; there are {distinct} ({', '.join(map(str, curve.world_sizes))})"
    if curve.contrasts < count:
        return f"{shown}, compared within blocks; blocks compare {curve.contrasts + 1 if curve.contrasts else 0} of {distinct}"
    return ""


class _Problem:
    """Least squares of one law: levels of blocks are linear and solved for, shape parameters are searched for between 0 and 1."""

    def __init__(self, law: Law, curve: _Curve, confidence: float) -> None:
        self._law, self._curve = law, curve
        self._basis = np.stack(_BASES[law](curve.sizes), axis=-1)
        self._freedom = curve.freedom - len(SHAPES[law])
        self._confidence = confidence

    def solved(self) -> Fit:
        """The best parameters with their intervals."""
        best = self._best()
        smallest = self._sum_of_squares(best)
        limit = max(smallest, _ROUNDING) * (1 + self._t(self._freedom) ** 2 / self._freedom)
        parameters = {name: self._interval(at, best[at], limit) for at, name in enumerate(SHAPES[self._law])}
        return Fit(
            self._law,
            self._one_worker(best, smallest / self._freedom),
            parameters,
            self._peak(best, limit) if len(best) == 2 else _NEVER,
            self._curve.world_sizes,
            float(np.sqrt(smallest / self._freedom)),
            self._p_value(best, smallest),
            "",
        )

    def _t(self, freedom: int) -> float:
        return float(stats.t.ppf(0.5 + self._confidence / 2, freedom))

    def _rest(self, shape: Array) -> Array:
        sign = _SIGNS[self._law]
        return np.asarray(self._curve.means - sign * np.log(1 - sign * (self._basis @ shape)))

    def _sum_of_squares(self, shape: Array) -> float:
        rest = self._rest(shape)
        return self._curve.pure + max(float(rest @ self._curve.weights @ rest), 0.0)  # rounding may leave it below

    def _slopes(self, shape: Array) -> Array:
        """Of log efficiency: (K, parameters)."""
        return np.asarray(-self._basis / (1 - _SIGNS[self._law] * (self._basis @ shape))[:, None])

    def _gradient(self, shape: Array) -> Array:
        """Of half the sum of squares."""
        return np.asarray(-self._rest(shape) @ self._curve.weights @ self._slopes(shape))

    def _best_on(self, start: Array, direction: Array) -> Array:
        """The shape of the smallest sum of squares between ``start`` and ``start + direction``."""
        sign, means, weights = _SIGNS[self._law], self._curve.means, self._curve.weights
        at, along = 1 - sign * (self._basis @ start), sign * (self._basis @ direction)

        def slope(far: float) -> float:
            left = at - far * along
            return float(sign * ((means - sign * np.log(left)) @ weights @ (along / left)))

        return start + direction * _descended(slope)

    def _best(self) -> Array:
        if len(SHAPES[self._law]) == 1:
            return self._best_on(np.zeros(1), np.ones(1))
        # With kappa the best for each sigma, the slope along sigma is the partial one.
        sigma = _descended(lambda held: float(self._gradient(self._best_holding(0, held))[0]))
        return self._best_holding(0, sigma)

    def _best_holding(self, at: int, held: float) -> Array:
        """The best shape with one parameter held."""
        start, direction = np.zeros(len(SHAPES[self._law])), np.ones(len(SHAPES[self._law]))
        start[at], direction[at] = held, 0.0
        return self._best_on(start, direction) if direction.any() else start

    def _interval(self, at: int, value: float, limit: float) -> Estimate:
        def excess(held: float) -> float:
            return self._sum_of_squares(self._best_holding(at, held)) - limit

        return Estimate(float(value), _crossing(excess, value, 0.0), _crossing(excess, value, 1.0))

    def _peak(self, best: Array, limit: float) -> Estimate:
        """By its inverse square q, at which kappa is q (1 - sigma)."""

        def excess(q: float) -> float:
            return self._sum_of_squares(self._best_on(np.array([0.0, q]), np.array([1.0, -q]))) - limit

        sigma, kappa = best
        q = kappa / (1 - sigma) if kappa < 1 - sigma else 1.0
        ends = (q, _crossing(excess, q, 1.0), _crossing(excess, q, 0.0))
        return Estimate(*(q**-0.5 if q > 0 else float("inf") for q in ends))

    def _one_worker(self, best: Array, variance: float) -> Estimate:
        """Scatter of blocks' levels, and what the shape leaves open, by the curvature at the best fit; half widths added in squares.

        The two are independent: Zou and Donner, Stat. Med. 27 (2008) 1693.
        """
        curve, slopes = self._curve, self._slopes(best)
        logs = curve.levels - curve.shares @ (curve.means - self._rest(best))
        blocks = len(logs)
        if blocks > 1:
            of_blocks = self._t(blocks - 1) * logs.std(ddof=1) / np.sqrt(blocks)
        else:
            of_blocks = self._t(self._freedom) * np.sqrt(variance / curve.trials)
        along = curve.shares.mean(0) @ slopes
        information = slopes.T @ curve.weights @ slopes
        of_shape = self._t(self._freedom) * np.sqrt(variance * max(float(along @ np.linalg.pinv(information) @ along), 0.0))
        half = float(np.hypot(of_blocks, of_shape))
        return Estimate(*np.exp(logs.mean() + np.array([0.0, -half, half])).tolist())

    def _p_value(self, best: Array, smallest: float) -> float:
        """F test of lack of fit; a parameter at its bound was not fitted."""
        repeats = self._curve.freedom - self._curve.contrasts
        if not repeats or self._curve.pure <= _ROUNDING:
            return float("nan")
        free = int(((best > 0) & (best < 1)).sum())
        lacking = self._curve.contrasts - free
        return float(stats.f.sf((smallest - self._curve.pure) / lacking / (self._curve.pure / repeats), lacking, repeats))


def _descended(slope: Callable[[float], float]) -> float:
    """Where a function that falls and then rises between 0 and 1 is smallest, by its slope."""
    if slope(0.0) >= 0:
        return 0.0
    if slope(1.0) <= 0:
        return 1.0
    return float(optimize.brentq(slope, 0.0, 1.0, xtol=1e-14, rtol=1e-10))


def _crossing(excess: Callable[[float], float], inside: float, bound: float) -> float:
    """Where ``excess`` becomes positive between a value at which it is not, and a bound; the bound where it does not."""
    if excess(bound) <= 0:
        return bound
    if excess(inside) >= 0:
        return inside
    return float(optimize.brentq(excess, inside, bound, xtol=1e-13, rtol=1e-8))
