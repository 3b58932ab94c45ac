from __future__ import annotations

import math

import pytest
import torch

from gan3d.config.training import LossWeights
from gan3d.models.discriminator import DiscriminatorOutput
from gan3d.models.losses import AdversarialLoss, Targets, absolute_percentage_error, adversarial, losses

SEED_WEIGHTS = LossWeights()


def output(polar_angle: bool = False) -> DiscriminatorOutput:
    angle = torch.tensor([1.1, 1.8]) if polar_angle else None
    return DiscriminatorOutput(torch.tensor([0.0, 2.0]), torch.tensor([90.0, 220.0]), torch.tensor([2.0, 3.0]), angle)


def targets(polar_angle: bool = False) -> Targets:
    angle = torch.tensor([1.0, 2.0]) if polar_angle else None
    return Targets(torch.tensor([1.0, 0.0]), torch.tensor([100.0, 200.0]), torch.tensor([2.0, 4.0]), angle)


def test_parts_by_hand() -> None:
    parts = losses(output(polar_angle=True), targets(polar_angle=True), SEED_WEIGHTS)
    assert parts.validity.item() == pytest.approx((math.log(2) + math.log1p(math.exp(2))) / 2)
    assert parts.incident_energy.item() == pytest.approx(10.0)
    assert parts.deposited_energy.item() == pytest.approx(12.5)
    assert parts.polar_angle.item() == pytest.approx(10.0)


@pytest.mark.parametrize("polar_angle", [False, True])
def test_total_is_the_weighted_sum_of_the_parts(polar_angle: bool) -> None:
    parts = losses(output(polar_angle), targets(polar_angle), SEED_WEIGHTS)
    expected = 8 * parts.validity + 0.2 * parts.incident_energy + 0.1 * parts.deposited_energy + 0.1 * parts.polar_angle
    torch.testing.assert_close(parts.total, expected)


@pytest.mark.parametrize("part", ["validity", "incident_energy", "deposited_energy", "polar_angle"])
def test_a_weight_acts_on_its_own_part(part: str) -> None:
    nothing = dict.fromkeys(LossWeights.model_fields, 0.0)
    parts = losses(output(polar_angle=True), targets(polar_angle=True), LossWeights.model_validate(nothing | {part: 3.0}))
    torch.testing.assert_close(parts.total, 3 * getattr(parts, part))


def test_percentage_error_is_relative_to_the_truth() -> None:
    assert absolute_percentage_error(torch.tensor([150.0]), torch.tensor([100.0])).item() == pytest.approx(50.0)
    assert absolute_percentage_error(torch.tensor([100.0]), torch.tensor([150.0])).item() == pytest.approx(100 / 3)
    assert absolute_percentage_error(torch.tensor([0.0]), torch.tensor([5.0])).item() == pytest.approx(100.0)


def test_percentage_error_of_a_zero_truth_is_finite() -> None:
    assert absolute_percentage_error(torch.tensor([2e-7]), torch.tensor([0.0])).item() == pytest.approx(200.0)


def test_perfect_output_costs_only_its_validity() -> None:
    truth = targets(polar_angle=True)
    parts = losses(DiscriminatorOutput(torch.tensor([50.0, -50.0]), *truth[1:]), truth, SEED_WEIGHTS)
    assert parts.total.item() == pytest.approx(0.0, abs=1e-12)


def test_polar_angle_costs_zero_where_it_is_not_regressed() -> None:
    parts = losses(output(), targets(), SEED_WEIGHTS)
    assert parts.polar_angle.shape == ()
    assert parts.polar_angle.item() == 0


def test_sure_and_wrong_validity_has_a_finite_gradient() -> None:
    logit = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(losses(output()._replace(validity_logit=logit), targets(), SEED_WEIGHTS).total, logit)
    torch.testing.assert_close(gradient, torch.tensor([-4.0, 4.0]))


@pytest.mark.parametrize(
    ("kind", "of_discriminator", "of_generator"),
    [
        # Logits 0 and 2; right would be 1 and 0, and for the generator's showers 1 and 1.
        ("least_squares", (1 + 4) / 2, (1 + 1) / 2),
        ("hinge", (1 + 3) / 2, -(0 + 2) / 2),
    ],
)
def test_other_adversarial_losses_by_hand(kind: AdversarialLoss, of_discriminator: float, of_generator: float) -> None:
    wanted = targets()._replace(validity=torch.ones(2))
    assert losses(output(), targets(), SEED_WEIGHTS, kind).validity.item() == pytest.approx(of_discriminator)
    assert losses(output(), wanted, SEED_WEIGHTS, kind, of_generator=True).validity.item() == pytest.approx(of_generator)


def test_the_hinge_asks_nothing_beyond_its_margin() -> None:
    logit = torch.tensor([1.5, -1.5], requires_grad=True)
    adversarial(logit, torch.tensor([1.0, 0.0]), "hinge", of_generator=False).backward()
    assert logit.grad is not None
    assert logit.grad.tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["cross_entropy", "hinge", "least_squares"])
def test_every_adversarial_loss_falls_where_the_discriminator_is_right(kind: AdversarialLoss) -> None:
    right, wrong = torch.tensor([0.5, -0.5]), torch.tensor([-0.5, 0.5])
    validity = torch.tensor([1.0, 0.0])
    assert adversarial(right, validity, kind, of_generator=False) < adversarial(wrong, validity, kind, of_generator=False)
