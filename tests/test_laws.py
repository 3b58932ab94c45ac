"""Laws of scaling: exact curves give back their parameters, noisy ones an interval that holds them as often as it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from gan3d.scaling.laws import LAWS, SHAPES, fit_law

ONE = 80.0
WORLD_SIZES = (1, 2, 4, 8, 16)
EXACT = [
    ("amdahl", (0.0,)),
    ("amdahl", (0.03,)),
    ("amdahl", (0.6,)),
    ("amdahl", (1.0,)),
    ("gustafson", (0.0,)),
    ("gustafson", (0.05,)),
    ("gustafson", (0.9,)),
    ("universal", (0.0, 0.0)),
    ("universal", (0.04, 0.0)),
    ("universal", (0.0, 0.002)),
    ("universal", (0.04, 0.0005)),
    ("universal", (0.5, 0.1)),
]


def throughput_of(law, sizes, shape):
    """The three formulae, as they stand in books."""
    n, sigma, kappa = np.asarray(sizes, float), shape[0], (*shape, 0.0)[1]
    if law == "gustafson":
        return ONE * (n - sigma * (n - 1))
    return ONE * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def rates_of(law, shape, sizes=WORLD_SIZES, blocks=5, scatter=0.0, drift=0.0, rng=None):
    """A study's rates: log-normal scatter of each trial, and a drift common to a block."""
    rng = rng or np.random.default_rng(2018)
    logs = np.log(throughput_of(law, sizes, shape)) + rng.normal(0.0, drift, (blocks, 1)) + rng.normal(0.0, scatter, (blocks, len(sizes)))
    rows = {"world_size": np.tile(sizes, blocks), "block": np.repeat(np.arange(blocks), len(sizes))}
    return pd.DataFrame({**rows, "showers_per_second": np.exp(logs).ravel()})


def without_cells(rates, share=0.3, seed=4):
    """The rates with that share of trials lost."""
    return rates.drop(rates.sample(frac=share, random_state=seed).index)


def values(fit):
    return [estimate.value for estimate in fit.parameters.values()]


@pytest.mark.parametrize(("law", "shape"), EXACT)
def test_exact_curves_give_back_their_parameters(law, shape):
    fit = fit_law(rates_of(law, shape), law)
    assert not fit.undetermined
    assert list(fit.parameters) == list(SHAPES[law])
    assert values(fit) == pytest.approx(shape, abs=1e-8)
    assert fit.one_worker.value == pytest.approx(ONE)
    assert fit.throughput(np.array([1, 3, 100])) == pytest.approx(throughput_of(law, [1, 3, 100], shape), rel=1e-6)
    assert fit.scatter == pytest.approx(0.0, abs=1e-7)
    for estimate, truth in zip(fit.parameters.values(), shape, strict=True):
        assert truth - 1e-7 < estimate.low <= estimate.value <= estimate.high < truth + 1e-7


@pytest.mark.parametrize("law", LAWS)
def test_the_smallest_world_size_need_not_be_one(law):
    shape = (0.02, 0.0005)[: len(SHAPES[law])]
    fit = fit_law(rates_of(law, shape, sizes=(4, 8, 16, 64)), law)
    assert values(fit) == pytest.approx(shape, abs=1e-8)
    assert fit.one_worker.value == pytest.approx(ONE)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("lose", [lambda rates: rates, without_cells], ids=["all cells", "missing cells"])
def test_a_drift_common_to_a_block_tells_nothing_of_the_law(law, lose):
    rates = lose(rates_of(law, (0.1, 0.001)[: len(SHAPES[law])], scatter=0.03))
    drifted = rates.assign(showers_per_second=rates["showers_per_second"] * np.exp(rates["block"] - 2))
    fit, of_drifted = fit_law(rates, law), fit_law(drifted, law)
    for name, estimate in fit.parameters.items():
        assert of_drifted.parameters[name] == pytest.approx(estimate, rel=1e-6, abs=1e-12)
    assert of_drifted.peak == pytest.approx(fit.peak, rel=1e-6)
    assert (of_drifted.scatter, of_drifted.p_value) == pytest.approx((fit.scatter, fit.p_value), rel=1e-6)
    assert np.ptp(of_drifted.one_worker[1:]) > 5 * np.ptp(fit.one_worker[1:]), "but of one worker's throughput it does"


@pytest.mark.parametrize("law", LAWS)
def test_neither_the_order_of_trials_nor_the_names_of_blocks_matter(law):
    rates = rates_of(law, (0.1, 0.001)[: len(SHAPES[law])], scatter=0.03)
    other = rates.assign(block=rates["block"].map("edcba".__getitem__)).sample(frac=1.0, random_state=1)
    for name, estimate in fit_law(rates, law).parameters.items():
        assert fit_law(other, law).parameters[name] == pytest.approx(estimate, rel=1e-6)


@pytest.mark.parametrize(("law", "sizes"), [("amdahl", (1, 2)), ("gustafson", (1, 2)), ("universal", (1, 2)), ("universal", (1, 2, 4))])
def test_with_too_few_world_sizes_a_law_is_undetermined_and_says_so(law, sizes):
    """Two cores leave every law undetermined, however many repeats."""
    fit = fit_law(rates_of(law, (0.1, 0.01)[: len(SHAPES[law])], sizes=sizes, blocks=20, scatter=0.01), law)
    count = len(SHAPES[law]) + 1
    shown = ", ".join(map(str, sizes))
    assert fit.undetermined == (
        f"undetermined: {law} has {count} parameters, so {count + 1} world sizes can test it; there are {len(sizes)} ({shown})"
    )
    assert np.isnan([*fit.one_worker, *np.ravel(list(fit.parameters.values())), *fit.peak, fit.scatter, fit.p_value]).all()
    assert np.isnan(fit.throughput(np.array([1, 2]))).all()


@pytest.mark.parametrize(("law", "sizes"), [("amdahl", (1, 2, 4)), ("gustafson", (1, 2, 4)), ("universal", (1, 2, 4, 8))])
def test_one_world_size_more_than_parameters_is_enough_even_in_a_single_block(law, sizes):
    shape = (0.1, 0.01)[: len(SHAPES[law])]
    fit = fit_law(rates_of(law, shape, sizes=sizes, blocks=1, scatter=0.003), law)
    assert not fit.undetermined
    assert np.isnan(fit.p_value), "no repeats, no scatter to judge the law by"
    for estimate in (*fit.parameters.values(), fit.one_worker):
        assert estimate.low < estimate.value < estimate.high


def test_world_sizes_that_no_block_compares_determine_nothing():
    apart = rates_of("amdahl", (0.1,), sizes=(1, 2, 4)).assign(block=range(15))
    assert fit_law(apart, "amdahl").undetermined.endswith("compared within blocks; blocks compare 0 of 3")
    chained = apart[:4].assign(world_size=[1, 2, 2, 4], block=[1, 1, 2, 2])
    assert not fit_law(chained, "amdahl").undetermined, "2 is in both"
    halves = rates_of("universal", (0.1, 0.01), sizes=(1, 2, 4, 8), scatter=0.01)
    halves = halves[(halves["world_size"] < 4) == (halves["block"] < 3)]
    assert fit_law(halves, "universal").undetermined.endswith("compared within blocks; blocks compare 3 of 4")


@pytest.mark.parametrize("law", LAWS)
def test_rates_in_another_column_and_with_another_confidence_are_fitted_too(law):
    rates = rates_of("universal", (0.1, 0.001), scatter=0.01)
    halved = rates.eval("half = showers_per_second / 2").drop(columns="showers_per_second")
    whole, half = fit_law(rates, law), fit_law(halved, law, 0.5, "half")
    assert half.one_worker.value == pytest.approx(whole.one_worker.value / 2)
    assert np.ptp(half.parameters["sigma"][1:]) < np.ptp(whole.parameters["sigma"][1:])


@pytest.mark.parametrize("law", LAWS)
def test_faster_than_ideal_stops_at_the_bound(law):
    rates = rates_of("amdahl", (0.0,), scatter=0.02)
    rates["showers_per_second"] *= rates["world_size"] ** 0.2
    fit = fit_law(rates, law)
    assert values(fit) == [0.0] * len(SHAPES[law])
    assert all(estimate.low == 0 for estimate in fit.parameters.values())
    assert fit.p_value < 1e-6, "and the law is refuted"


def profile(law, rates, at, held, degree):
    """Sum of squares with a parameter held: columns for blocks by least squares, the other parameter by a bounded search."""
    logs, sizes = np.log(rates["showers_per_second"].to_numpy()), rates["world_size"].to_numpy()
    columns = pd.get_dummies(rates["block"]).to_numpy(float)

    def sum_of_squares(shape):
        rest = logs - np.log(throughput_of(law, sizes, shape))
        return float(np.sum((rest - columns @ np.linalg.lstsq(columns, rest, rcond=None)[0]) ** 2))

    if degree == 1:
        return sum_of_squares([held])
    shapes = (lambda other: (held, other)) if at == 0 else (lambda other: (other, held))
    found = optimize.minimize_scalar(lambda root: sum_of_squares(shapes(root * root)), bounds=(0, 0.6), options={"xatol": 1e-9})
    return min(float(found.fun), sum_of_squares(shapes(0.0)))


@pytest.mark.parametrize("lose", [lambda rates: rates, without_cells], ids=["all cells", "missing cells"])
@pytest.mark.parametrize(
    ("law", "shape"), [("amdahl", (0.1,)), ("gustafson", (0.1,)), ("universal", (0.1, 0.01)), ("universal", (0.05, 0.0))]
)
def test_the_fit_is_the_best_and_its_interval_is_where_the_profile_reaches_its_limit(law, shape, lose):
    """Against columns for blocks and a general minimiser, which know nothing of the reduced sums."""
    rates = lose(rates_of(law, shape, scatter=0.04, drift=0.2))
    fit = fit_law(rates, law, confidence=0.9)
    freedom = len(rates) - rates["block"].nunique() - len(shape)
    for at, estimate in enumerate(fit.parameters.values()):
        near = [profile(law, rates, at, estimate.value + step, len(shape)) for step in (0.0, -1e-4, 1e-4) if estimate.value + step >= 0]
        smallest = near[0]
        assert smallest == min(near)
        assert fit.scatter == pytest.approx(np.sqrt(smallest / freedom), rel=1e-6)
        limit = smallest * (1 + stats.t.ppf(0.95, freedom) ** 2 / freedom)
        assert profile(law, rates, at, estimate.high, len(shape)) == pytest.approx(limit, rel=1e-5)
        low = profile(law, rates, at, estimate.low, len(shape))
        assert low == pytest.approx(limit, rel=1e-5) or (estimate.low == 0 and low <= limit)


def test_intervals_narrow_at_lower_confidence_and_with_less_scatter():
    of = {scatter: rates_of("universal", (0.1, 0.01), scatter=scatter) for scatter in (0.01, 0.04)}
    wide, narrow, calm = fit_law(of[0.04], "universal", 0.99), fit_law(of[0.04], "universal", 0.68), fit_law(of[0.01], "universal", 0.99)
    for name in ("sigma", "kappa"):
        width = {fit: np.ptp(one.parameters[name][1:]) for fit, one in (("wide", wide), ("narrow", narrow), ("calm", calm))}
        assert width["narrow"] < 0.6 * width["wide"]
        assert width["calm"] < 0.6 * width["wide"]
        assert wide.parameters[name].value == pytest.approx(narrow.parameters[name].value, rel=1e-6)
    assert wide.peak.low < narrow.peak.low < narrow.peak.value < narrow.peak.high < wide.peak.high


@pytest.mark.parametrize(
    ("shape", "peak"), [((0.1, 0.009), 10.0), ((0.0, 0.0001), 100.0), ((0.1, 0.0), np.inf), ((0.5, 0.6), 1.0), ((1.0, 0.1), 1.0)]
)
def test_the_peak_is_where_the_curve_turns(shape, peak):
    fit = fit_law(rates_of("universal", shape), "universal")
    assert fit.peak.value == pytest.approx(peak, rel=1e-5) or (np.isinf(peak) and fit.peak.value > 1e4)
    assert fit.peak.low <= fit.peak.value <= fit.peak.high
    if 1 < peak < np.inf:
        assert fit.throughput(np.array([peak]))[0] > fit.throughput(peak * np.array([0.9, 1.1])).max()


def test_a_peak_beyond_the_data_may_be_anywhere_beyond():
    fit = fit_law(rates_of("universal", (0.05, 0.0), scatter=0.02), "universal")
    assert 16 < fit.peak.low < fit.peak.high == np.inf
    assert fit_law(rates_of("amdahl", (0.05,)), "amdahl").peak == (np.inf, np.inf, np.inf)


def test_points_off_the_law_refute_it():
    rates = rates_of("universal", (0.02, 0.01), scatter=0.02, drift=0.2)
    assert fit_law(rates, "amdahl").p_value < 1e-6
    assert fit_law(rates, "universal").p_value > 0.01


DRAWS = 2000


def studies(law, shape, draws=DRAWS, lose=None, **kinds):
    """Fits of made-up studies."""
    rng = np.random.default_rng(1967)
    made = (rates_of(law, shape, rng=rng, **kinds) for _ in range(draws))
    return [fit_law(lose(rates) if lose else rates, law) for rates in made]


def covered(fits, shape):
    """Share of intervals that hold the truth, by parameter, and of the peak, where there may be one."""
    found = {}
    for name, truth in zip(SHAPES[fits[0].law], shape, strict=True):
        found[name] = np.mean([fit.parameters[name].low <= truth <= fit.parameters[name].high for fit in fits])
    if len(shape) == 2:
        peak = np.sqrt((1 - shape[0]) / shape[1]) if shape[1] else np.inf
        found["peak"] = np.mean([fit.peak.low <= peak <= fit.peak.high for fit in fits])
    return found


def test_where_only_blocks_scatter_one_worker_has_the_interval_of_their_geometric_mean():
    rates = rates_of("amdahl", (0.05,), drift=0.5)
    logs = np.log(rates.loc[rates["world_size"] == 1, "showers_per_second"])
    half = stats.t.ppf(0.975, 4) * logs.std(ddof=1) / np.sqrt(5)
    assert fit_law(rates, "amdahl").one_worker == pytest.approx(np.exp(logs.mean() + np.array([0, -half, half])), rel=1e-6)


@pytest.mark.parametrize(("drift", "blocks", "least", "most"), [(0.15, 5, 0.93, 0.97), (0.0, 5, 0.95, 0.985), (0.0, 1, 0.93, 0.97)])
def test_the_interval_of_one_worker_holds_the_drift_of_blocks_and_is_a_little_wide_without_one(drift, blocks, least, most):
    fits = studies("amdahl", (0.05,), draws=DRAWS, scatter=0.03, drift=drift, blocks=blocks)
    assert least <= np.mean([fit.one_worker.low <= ONE <= fit.one_worker.high for fit in fits]) <= most


NOISE = [{"scatter": 0.03}, {"scatter": 0.03, "drift": 0.15}]
FEW = {"scatter": 0.03, "drift": 0.15, "blocks": 3, "sizes": (1, 2, 4)}


@pytest.mark.parametrize(
    ("law", "shape", "kinds"),
    [
        ("amdahl", (0.05,), NOISE[0]),
        ("amdahl", (0.05,), NOISE[1]),
        ("amdahl", (0.3,), FEW),
        ("amdahl", (0.05,), NOISE[1] | {"lose": without_cells}),
        ("gustafson", (0.2,), NOISE[0]),
        ("gustafson", (0.2,), NOISE[1]),
    ],
)
def test_intervals_cover_a_known_law_in_95_percent_of_2000_studies(law, shape, kinds):
    fits = studies(law, shape, **kinds)
    assert all(0.93 <= share <= 0.97 for share in covered(fits, shape).values()), covered(fits, shape)
    assert 0.03 <= np.mean([fit.p_value < 0.05 for fit in fits]) <= 0.07, "and a true law is refuted as often as is said"


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [*NOISE, NOISE[1] | {"lose": without_cells}])
def test_both_intervals_of_the_universal_law_cover_in_95_percent_of_2000_studies(kinds):
    shape = (0.05, 0.004)
    fits = studies("universal", shape, **kinds)
    assert all(0.93 <= share <= 0.97 for share in covered(fits, shape).values()), covered(fits, shape)
    assert 0.03 <= np.mean([fit.p_value < 0.05 for fit in fits]) <= 0.07


@pytest.mark.parametrize("law", ["amdahl", "gustafson"])
def test_at_the_bound_intervals_are_cautious_since_half_of_the_estimates_stop_there(law):
    fits = studies(law, (0.0,), **NOISE[1])
    assert 0.035 <= np.mean([fit.p_value < 0.05 for fit in fits]) <= 0.065, "a parameter at its bound was not fitted"
    assert 0.47 <= np.mean([values(fit) == [0.0] for fit in fits]) <= 0.53
    assert covered(fits, (0.0,))["sigma"] == pytest.approx(0.975, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "at_bound"), [((0.05, 0.0), "kappa"), ((0.0, 0.004), "sigma")])
def test_a_parameter_at_its_bound_leaves_the_other_its_coverage(shape, at_bound):
    shares = covered(studies("universal", shape, **NOISE[1]), shape)
    assert shares.pop(at_bound) == pytest.approx(0.975, abs=0.01)
    if at_bound == "kappa":
        assert shares.pop("peak") == pytest.approx(0.975, abs=0.01), "that there is none"
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


def test_where_nothing_is_lost_each_parameter_can_stand_in_for_the_other():
    fits = studies("universal", (0.0, 0.0), draws=200, **NOISE[1])
    assert all(fit.parameters[name].low == 0 for fit in fits for name in ("sigma", "kappa"))
    assert all(fit.peak.high == np.inf for fit in fits)
