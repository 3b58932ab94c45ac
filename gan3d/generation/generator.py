"""A trained generator for those who want showers, not studies.

    generator = Generator.load("results/quickstart/trials/0005")  # or an exported file: generator.onnx
    cells = generator.sample(incident_energy_gev=[50.0, 100.0], seed=1)  # (2, X, Y, L) [GeV]

Showers are made by the chunk, each with noise of its own from the seed and the chunk's number: a shower depends on its place and the seed
alone, not on how many there are, nor on who makes the others. Legend: N showers, X, Y transverse cells, L layers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

import gan3d
from gan3d.errors import ConfigError
from gan3d.generation.card import LARGEST_SEED, Card
from gan3d.generation.formats.catalog import FORMATS, format_of
from gan3d.generation.formats.made import Computing, Make, device_of
from gan3d.generation.registry import SCHEME, downloaded
from gan3d.generation.trained import Trained, load_trained
from gan3d.training.checkpoint import TrialFolder

#: Showers that share a stream of noise. Part of the definition of a seed's showers: another number here makes other showers.
CHUNK = 128

#: Normal numbers that torch makes at once (ATen/native/cpu/DistributionTemplates.h, normal_fill); it divides `CHUNK`.
DRAWN_TOGETHER = 16

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Generator:
    """Makes showers."""

    card: Card
    make: Make
    """From noise, energies and angles to cells."""

    @classmethod
    def load(cls, model: str | Path, *, threads: int | None = None, device: str = "cpu", tracking_uri: str | None = None) -> Self:
        """From a trial's folder, at its best epoch; a state of it (``best.pt``, ``epoch_0007.pt``); an exported file; or a registered one.

        Args:
            model: which; ``models:/NAME/VERSION`` is of MLflow's registry.
            threads: of an exported file's library; None: as it likes. Trials and programs of torch compute with torch's threads.
            device: what computes, as the library calls it: ``cuda`` for a trial, a ``.pt2`` or an ``.onnx``, ``gpu`` for an ``.xml``.
            tracking_uri: where a registered one is; by default what the environment's MLFLOW_TRACKING_URI says.

        Raises:
            ConfigError: there is no such trial, state, file, registered model or device, or a package is missing.
            DataError: it is of another version of this package, or of none.
        """
        computing = Computing(threads, device.lower())
        path = downloaded(str(model), tracking_uri) if str(model).startswith(SCHEME) else Path(model)
        if kind := format_of(path):
            for file in kind.files(path):
                if not file.is_file():
                    message = "there is no such file. An exported generator is a file that gan3d export wrote."
                    raise ConfigError(message, where=str(file))
            card = kind.read_card(path)
            return cls(card, kind.open(path, card, computing))
        folder, state = place_of(path)
        trained = load_trained(folder, state)
        return cls(card_of(trained, state or folder.best), make_with(trained, device_of(computing)))

    @property
    def grid(self) -> tuple[int, int, int]:
        """Cells along x, along y, and layers."""
        return self.card.grid

    @property
    def has_polar_angle(self) -> bool:
        """Whether showers are made at an angle each."""
        return self.card.polar_angle

    @property
    def is_polar(self) -> bool:
        """Whether x and y are angles and rings about the shower's axis."""
        return self.card.cells == "polar"

    def sample(self, incident_energy_gev: ArrayLike, polar_angle: ArrayLike | None = None, *, seed: int = 1) -> Floats:
        """Cells (N, X, Y, L) float32, deposited energy [GeV]; those below the training's threshold are 0.

        Args:
            incident_energy_gev: (N,), or one number for one shower.
            polar_angle: (N,) [rad], pi/2 is normal incidence; exactly where the generator was trained with it.
            seed: same seed, energies and angles, same showers; 0 to 2**63 - 1. Calls with one seed share their noise, shower by shower.

        Raises:
            ConfigError: an energy or a seed no shower can have, or angles where there are none, or none where there are.
        """
        if not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
            message = f"a seed is a whole number from 0 to 2**63 - 1, not {seed!r}"
            raise ConfigError(message, key="seed")
        energy, angle = self.conditions(incident_energy_gev, polar_angle)
        parts = [
            self.chunk(energy[start : start + CHUNK], None if angle is None else angle[start : start + CHUNK], seed=seed, number=number)
            for number, start in enumerate(range(0, len(energy), CHUNK))
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *self.grid), np.float32)

    def chunk(self, energy: Floats, angle: Floats | None, *, seed: int, number: int) -> Floats:
        """The showers of one chunk: at most `CHUNK`."""
        return self.make(noise_of_chunk(len(energy), self.card.num_noise, seed=seed, number=number), energy, angle)

    def conditions(self, incident_energy_gev: ArrayLike, polar_angle: ArrayLike | None) -> tuple[Floats, Floats | None]:
        """Energies and angles as arrays (N,), refused where the generator has no use for them.

        Raises:
            ConfigError: as `sample`.
        """
        energy = np.atleast_1d(_numbers(incident_energy_gev, "incident_energy_gev"))
        if energy.ndim != 1 or not np.all(np.isfinite(energy)) or np.any(energy <= 0):
            message = "incident energies must be a list of finite numbers above 0 [GeV]"
            raise ConfigError(message, key="incident_energy_gev")
        if (polar_angle is not None) != self.has_polar_angle:
            message = (
                "this generator was trained with polar angles: give one for each shower [rad]"
                if self.has_polar_angle
                else "this generator knows normal incidence only: give no polar angle"
            )
            raise ConfigError(message, key="polar_angle")
        if polar_angle is None:
            return energy, None
        angle = _numbers(polar_angle, "polar_angle")
        if angle.shape not in ((), energy.shape):
            message = (
                f"polar angles of shape {angle.shape} do not go with {len(energy)} incident energies. Give one for each, or one for all."
            )
            raise ConfigError(message, key="polar_angle")
        angle = np.broadcast_to(angle, energy.shape)
        if not np.all((angle > 0) & (angle < np.pi)):
            message = "polar angles must lie between 0 and pi [rad]; pi/2 is normal incidence"
            raise ConfigError(message, key="polar_angle")
        return energy, angle.copy()


def _numbers(given: ArrayLike, key: str) -> Floats:
    try:
        return np.asarray(given, np.float32)
    except (TypeError, ValueError) as problem:
        message = f"{key} must be numbers, in one list"
        raise ConfigError(message, key=key) from problem


def noise_of_chunk(num_showers: int, num_noise: int, *, seed: int, number: int) -> Floats:
    """Of the first showers of one chunk, (B, Z): the same numbers for any B up to `CHUNK`, of which no more are drawn than are needed.

    Of the stream's seed torch's generator takes 32 bits (`gan3d.training.noise.stream`): among 10 million showers of one seed, 78,000
    chunks, one may be expected to have another one's noise, at other energies.
    """
    own = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)
    size = num_showers * num_noise
    # Torch makes normal numbers by 16; fewer, or the last of no multiple of it, it draws otherwise.
    whole = -(-size // DRAWN_TOGETHER) * DRAWN_TOGETHER
    found: Floats = torch.randn(whole, generator=torch.Generator().manual_seed(own))[:size].view(num_showers, num_noise).numpy()
    return found


def make_with(trained: Trained, device: torch.device) -> Make:
    """With a trial's own network, which is moved to the device."""
    trained.generator.to(device)

    def make(noise: Floats, energy: Floats, angle: Floats | None) -> Floats:
        angles = None if angle is None else torch.from_numpy(angle).to(device)
        found: Floats = trained.showers_of(torch.from_numpy(noise).to(device), torch.from_numpy(energy).to(device), angles).cpu().numpy()
        return found

    return make


def card_of(trained: Trained, state: Path) -> Card:
    """Of a trial's generator as ``state`` holds it."""
    settings = trained.settings
    return Card(
        format="trial",
        precision="fp32",
        grid=settings.data.grid,
        cells=settings.data.cells,
        crop=settings.data.crop,
        polar_angle=settings.training.polar_angle,
        num_noise=settings.num_noise,
        threshold_gev=settings.data.threshold_gev,
        study_settings=settings.portable_digest(),
        epoch=trained.epoch,
        parent_sha256=hashlib.sha256(state.read_bytes()).hexdigest(),
        gan3d=gan3d.__version__,
    )


def files_of(model: Path) -> tuple[Path, ...]:
    """Those that decide what a generator makes.

    Raises:
        ConfigError: as `place_of`.
    """
    if kind := format_of(model):
        return kind.files(model)
    folder, state = place_of(model)
    return (state or folder.best,)


def place_of(model: Path) -> tuple[TrialFolder, Path | None]:
    """The trial that a path names, and which of its states; None: that of its best epoch.

    Raises:
        ConfigError: it is neither a trial nor a state.
    """
    if model.is_file():
        return TrialFolder(model.parent), model
    folder = TrialFolder(model)
    if folder.best.is_file():
        return folder, None
    message = (
        "is no folder of a trial that has finished an epoch, nor a state of one. Give results/STUDY/trials/NUMBER, a .pt file in it, "
        f"or an exported generator ({', '.join(one.suffix for one in FORMATS.values())})."
    )
    raise ConfigError(message, where=str(model))
