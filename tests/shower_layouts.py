"""Writers of every layout in which the field keeps showers, so that each can be read without anybody's data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from gan3d.data.shower_file import write_clic_file
from gan3d.data.showers import Showers

CLIC_GRID = (9, 10, 8)
"""No two edges alike, so that swapped axes are seen."""


def make_showers(num_showers: int, grid: tuple[int, int, int] = CLIC_GRID, *, seed: int = 1, has_polar_angle: bool = False) -> Showers:
    """Showers of 10-100 GeV that deposit about 2 % in about a tenth of the cells."""
    random = np.random.default_rng(seed)
    incident_energy = random.uniform(10, 100, num_showers).astype(np.float32)
    cells = random.exponential(size=(num_showers, *grid)) * (random.random((num_showers, *grid)) < 0.1)
    cells[:, 0, 0, 0] += 0.1
    cells *= (0.02 * incident_energy * random.normal(1, 0.05, num_showers) / cells.sum(axis=(1, 2, 3)))[:, None, None, None]
    angle = random.uniform(np.pi / 3, 2 * np.pi / 3, num_showers).astype(np.float32) if has_polar_angle else None
    return Showers(cells.astype(np.float32), incident_energy, angle, np.arange(num_showers))


def target_table(showers: Showers) -> np.ndarray:
    """(N, 5): PDG code, E, px, py, pz."""
    zero = np.zeros(len(showers))
    return np.stack([zero + 11, showers.incident_energy, zero, zero, showers.incident_energy], axis=1)


def write(path: Path, **data_sets: np.ndarray) -> Path:
    """Cells compressed in chunks of four showers, as far as there are so many; the rest as it comes."""
    with h5py.File(path, "w") as file:
        for name, values in data_sets.items():
            is_cells = name in ("ECAL", "showers") and values.ndim > 1 and values.size > 0
            chunks = (min(4, len(values)), *values.shape[1:]) if is_cells else None
            file.create_dataset(name, data=values, chunks=chunks, compression="gzip" if is_cells else None, shuffle=is_cells)
    return path


def clic(path: Path, showers: Showers) -> None:
    write(path, ECAL=showers.cells, target=target_table(showers).astype(np.float32))


def clic_nested_target(path: Path, showers: Showers) -> None:
    write(path, ECAL=showers.cells, target=target_table(showers)[:, None, :])


def clic_energy(path: Path, showers: Showers) -> None:
    write(path, ECAL=showers.cells.astype(np.float64), energy=showers.incident_energy)


def clic_energy_column(path: Path, showers: Showers) -> None:
    write(path, ECAL=showers.cells, energy=showers.incident_energy[:, None], HCAL=np.zeros((len(showers), 5, 5, 60), dtype=np.float32))


def clic_older_energy(path: Path, showers: Showers) -> None:
    write(path, ECAL=showers.cells, energy=target_table(showers)[:, None, :])


def clic_not_chunked(path: Path, showers: Showers) -> None:
    with h5py.File(path, "w") as file:
        file["ECAL"] = showers.cells
        file["target"] = target_table(showers)


def clic_angle(path: Path, showers: Showers) -> None:
    assert showers.polar_angle is not None
    write(path, ECAL=showers.cells, energy=showers.incident_energy, theta=showers.polar_angle)


def clic_angle_times_50(path: Path, showers: Showers) -> None:
    assert showers.polar_angle is not None
    write(path, ECAL=showers.cells * 50, energy=showers.incident_energy[:, None], theta=showers.polar_angle[:, None])


def calochallenge(path: Path, showers: Showers) -> None:
    """(X, Y, L) = (alpha, r, layer), stored as (layer, alpha, r) flattened, in MeV."""
    flat = showers.cells.transpose(0, 3, 1, 2).reshape(len(showers), -1)
    write(path, showers=flat.astype(np.float64) * 1e3, incident_energies=showers.incident_energy[:, None].astype(np.float64) * 1e3)


Layout = tuple[Callable[[Path, Showers], None], tuple[int, int, int], bool]

LAYOUTS: dict[str, Layout] = {
    "clic": (clic, CLIC_GRID, False),
    "clic_nested_target": (clic_nested_target, CLIC_GRID, False),
    "clic_energy": (clic_energy, CLIC_GRID, False),
    "clic_energy_column": (clic_energy_column, CLIC_GRID, False),
    "clic_older_energy": (clic_older_energy, CLIC_GRID, False),
    "clic_not_chunked": (clic_not_chunked, CLIC_GRID, False),
    "clic_angle": (clic_angle, CLIC_GRID, True),
    "clic_angle_full": (clic_angle_times_50, (51, 51, 25), True),
    "clic_angle_times_50": (clic_angle_times_50, CLIC_GRID, True),
    "calochallenge_2": (calochallenge, (16, 9, 45), False),
    "calochallenge_3": (calochallenge, (50, 18, 45), False),
    "written_here": (write_clic_file, CLIC_GRID, False),
    "written_here_with_angle": (write_clic_file, CLIC_GRID, True),
}
"""Name to writer, the grid of its showers, whether they have a polar angle."""
