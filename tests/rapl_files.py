"""RAPL counters as files, as kernels lay them out (Documentation/power/powercap/powercap.rst)."""

from __future__ import annotations

from pathlib import Path

#: Of a socket of a Xeon [microjoules].
RANGE = 262_143_328_850


def write_zone(root: Path, zone: str, name: str, microjoules: int, largest: int = RANGE) -> Path:
    """One zone, as `/sys/class/powercap` has it."""
    folder = root / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n", encoding="ascii")
    (folder / "max_energy_range_uj").write_text(f"{largest}\n", encoding="ascii")
    set_counter(folder, microjoules)
    return folder


def set_counter(folder: Path, microjoules: int) -> None:
    """In one go: a thread that watches the counter must not see an empty file."""
    (folder / "next").write_text(f"{microjoules}\n", encoding="ascii")
    (folder / "next").rename(folder / "energy_uj")
