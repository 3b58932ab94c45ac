"""The named losses of both networks and the deposited energy they expect. Legend: B showers."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch.nn import functional

from gan3d.config.training import LossWeights
from gan3d.models.discriminator import DiscriminatorOutput

AdversarialLoss = Literal["cross_entropy", "hinge", "least_squares", "relativistic", "wasserstein"]

#: Smallest denominator of a percentage error (Keras' epsilon).
SMALLEST_TRUTH = 1e-7


class Targets(NamedTuple):
    """What the discriminator should say of each shower; tensors of shape (B,)."""

    validity: torch.Tensor
    """1 real, 0 generated."""
    incident_energy: torch.Tensor
    """[GeV]."""
    deposited_energy: torch.Tensor
    """[GeV]."""
    polar_angle: torch.Tensor | None
    """[rad]."""

    def part(self, part: slice) -> Targets:
        """Those of some of the showers."""
        angle = None if self.polar_angle is None else self.polar_angle[part]
        return Targets(self.validity[part], self.incident_energy[part], self.deposited_energy[part], angle)


class LossParts(NamedTuple):
    """Means over the showers, scalar tensors. The total is weighted; the parts are not."""

    total: torch.Tensor
    """Weighted sum of the parts."""
    validity: torch.Tensor
    """Binary cross-entropy [nat], or another adversarial loss."""
    incident_energy: torch.Tensor
    """Mean absolute percentage error [%]."""
    deposited_energy: torch.Tensor
    """Mean absolute percentage error [%]."""
    polar_angle: torch.Tensor
    """Mean absolute percentage error [%]; 0 where the showers are not conditioned on it."""


def losses(
    output: DiscriminatorOutput,
    targets: Targets,
    weights: LossWeights,
    kind: AdversarialLoss = "cross_entropy",
    *,
    of_generator: bool = False,
) -> LossParts:
    """Compare the discriminator's output with its targets.

    Args:
        output: What it says.
        targets: What it should say; of a generator's showers that it takes them for Monte Carlo.
        weights: Of the parts.
        kind: Of the part of the validity.
        of_generator: Whether the generator learns from it, not the discriminator.
    """
    validity = adversarial(output.validity_logit, targets.validity, kind, of_generator=of_generator)
    incident_energy = absolute_percentage_error(output.incident_energy, targets.incident_energy)
    deposited_energy = absolute_percentage_error(output.deposited_energy, targets.deposited_energy)
    polar_angle = _polar_angle_error(output.polar_angle, targets.polar_angle, like=validity)
    total = (
        weights.validity * validity
        + weights.incident_energy * incident_energy
        + weights.deposited_energy * deposited_energy
        + weights.polar_angle * polar_angle
    )
    return LossParts(total, validity, incident_energy, deposited_energy, polar_angle)


def adversarial(logit: torch.Tensor, validity: torch.Tensor, kind: AdversarialLoss, *, of_generator: bool) -> torch.Tensor:
    """Mean loss of saying ``logit`` (B,) where ``validity`` (B,) is right: 1 or 0.

    Cross-entropy as the seed. Hinge (Lim and Ye, arXiv:1705.02894): nothing beyond a margin of 1, and for the generator minus the logit.
    Least squares (Mao et al., arXiv:1611.04076, with 0 and 1). Wasserstein: the logits' difference (Arjovsky et al., arXiv:1701.07875).
    Relativistic: cross-entropy of a logit above the mean of the other kind's, which is taken off before. After Jolicoeur-Martineau,
    arXiv:1807.00734, but the seed updates on one kind after the other, so here the other kind's mean, of a rank's showers, is a constant:
    the halves of that paper's gradients that go through it, and the generator's term on real showers, are not there.
    """
    if kind in ("cross_entropy", "relativistic"):
        return functional.binary_cross_entropy_with_logits(logit, validity)
    if kind == "least_squares":
        return (logit - validity).square().mean()
    towards = (2 * validity - 1) * logit
    if kind == "wasserstein":
        return -towards.mean()
    return -towards.mean() if of_generator else functional.relu(1 - towards).mean()


def absolute_percentage_error(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean of ``100 |truth - predicted| / |truth|`` [%], as Keras has it: relative to the truth."""
    return 100 * ((truth - predicted).abs() / truth.abs().clamp_min(SMALLEST_TRUTH)).mean()


def _polar_angle_error(predicted: torch.Tensor | None, truth: torch.Tensor | None, *, like: torch.Tensor) -> torch.Tensor:
    """The polar angle's error [%], or a zero scalar where there is no such head."""
    if predicted is None:
        return torch.zeros_like(like)
    assert truth is not None, "a discriminator that regresses the polar angle needs its truth"
    return absolute_percentage_error(predicted, truth)
