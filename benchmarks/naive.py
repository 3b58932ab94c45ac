"""The naive port: the seed's networks and step as one writes them down in torch, channels first, nothing thought of.

The peer of our own training step. The same function: with equal weights its outputs are gan3d's (tests/test_benchmarks.py).
Source: svalleco/3Dgan, branch Energy-gan, keras/EcalEnergyGan.py and EcalEnergyTrain.py. Self-contained, 25 x 25 x 25 cells only.
Legend: B showers, C channels, X, Y transverse cells, L layers.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

NOISE_DIM = 200
LEAK = 0.3
DROPOUT = 0.2
#: Of validity, incident energy and deposited energy.
LOSS_WEIGHTS = (8.0, 0.2, 0.1)
FLIPPED_TARGETS = 0.05
#: Deposited over incident energy in percent: coefficients of falling powers of the incident energy in 100 GeV.
RESPONSE = (0.0018, -0.023, 0.11, -0.28, 2.21)


class BatchNormPerPlane(nn.BatchNorm1d):
    """Keras' BatchNormalization() on channels-first tensors: the last axis, so each layer of the depth."""

    def __init__(self, num_planes: int) -> None:
        super().__init__(num_planes, eps=1e-3, momentum=0.01)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Any shape whose last axis is L."""
        planes: torch.Tensor = super().forward(input.reshape(-1, input.shape[-1]))
        return planes.view(input.shape)


class NaiveGenerator(nn.Sequential):
    """Noise times energy, (B, 200), to cells (B, 1, X, Y, L)."""

    def __init__(self, filters: tuple[int, int, int] = (64, 6, 6)) -> None:
        first, second, third = filters
        super().__init__(
            *(nn.Linear(NOISE_DIM, 7 * 7 * 8 * 8), nn.Unflatten(1, (8, 7, 7, 8))),
            *(nn.ZeroPad3d((3, 4, 2, 3, 2, 3)), nn.Conv3d(8, first, (6, 6, 8)), nn.LeakyReLU(LEAK), BatchNormPerPlane(8)),
            *(nn.Upsample(scale_factor=(2, 2, 2)), nn.ZeroPad3d((0, 0, 2, 2, 2, 2)), nn.Conv3d(first, second, (6, 5, 8))),
            *(nn.LeakyReLU(LEAK), BatchNormPerPlane(9)),
            *(nn.Upsample(scale_factor=(2, 2, 3)), nn.ZeroPad3d((3, 3, 0, 0, 1, 1)), nn.Conv3d(second, third, (3, 3, 8))),
            *(nn.LeakyReLU(LEAK), nn.Conv3d(third, 1, 2, bias=False), nn.ReLU()),
        )


class NaiveDiscriminator(nn.Module):
    """Cells (B, 1, X, Y, L) to the probability of being real, the incident energy [100 GeV] and the sum of the cells, each (B,)."""

    def __init__(self, filters: tuple[int, int, int, int] = (32, 8, 8, 8)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv3d(1, filters[0], 5, padding=2), nn.LeakyReLU(LEAK), nn.Dropout(DROPOUT)]
        for before, after, padding, planes in zip(filters, filters[1:], (2, 2, 1), (25, 25, 23), strict=False):
            layers += [
                nn.ZeroPad3d(padding),
                nn.Conv3d(before, after, 5),
                nn.LeakyReLU(LEAK),
                BatchNormPerPlane(planes),
                nn.Dropout(DROPOUT),
            ]
        self.features = nn.Sequential(*layers, nn.AvgPool3d(2), nn.Flatten())
        self.validity = nn.Linear(filters[-1] * 11**3, 1)
        self.incident_energy = nn.Linear(filters[-1] * 11**3, 1)

    def forward(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Judge cells [GeV]."""
        features = self.features(cells)
        return torch.sigmoid(self.validity(features)).squeeze(1), self.incident_energy(features).squeeze(1), cells.sum((1, 2, 3, 4))


class NaiveTraining:
    """Both networks, their optimisers and the step."""

    def __init__(self, generator_filters: tuple[int, int, int] = (64, 6, 6), filters: tuple[int, int, int, int] = (32, 8, 8, 8)) -> None:
        self.generator, self.discriminator = NaiveGenerator(generator_filters), NaiveDiscriminator(filters)
        self.generator_optimiser = rmsprop(self.generator)
        self.discriminator_optimiser = rmsprop(self.discriminator)

    def step(self, cells: torch.Tensor, energy: torch.Tensor) -> None:
        """Update the discriminator on Monte Carlo (B, 1, X, Y, L) [GeV] of incident energies (B,) [100 GeV], then on generated
        showers, then the generator twice.
        """  # noqa: D205 - one sentence
        noise, wanted = asked(len(cells))
        with torch.no_grad():
            self.generator.eval()
            generated = self.generator(noise)
            self.generator.train()
        self._update_discriminator(cells, (flipped(torch.ones_like(energy)), energy, cells.sum((1, 2, 3, 4))))
        self._update_discriminator(generated, (flipped(torch.zeros_like(wanted)), wanted, deposited(wanted)))
        for _ in range(2):
            self._update_generator(len(cells))

    def _update_discriminator(self, cells: torch.Tensor, targets: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
        self.discriminator_optimiser.zero_grad()
        torch.autograd.backward(loss(self.discriminator(cells), targets))
        self.discriminator_optimiser.step()

    def _update_generator(self, num_showers: int) -> None:
        """Gradients of the discriminator's weights are computed too, and thrown away by its next update."""
        noise, wanted = asked(num_showers)
        self.generator_optimiser.zero_grad()
        targets = (torch.ones_like(wanted), wanted, deposited(wanted))
        torch.autograd.backward(loss(self.discriminator(self.generator(noise)), targets))
        self.generator_optimiser.step()


def rmsprop(network: nn.Module) -> torch.optim.Optimizer:
    """Keras' RMSprop of that year."""
    return torch.optim.RMSprop(network.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)


def asked(num_showers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise times energy (B, 200), and the energy (B,) [100 GeV], uniform in 10-500 GeV."""
    energy = torch.empty(num_showers).uniform_(0.1, 5.0)
    return torch.randn(num_showers, NOISE_DIM) * energy[:, None], energy


def deposited(energy: torch.Tensor) -> torch.Tensor:
    """Sum of the cells [GeV] expected at an incident energy [100 GeV]."""
    percent = torch.zeros_like(energy)
    for coefficient in RESPONSE:
        percent = percent * energy + coefficient
    return energy * percent


def flipped(validity: torch.Tensor) -> torch.Tensor:
    """Targets, a share of them turned round."""
    return torch.where(torch.rand_like(validity) < FLIPPED_TARGETS, 1 - validity, validity)


def loss(outputs: tuple[torch.Tensor, ...], targets: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Binary cross-entropy, and absolute percentage errors of both energies, weighted."""
    parts = [functional.binary_cross_entropy(outputs[0], targets[0])]
    parts += [
        100 * ((truth - output).abs() / truth.abs().clamp_min(1e-7)).mean() for output, truth in zip(outputs[1:], targets[1:], strict=True)
    ]
    return sum((weight * part for weight, part in zip(LOSS_WEIGHTS, parts, strict=True)), torch.zeros(()))


def take_weights(naive: nn.Module, network: nn.Module) -> None:
    """Copy weights and running statistics of gan3d's network; its layers stand in the same order."""
    names, values = naive.state_dict(), network.state_dict().values()
    naive.load_state_dict({name: value.reshape(own.shape) for (name, own), value in zip(names.items(), values, strict=True)})
