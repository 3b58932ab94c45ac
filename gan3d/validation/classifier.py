"""How well a classifier tells generated showers from Monte Carlo: 0.5 is not at all, 1 is always.

The CaloChallenge trains on 60,000 showers of each kind; here everything is scaled to what there is. Five folds: each is judged by a network
that was trained on three of the others and stopped by the fourth. What it is worth with how many
showers is measured in docs/validation.md: an area means nothing by a classifier that is blind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn

Array = NDArray[np.floating]

NUM_FOLDS = 5
BATCH, LEARNING_RATE = 64, 1e-3
#: An area that is as good as 1: training longer would not make it better.
ALL = 0.9995
#: Rows that are judged at a time.
BLOCK = 256


def _as_they_are(rows: Tensor) -> Tensor:
    return rows


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network and how it is trained."""

    network: Callable[[Tensor], nn.Module]
    """From the training rows (N, K) to an untrained network, whose output is a logit (N, 1)."""
    augment: Callable[[Tensor], Tensor] = _as_they_are
    """Of the rows of each batch."""
    epochs: int = 100
    """At most."""
    patience: int = 6
    """Epochs without a better stopping fold, after which it is over."""
    weight_decay: float = 0.0


class Standardised(nn.Module):
    """Columns with the mean 0 and the spread 1 that they have over training rows."""

    mean: Tensor
    spread: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", rows.mean(dim=0))
        self.register_buffer("spread", rows.std(dim=0, correction=0) + 1e-6)

    def forward(self, rows: Tensor) -> Tensor:
        """The same shape."""
        return (rows - self.mean) / self.spread


def features_network(rows: Tensor, units: int = 128) -> nn.Module:
    """Two hidden layers, of the challenge's form with fewer units."""
    hidden = [nn.Linear(rows.shape[1], units), nn.LeakyReLU(), nn.Linear(units, units), nn.LeakyReLU()]
    return nn.Sequential(Standardised(rows), *hidden, nn.Linear(units, 1))


FEATURES = Recipe(features_network)


@dataclass(frozen=True, slots=True)
class Separation:
    """Over folds."""

    auc: float
    auc_error: float
    """Standard deviation over folds, over the root of their number."""
    divergence: float
    """Jensen-Shannon divergence in units of log 2, after calibration; 0 is none, 1 is all."""
    divergence_error: float
    folds: tuple[float, ...]
    """AUC of each."""


def separation(reference: Array, generated: Array, seed: int, recipe: Recipe = FEATURES, *, are_pairs: bool = False) -> Separation:
    """Train and judge.

    Args:
        reference: features (N, K) of Monte Carlo showers.
        generated: features (M, K).
        seed: of folds and networks.
        recipe: of the network.
        are_pairs: row by row both have the same incident energy. Then the two of a pair are in one fold: else a network that has seen one
            of them, and knows its energy by heart, would take the other for one of the same kind, and the area would be too small.
    """
    inputs = np.concatenate([reference, generated]).astype(np.float32)
    labels = np.concatenate([np.zeros(len(reference)), np.ones(len(generated))])
    folds = np.concatenate([_folds(len(part), seed if are_pairs else seed + place) for place, part in enumerate((reference, generated))])
    found = [_of_fold(inputs, labels, folds, fold, seed, recipe) for fold in range(NUM_FOLDS)]
    areas, divergences = zip(*found, strict=True)
    errors = (float(np.std(values, ddof=1)) / math.sqrt(NUM_FOLDS) for values in (areas, divergences))
    return Separation(float(np.mean(areas)), next(errors), float(np.mean(divergences)), next(errors), tuple(areas))


def _folds(number: int, seed: int) -> NDArray[np.int64]:
    """Fold of each shower; each has as many of both kinds as there are."""
    return np.random.default_rng(seed).permutation(np.arange(number) % NUM_FOLDS)


def _of_fold(inputs: Array, labels: Array, folds: NDArray[np.int64], fold: int, seed: int, recipe: Recipe) -> tuple[float, float]:
    """AUC, and divergence."""
    judged, stopping = folds == fold, folds == (fold + 1) % NUM_FOLDS
    trained = ~judged & ~stopping
    with torch.random.fork_rng():
        torch.manual_seed(seed + fold)
        network = _trained((inputs[trained], labels[trained]), (inputs[stopping], labels[stopping]), recipe)
    scores = torch.sigmoid(_logits(network, torch.from_numpy(inputs))).numpy()
    # Of n showers none says that a probability is below one in n: a certainty would cost the entropy any price.
    smallest = 1 / (stopping.sum() + 2)
    calibrated = IsotonicRegression(out_of_bounds="clip", y_min=smallest, y_max=1 - smallest).fit(scores[stopping], labels[stopping])
    entropy = float(log_loss(labels[judged], calibrated.predict(scores[judged])))
    return float(roc_auc_score(labels[judged], scores[judged])), (math.log(2) - entropy) / math.log(2)


def _trained(training: tuple[Array, Array], stopping: tuple[Array, Array], recipe: Recipe) -> nn.Module:
    """A network with the weights that were best on the fold that stops."""
    rows, labels, watched = torch.from_numpy(training[0]), torch.from_numpy(training[1]).float(), torch.from_numpy(stopping[0])
    network = recipe.network(rows)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=recipe.weight_decay)
    best, best_epoch, kept = -1.0, 0, network.state_dict()
    for epoch in range(recipe.epochs):
        network.train()
        for batch in torch.split(torch.randperm(len(rows)), BATCH):
            optimiser.zero_grad()
            logits = network(recipe.augment(rows[batch]))[:, 0]
            torch.autograd.backward(nn.functional.binary_cross_entropy_with_logits(logits, labels[batch]))
            optimiser.step()
        reached = float(roc_auc_score(stopping[1], _logits(network, watched).numpy()))
        if reached > best:
            best, best_epoch, kept = reached, epoch, {name: value.clone() for name, value in network.state_dict().items()}
        if best > ALL or epoch - best_epoch >= recipe.patience:
            break
    network.load_state_dict(kept)
    return network


@torch.no_grad()
def _logits(network: nn.Module, rows: Tensor) -> Tensor:
    """(N,)."""
    network.eval()
    return torch.cat([network(part)[:, 0] for part in torch.split(rows, BLOCK)])
