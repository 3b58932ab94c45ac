"""Laws of scaling fitted to a study, as a table to print and to draw.

Amdahl's law is of a fixed global batch and Gustafson's of a fixed batch per worker, so each is fitted to its own kind of scaling; the
universal scalability law, which asks for neither, is fitted to both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from gan3d.scaling.draws import CONFIDENCE
from gan3d.scaling.laws import Fit, Law, fit_law
from gan3d.scaling.speedup import RATES, ScalingKind

#: Laws by kind of scaling.
LAWS_OF: dict[ScalingKind, tuple[Law, ...]] = {"strong": ("amdahl", "universal"), "weak": ("gustafson", "universal")}


def fits_by_kind(
    rates_by_kind: Mapping[ScalingKind, pd.DataFrame], confidence: float = CONFIDENCE, column: str = RATES["training"]
) -> dict[tuple[ScalingKind, Law], Fit]:
    """The fits of :func:`fits_table`, for curves: `Fit.throughput` of world sizes.

    Args:
        rates_by_kind: By kind of scaling, one row per trial, as `gan3d.scaling.speedup.throughput` returns.
        confidence: Of the intervals.
        column: Which throughput.
    """
    return {(kind, law): fit_law(rates, law, confidence, column) for kind, rates in rates_by_kind.items() for law in LAWS_OF[kind]}


def fits_table(
    rates_by_kind: Mapping[ScalingKind, pd.DataFrame], confidence: float = CONFIDENCE, column: str = RATES["training"]
) -> pd.DataFrame:
    """One row per kind of scaling and law.

    Args:
        rates_by_kind: By kind of scaling, one row per trial, as `gan3d.scaling.speedup.throughput` returns.
        confidence: Of the intervals.
        column: Which throughput.

    Returns:
        ``kind`` (strong, weak); ``law`` (amdahl, gustafson, universal); ``trials`` and ``blocks``, how many; ``world_sizes``, as text:
        "1, 2, 4"; ``one_worker`` [showers/s], ``sigma`` and ``kappa`` (`gan3d.scaling.laws` has the formulae; kappa of the universal law
        only), ``peak`` (world size of the largest throughput; infinite where it never falls), each with ``_low`` and ``_high``;
        ``scatter`` (standard deviation of the logarithm of throughput about the law); ``p_value`` (small: the points are not on that
        law); ``undetermined`` (why there are no numbers, all of them NaN; empty text where there are).
    """
    fits = fits_by_kind(rates_by_kind, confidence, column)
    rows = [
        {
            "kind": kind,
            "law": law,
            "trials": len(rates_by_kind[kind]),
            "blocks": rates_by_kind[kind]["block"].nunique(),
            "world_sizes": ", ".join(map(str, fit.world_sizes)),
            **dict(_numbers(fit)),
            "undetermined": fit.undetermined,
        }
        for (kind, law), fit in fits.items()
    ]
    return pd.DataFrame(rows)


def _numbers(fit: Fit) -> Iterator[tuple[str, float]]:
    """Columns of numbers, the same for every law."""
    nan = float("nan")
    for name in ("one_worker", "sigma", "kappa", "peak"):
        estimate = {"one_worker": fit.one_worker, "peak": fit.peak, **fit.parameters}.get(name, (nan, nan, nan))
        yield from zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True)
    yield "scatter", fit.scatter
    yield "p_value", fit.p_value
