from __future__ import annotations

import numpy as np
import pytest
import torch

from gan3d.models.response import ResponseCurve


def simulated(num_showers: int, lowest: float = 10, highest: float = 500, resolution: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Showers around the seed's curve, with a relative spread of ``resolution / sqrt(E / GeV)``."""
    random = np.random.default_rng(1)
    incident = random.uniform(lowest, highest, num_showers)
    expected = ResponseCurve.seed()(torch.from_numpy(incident)).numpy()
    return incident, expected * (1 + resolution / np.sqrt(incident) * random.standard_normal(num_showers))


def relative_error(curve: ResponseCurve, lowest: float = 10, highest: float = 500) -> float:
    energy = torch.linspace(lowest, highest, 200, dtype=torch.float64)
    return float((curve(energy) / ResponseCurve.seed()(energy) - 1).abs().max())


@pytest.mark.parametrize("energy", [10.0, 100.0, 333.0, 500.0])
def test_seed_curve_is_its_polynomial(energy: float) -> None:
    x = energy / 100
    expected = x * (0.0018 * x**4 - 0.023 * x**3 + 0.11 * x**2 - 0.28 * x + 2.21)
    assert ResponseCurve.seed()(torch.tensor([energy])).item() == pytest.approx(expected, rel=1e-5)


def test_fit_recovers_a_known_curve() -> None:
    assert relative_error(ResponseCurve.fit(*simulated(400, resolution=0)), lowest=12, highest=499) < 1e-6
    assert relative_error(ResponseCurve.fit(*simulated(5000))) < 0.01


@pytest.mark.parametrize("num_showers", [1, 2, 20, 60, 120, 300])
def test_few_showers_give_a_rough_curve_never_a_wild_one(num_showers: int) -> None:
    curve = ResponseCurve.fit(*simulated(num_showers))
    assert relative_error(curve) < 0.2
    assert len(curve.coefficients) <= 1 + num_showers // 50


def test_few_distinct_energies_lower_the_degree() -> None:
    energies = np.repeat([10.0, 50.0, 100.0, 300.0, 500.0], 200)
    deposited = ResponseCurve.seed()(torch.from_numpy(energies)).numpy()
    assert len(ResponseCurve.fit(energies, deposited).coefficients) == 3
    assert relative_error(ResponseCurve.fit(energies, deposited)) < 0.05
    assert ResponseCurve.fit(energies[:200], deposited[:200]).coefficients == pytest.approx((deposited[0] / 10,))


def test_sampling_fraction_outside_of_the_fitted_energies_is_that_at_their_end() -> None:
    curve = ResponseCurve.fit(*simulated(5000, lowest=100, highest=200))
    inside, outside = curve(torch.tensor([curve.lowest_gev, curve.highest_gev])), curve(torch.tensor([1.0, 5000.0]))
    torch.testing.assert_close(outside[0], inside[0] / curve.lowest_gev)
    torch.testing.assert_close(outside[1], inside[1] * 5000 / curve.highest_gev)


def test_showers_without_a_usable_energy_do_not_count() -> None:
    incident, deposited = simulated(500)
    spoilt = ResponseCurve.fit(np.append(incident, [0.0, np.nan, 100.0]), np.append(deposited, [1.0, 1.0, np.inf]))
    assert spoilt == ResponseCurve.fit(incident, deposited)
    with pytest.raises(ValueError, match="at least one shower"):
        ResponseCurve.fit([0.0], [1.0])


def test_expected_energy_stays_positive_where_showers_are_empty() -> None:
    incident = np.linspace(1, 500, 1000)
    curve = ResponseCurve.fit(incident, np.where(incident > 250, 0.02 * incident, 0.0))
    assert (curve(torch.linspace(1, 500, 500)) > 0).all()


def test_gradient_with_respect_to_the_energy_is_finite() -> None:
    energy = torch.tensor([0.0, 10.0, 500.0, 1000.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(ResponseCurve.seed()(energy).sum(), energy)
    assert gradient.isfinite().all()
