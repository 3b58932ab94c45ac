"""Layer energies from a distribution of their own, fitted to training showers; the network only shares each out among its layer's cells.

How much energy a layer receives is what a shower's physics is about, and what a convolutional generator learns last: it is a sum of
hundreds of cells, right to a percent. Two-stage generators (CaloFlow, arXiv:2106.05285; L2LFlows, arXiv:2302.11594) draw it first. Here
the first stage has no training: a Gaussian copula (Nelsen, An Introduction to Copulas) of

    response = ln(deposited / incident energy) and shares_l = sqrt(energy of layer l / deposited energy),

each with a mean and a spread that are parabolas in the logarithm of the incident energy (and in the squared cosine of the polar angle),
and with the training showers' own quantiles around them. Its normal scores are the first L + 1 numbers of the noise, made to go together
as the showers' do; the network sees these numbers as well, so cells may go with them.

Legend: B showers, N training showers, K = L + 1 variables, L layers, T terms, Q quantiles.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from gan3d.models.cell_spectrum import CellSpectrum
from gan3d.models.observable_matching import powers
from gan3d.physics.transform import Transform

#: Normal scores at which quantiles are kept; further out they go on in a straight line.
NUM_SCORES, LAST_SCORE = 65, 3.2
#: Least spread that residuals are divided by, as a share of the mean one.
SMALLEST_SPREAD = 0.1
#: Least share of its energy that a layer's cells must hold to be scaled up to it: an empty layer stays nearly empty.
SMALLEST_SHARE = 1e-3


class LayerEnergies(nn.Module):
    """From noise and incident energy to layer energies, and from cells to cells with these."""

    mean: torch.Tensor
    spread: torch.Tensor
    quantiles: torch.Tensor
    mixing: torch.Tensor

    def __init__(self, num_layers: int, polar_angle: bool, transform: Transform, *, has_spectrum: bool = False) -> None:
        super().__init__()
        # Faint cells keep their gradient: the threshold is the showers', not the generator's.
        self.transform = replace(transform, threshold_gev=0.0)
        num_variables, num_terms = num_layers + 1, 5 if polar_angle else 3
        self.register_buffer("mean", torch.zeros(num_terms, num_variables))
        self.register_buffer("spread", torch.zeros(num_terms, num_variables))
        self.register_buffer("quantiles", scores()[:, None].repeat(1, num_variables))
        self.register_buffer("mixing", torch.eye(num_variables))
        self.spectrum = CellSpectrum() if has_spectrum else None

    @property
    def num_variables(self) -> int:
        """Numbers of the noise that are used, K."""
        return self.mixing.shape[0]

    def forward(
        self, cells_BXYL: torch.Tensor, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cells in network units, every layer scaled to its energy; conditions in GeV and rad."""
        wanted = self.energies(noise_BZ, incident_energy_B, polar_angle_B)
        cells_gev = scaled(self.transform.to_gev(cells_BXYL), wanted)
        if self.spectrum is not None:
            # A curve of energies in GeV, so of cells that are nearly right; it changes sums by a few percent.
            cells_gev = scaled(self.spectrum(cells_gev), wanted)
        return self.transform.to_network(cells_gev)

    @torch.no_grad()
    def energies(self, noise_BZ: torch.Tensor, incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None = None) -> torch.Tensor:
        """Energy of each layer (B, L) [GeV]."""
        terms = terms_of(incident_energy_B, polar_angle_B)
        found = at_scores(self.quantiles, noise_BZ[:, : self.num_variables] @ self.mixing.T)
        values = terms @ self.mean + (terms @ self.spread).exp() * found
        shares = values[:, 1:].clamp_min(0).square()
        total = incident_energy_B * values[:, 0].exp()
        return total[:, None] * shares / shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)

    @torch.no_grad()
    def fit_(self, layer_energy_NL: torch.Tensor, incident_energy_N: torch.Tensor, polar_angle_N: torch.Tensor | None) -> None:
        """Take the distribution from training showers without empty ones, in GeV; angles [rad] exactly where there are to be some."""
        layers, energy = layer_energy_NL.double(), incident_energy_N.double()
        total = layers.sum(dim=1)
        values = torch.cat([(total / energy).log()[:, None], (layers / total[:, None]).sqrt()], dim=1)
        terms = terms_of(energy, None if polar_angle_N is None else polar_angle_N.double())
        mean = least_squares(terms, values)
        residuals = values - terms @ mean
        average = residuals.abs().mean(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
        spread = least_squares(terms, residuals.abs().clamp_min(SMALLEST_SPREAD * average).log())
        standardised = residuals / (terms @ spread).exp()
        self.mean.copy_(mean)
        self.spread.copy_(spread)
        self.quantiles.copy_(torch.quantile(standardised, normal_probability(scores().double()), dim=0))
        self.mixing.copy_(torch.linalg.cholesky(correlation(normal_scores(standardised))))

    @torch.no_grad()
    def start_as_(self, fitted: LayerEnergies) -> None:
        """Take what ``fit_`` found in another module; the curve stays."""
        for name in ("mean", "spread", "quantiles", "mixing"):
            getattr(self, name).copy_(getattr(fitted, name))


def scaled(cells_BXYL: torch.Tensor, wanted_BL: torch.Tensor) -> torch.Tensor:
    """Cells [GeV] whose layers sum to the wanted energies [GeV], but where there is next to nothing to scale."""
    has = cells_BXYL.sum(dim=(1, 2))
    factor = wanted_BL / torch.maximum(has, SMALLEST_SHARE * wanted_BL).clamp_min(torch.finfo(has.dtype).tiny)
    return cells_BXYL * factor[:, None, None, :]


def terms_of(incident_energy_B: torch.Tensor, polar_angle_B: torch.Tensor | None) -> torch.Tensor:
    """1, t, t squared of the logarithm t of the incident energy; c and c squared of the squared cosine c of the angle. Shape (B, T)."""
    of_energy = powers(incident_energy_B)
    if polar_angle_B is None:
        return of_energy
    # Showers tilted to either side deposit alike.
    tilt = polar_angle_B.cos().square()
    return torch.cat([of_energy, torch.stack([tilt, tilt.square()], dim=1)], dim=1)


def least_squares(terms_NT: torch.Tensor, values_NK: torch.Tensor) -> torch.Tensor:
    """Least squares, (T, K); gelsd takes showers of few energies too: of the solutions it returns the smallest."""
    solution: torch.Tensor = torch.linalg.lstsq(terms_NT, values_NK, driver="gelsd").solution
    return solution


def scores() -> torch.Tensor:
    """Normal scores at which quantiles are kept, (Q,)."""
    return torch.linspace(-LAST_SCORE, LAST_SCORE, NUM_SCORES)


def at_scores(quantiles_QK: torch.Tensor, score_BK: torch.Tensor) -> torch.Tensor:
    """What is at normal scores (B, K), by straight lines between the quantiles at `scores`, and on beyond them."""
    place = (score_BK + LAST_SCORE) * ((NUM_SCORES - 1) / (2 * LAST_SCORE))
    left = place.floor().clamp(0, NUM_SCORES - 2).long()
    below, above = quantiles_QK.gather(0, left), quantiles_QK.gather(0, left + 1)
    return torch.lerp(below, above, place - left)


def normal_probability(score: torch.Tensor) -> torch.Tensor:
    """Of lying below."""
    found: torch.Tensor = torch.special.ndtr(score)
    return found


def normal_scores(values_NK: torch.Tensor) -> torch.Tensor:
    """Each column's ranks as a standard normal's quantiles; equal values in the order in which they come."""
    ranks = values_NK.argsort(dim=0, stable=True).argsort(dim=0)
    found: torch.Tensor = torch.special.ndtri((ranks.double() + 0.5) / len(values_NK))
    return found


def correlation(scores_NK: torch.Tensor) -> torch.Tensor:
    """(K, K), positive definite: a thousandth of the diagonal is added, for shares sum to 1."""
    found = torch.corrcoef(scores_NK.T)
    return (found + 1e-3 * torch.eye(len(found))) / (1 + 1e-3)
