"""Real Geant4 showers of the sample's test file, cut as the small study's: no test trains on them."""

from __future__ import annotations

from pathlib import Path

from small_study import SAMPLES

from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers


def write_held_out(folder: Path, num_showers: int = 60) -> Path:
    """The first showers, 12 x 12 x 12 cells around the axis and the shower maximum."""
    showers = open_shower_file(SAMPLES / "clic_10_100_test.h5").read(0, num_showers)
    cells = showers.cells[:, 7:19, 7:19, 3:15].copy()
    write_clic_file(folder / "held_out.h5", Showers(cells, showers.incident_energy, None, showers.identity))
    return folder / "held_out.h5"
