"""What is wrong with a bad generator's showers, done to good ones, and how far off the gate says it is.

python -m benchmarks.planted_faults [--write] judges 500 showers with each fault against 500 good ones; ``--write`` puts the table into
docs/validation.md. Two minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.physics.calorimeter import Calorimeter
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.readout import SquareCells
from gan3d.simulation.constants import ShowerConstants, fitted_constants
from gan3d.simulation.simulate import shower_batch
from gan3d.simulation.spots import shower_cells
from gan3d.validation.collection import blocks
from gan3d.validation.detector import Detector
from gan3d.validation.gate import Finding, Floor, floor_of, judge
from gan3d.validation.table import ObservableTable, joined, table_of

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "validation.md"
#: What is between these lines of it is written by this command.
BEGIN, END = "<!-- faults: written by python -m benchmarks.planted_faults -->", "<!-- end of faults -->"
#: Showers on each side.
NUMBER = 500

CLIC = calorimeter("clic")
#: Of faint cells, and of low incident energies [GeV].
FAINT_GEV, LOW_GEV = 1.2e-4, 20.0


def monte_carlo(number: int, seed: int) -> Showers:
    """Good ones: embedded, 10 to 100 GeV, normal incidence."""
    random = np.random.default_rng(seed)
    energy = random.uniform(10, 100, number)
    cells = shower_cells(energy, np.full(number, np.pi / 2), random, CLIC)
    return Showers(cells, energy.astype(np.float32), None, np.arange(number, dtype=np.int64))


def inclined(number: int, seed: int, detector: Calorimeter) -> Showers:
    """Good ones of 10 to 100 GeV at 60 to 120 degrees."""
    angles = (np.pi / 3, 2 * np.pi / 3)
    found = shower_batch(detector, num_showers=number, incident_energy_gev=(10, 100), polar_angle_rad=angles, seed=seed)
    return Showers(found.cells, found.incident_energy, found.polar_angle, np.arange(number, dtype=np.int64))


def with_cells(showers: Showers, cells: NDArray[np.floating]) -> Showers:
    """The same showers with other cells."""
    return replace(showers, cells=cells.astype(np.float32))


def scaled(showers: Showers) -> Showers:
    """All energies 3 % too high."""
    return with_cells(showers, showers.cells * 1.03)


def simulated(showers: Showers, detector: Calorimeter, constants: ShowerConstants) -> Showers:
    """Other showers of the same energies, of the embedded Monte Carlo."""
    angle = np.full(len(showers), np.pi / 2)
    cells = shower_cells(showers.incident_energy.astype(np.float64), angle, np.random.default_rng(4), detector, constants)
    return with_cells(showers, cells)


def deeper(showers: Showers) -> Showers:
    """Every profile half a layer later, nothing else."""
    constants = fitted_constants(CLIC)
    later = replace(constants, start_depth_x0=constants.start_depth_x0 - 0.5 * float(CLIC.layer_x0[0]))
    return simulated(showers, CLIC, later)


def wider(showers: Showers) -> Showers:
    """A tenth wider along x and y, nothing else: the same showers in smaller cells."""
    return simulated(showers, replace(CLIC, cells=SquareCells(5.1 / 1.1, 25)), fitted_constants(CLIC))


def dead_layer(showers: Showers) -> Showers:
    """The twelfth layer reads nothing; the others keep what they have."""
    cells = showers.cells.copy()
    cells[..., 11] = 0
    return with_cells(showers, cells)


def merged_cells(showers: Showers) -> Showers:
    """Of two neighbours along x that both hold energy, one pair in four is read out in its brighter cell: fewer cells, the same sum."""
    left, right = showers.cells[:, 0:-1:2], showers.cells[:, 1::2]
    pairs = (left > 0) & (right > 0) & (np.random.default_rng(5).random(left.shape) < 1 / 4)
    both, is_left = left + right, left >= right
    cells = showers.cells.copy()
    cells[:, 0:-1:2] = np.where(pairs, np.where(is_left, both, 0), left)
    cells[:, 1::2] = np.where(pairs, np.where(is_left, 0, both), right)
    return with_cells(showers, cells)


def shuffled(showers: Showers) -> Showers:
    """Each shower has another one's incident energy."""
    return replace(showers, incident_energy=np.random.default_rng(1).permutation(showers.incident_energy))


def angles_shuffled(showers: Showers) -> Showers:
    """Each shower has another one's polar angle."""
    assert showers.polar_angle is not None
    return replace(showers, polar_angle=np.random.default_rng(1).permutation(showers.polar_angle))


def collapsed(showers: Showers) -> Showers:
    """Twenty distinct showers, scaled to the energies that are asked for."""
    which = np.arange(len(showers)) % 20
    factor = showers.incident_energy / showers.incident_energy[which]
    return with_cells(showers, showers.cells[which] * factor[:, None, None, None])


def uncorrelated(showers: Showers) -> Showers:
    """Each layer's energy is another shower's of about the same incident energy: right on average, layer by layer."""
    random, order = np.random.default_rng(2), np.argsort(showers.incident_energy)
    layers = showers.cells.sum((1, 2))
    wanted = layers.copy()
    for layer in range(layers.shape[1]):
        for block in np.array_split(order, len(order) // 20):
            wanted[block, layer] = layers[random.permutation(block), layer]
    share = np.divide(wanted, layers, out=np.zeros_like(wanted), where=layers > 1e-9)
    cells = showers.cells * share[:, None, None, :]
    return with_cells(showers, cells * (showers.cells.sum((1, 2, 3)) / cells.sum((1, 2, 3)))[:, None, None, None])


def no_faint_cells(showers: Showers) -> Showers:
    """Cells below 0.12 MeV hold nothing: the lower end of the cell spectrum, that of single crossings of the silicon, is missing."""
    return with_cells(showers, np.where(showers.cells < FAINT_GEV, 0, showers.cells))


def no_low_energies(showers: Showers) -> Showers:
    """Below 20 GeV there are none; others, of 20 to 100 GeV, are simulated in their place."""
    random, is_low = np.random.default_rng(3), showers.incident_energy < LOW_GEV
    energy, cells = showers.incident_energy.copy(), showers.cells.copy()
    energy[is_low] = random.uniform(LOW_GEV, 100, is_low.sum())
    cells[is_low] = shower_cells(energy[is_low].astype(np.float64), np.full(is_low.sum(), np.pi / 2), random, CLIC)
    return replace(with_cells(showers, cells), incident_energy=energy)


def broken(showers: Showers) -> Showers:
    """One in a hundred has a cell that is no number."""
    cells = showers.cells.copy()
    cells[::100, 12, 12, 12] = np.nan
    return with_cells(showers, cells)


def empty(showers: Showers) -> Showers:
    """One in a hundred has no energy."""
    cells = showers.cells.copy()
    cells[::100] = 0
    return with_cells(showers, cells)


FAULTS: Mapping[str, Callable[[Showers], Showers]] = MappingProxyType(
    {
        "energy scale +3 %": scaled,
        "shower maximum half a layer late": deeper,
        "10 % too wide": wider,
        "one layer dead": dead_layer,
        "occupancy wrong at fixed sum": merged_cells,
        "energies shuffled against conditions": shuffled,
        "collapsed to 20 distinct showers": collapsed,
        "per-layer correlations destroyed": uncorrelated,
        "missing low-energy tail of cells": no_faint_cells,
        "missing low incident energies": no_low_energies,
        "1 % not finite": broken,
        "1 % empty": empty,
    }
)

#: What a fault must be found by, among others: not by a side effect of how it was planted.
NAMED_BY: Mapping[str, str] = MappingProxyType(
    {
        "energy scale +3 %": "mean/response",
        "shower maximum half a layer late": "mean/barycentre_depth",
        "10 % too wide": "mean/variance_x",
        "one layer dead": "mean/layer_11",
        "occupancy wrong at fixed sum": "mean/occupancy",
        "energies shuffled against conditions": "spread/response",
        "collapsed to 20 distinct showers": "diversity/shape",
        "per-layer correlations destroyed": "correlation/layers",
        "missing low-energy tail of cells": "mean/cells_1e-4",
        "missing low incident energies": "low_tail/incident_energy",
        "1 % not finite": "broken/showers",
        "1 % empty": "broken/showers",
    }
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A reference that showers are held against."""

    detector: Detector
    reference: ObservableTable
    floor: Floor

    @classmethod
    def of(cls, parts: Sequence[Showers], detector: Detector) -> Gate:
        """Of all these showers, for ``NUMBER`` of others."""
        reference = joined(table_of(block, detector) for part in parts for block in blocks(part))
        return cls(detector, reference, floor_of(reference, NUMBER, seed=1))

    def findings(self, showers: Showers) -> list[Finding]:
        """Worst first."""
        return judge(joined(table_of(block, self.detector) for block in blocks(showers)), self.reference, self.floor, seed=1)

    def line(self, what: str, showers: Showers, named_by: str | None = None) -> str:
        """Of the table; without a name the worst number stands there."""
        found = self.findings(showers)
        worst, named = found[0], next((one for one in found if one.name == named_by), found[0])
        flagged = f"{sum(one.is_flagged for one in found)} of {len(found)}"
        return f"| {what} | `{named.name}` | {named.deviations:.1f} | `{worst.name}` | {worst.deviations:.1f} | {flagged} |"


def lines() -> Iterator[str]:
    """Of the table: good showers, every fault, and two that need a gate of their own."""
    yield from ("| fault | named by | deviations | worst | deviations | numbers flagged |", "|---|---|---|---|---|---|")
    parts, good = [monte_carlo(NUMBER, seed) for seed in range(6)], monte_carlo(NUMBER, seed=100)
    gate = Gate.of(parts, Detector.of(CLIC))
    yield gate.line("none", good)
    for name, fault in FAULTS.items():
        yield gate.line(name, fault(good), NAMED_BY[name])
    alike = Gate.of(parts, Detector(np.ones(len(CLIC.layers))))
    yield alike.line("energy scale +3 %, layers weighed alike", scaled(good), NAMED_BY["energy scale +3 %"])
    wide = calorimeter("clic_wide")
    angles = Gate.of([inclined(2 * NUMBER, 1, wide)], Detector.of(wide))
    good = inclined(NUMBER, 2, wide)
    yield angles.line("none, `clic_wide`, 60 to 120 degrees", good)
    yield angles.line("angles shuffled", angles_shuffled(good), "spread/slope_x")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, print, write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true", help="into docs/validation.md")
    asked, table = parser.parse_args(arguments), list[str]()
    for line in lines():
        print(line, flush=True)
        table.append(line)
    if asked.write:
        before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        _, end, behind = rest.partition(END)
        assert begin, f"{DOCUMENT} has no line {BEGIN}"
        assert end, f"{DOCUMENT} has no line {END}"
        DOCUMENT.write_text("\n".join((before + begin, "", *table, "", end)) + behind, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
