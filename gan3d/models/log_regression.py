"""How the mean energy of each cell goes with what is known of its shower: a regression with logarithmic link.

The mean is exp(intercept + slopes . terms) (McCullagh and Nelder, Generalized Linear Models, ch. 6): energies are positive, often 0, and
vary by factors. Slopes of cells that few showers hit are drawn to 0, as by a normal prior.

Legend: N showers, T terms, C cells.
"""

from __future__ import annotations

import torch

#: Expected size of a slope: a cell that few showers hit has a smaller one.
USUAL_SLOPE = 0.5
#: Newton's steps, and the largest exponent on the way.
NUM_STEPS, LARGEST_EXPONENT = 12, 5.0
#: Cells that are looked at together.
CELLS_AT_ONCE = 4096


def log_regression(terms_NT: torch.Tensor, share_NC: torch.Tensor) -> torch.Tensor:
    """Slopes (T, C); 0 of a cell that no shower hit.

    Args:
        terms_NT: of each shower, of sizes about 1.
        share_NC: of each shower and cell what is regressed, not negative.
    """
    return torch.cat([_slopes(terms_NT, part) for part in torch.split(share_NC, CELLS_AT_ONCE, dim=1)], dim=1)


def _slopes(terms_NT: torch.Tensor, share_NC: torch.Tensor) -> torch.Tensor:
    """By Newton's method."""
    mean = share_NC.mean(dim=0)
    relative = share_NC / mean.clamp_min(torch.finfo(mean.dtype).tiny)
    # Energies vary by more than a Poisson's counts would: as many showers count as hit the cell evenly.
    dispersion = relative.square().mean(dim=0).clamp_min(1.0)
    with_one = torch.cat([torch.ones_like(terms_NT[:, :1]), terms_NT], dim=1)
    precision = torch.full((with_one.shape[1],), 1 / USUAL_SLOPE**2, dtype=share_NC.dtype)
    precision[0] = 0.0
    pairs = (with_one[:, :, None] * with_one[:, None, :]).flatten(1)
    found = torch.zeros(with_one.shape[1], share_NC.shape[1], dtype=share_NC.dtype)
    is_hit = mean > 0
    for _ in range(NUM_STEPS):
        expected = (with_one @ found).clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT).exp()
        slope = with_one.T @ (relative - expected) / dispersion - precision[:, None] * found
        curvature = (pairs.T @ expected / dispersion).T.reshape(-1, *2 * [with_one.shape[1]]) + precision.diag()
        step = torch.linalg.solve(curvature + 1e-6 * torch.eye(len(precision)), slope.T.unsqueeze(2)).squeeze(2).T
        found = found + torch.where(is_hit, step.clamp(-1, 1), 0.0)
    return found[1:]
