"""Energy counters of one node: RAPL for processors and memory, NVML for a GPU. Absent or unreadable counters are no error.

A RAPL counter counts a whole socket, whoever uses it; `gan3d.cost.epochs` takes a process's share. Many kernels let only root
read it (CVE-2020-8694): then energy is declared, and says so. RAPL was tested on copies of its files, NVML not at all: neither was
there to be read.
Format of the files: Documentation/power/powercap/powercap.rst of the Linux kernel.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
#: Zones of the processor's own interface; `intel-rapl-mmio:*` counts the same energy again. AMD's processors use these names too.
_ZONE = re.compile(r"intel-rapl(:\d+)+")
#: A socket, and the memory beside it. `core` and `uncore` are parts of a socket, `psys` is the whole platform, sockets included.
_COUNTED = re.compile(r"package-\d+(-die-\d+)?|dram")
#: The smallest counters come round after 65 kJ, four minutes of a socket at 270 W.
SECONDS_BETWEEN_LOOKS = 60.0
MICRO, MILLI = 1e-6, 1e-3


@dataclass(slots=True)
class Zone:
    """One counter that comes round."""

    folder: Path
    range_microjoules: int
    last_microjoules: int

    def advance(self) -> int:
        """Microjoules since the last look, which must not be so long ago that the counter came round twice."""
        now = _number(self.folder / "energy_uj")
        passed = now - self.last_microjoules
        self.last_microjoules = now
        return passed if passed >= 0 else passed + self.range_microjoules


class Rapl:
    """Energy of this node's sockets and memory since the meter was opened."""

    def __init__(self, zones: list[Zone]) -> None:
        self._zones = zones
        self._microjoules = 0
        self._lock = threading.Lock()

    @classmethod
    def open(cls, root: Path = POWERCAP) -> Rapl | None:
        """The meter of this node; None where it has no counters, or they may not be read."""
        folders = sorted(folder for folder in root.glob("intel-rapl:*") if _ZONE.fullmatch(folder.name))
        try:
            counted = [folder for folder in folders if _COUNTED.fullmatch((folder / "name").read_text(encoding="ascii").strip())]
            zones = [Zone(folder, _number(folder / "max_energy_range_uj"), _number(folder / "energy_uj")) for folder in counted]
        except (OSError, ValueError):
            return None
        return cls(zones) if zones else None

    def joules(self) -> float | None:
        """Joules of the whole node since `open`; None where a counter cannot be read at the moment."""
        with self._lock:
            try:
                for zone in self._zones:
                    self._microjoules += zone.advance()
            except (OSError, ValueError):
                return None
            return self._microjoules * MICRO

    def watch(self) -> Callable[[], None]:
        """Look often enough that no counter comes round unseen, in a thread of its own; returns what ends it."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                self.joules()

        threading.Thread(target=look, name="rapl", daemon=True).start()
        return over.set


class Nvml:
    """Energy of one GPU. Written after NVML's documentation and never run: there was no GPU."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle

    @classmethod
    def open(cls, uuid: str | None) -> Nvml | None:
        """The GPU's meter; None without the package nvidia-ml-py, a driver, or a GPU (Volta or younger) that counts its energy.

        Args:
            uuid: as `torch.cuda.get_device_properties(...).uuid` has it; None: no GPU.
        """
        if uuid is None:
            return None
        try:
            library = importlib.import_module("pynvml")
            library.nvmlInit()
            meter = cls(library, library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"))
        except Exception:  # noqa: BLE001 - one class of exceptions per answer of the driver, in a package that may be absent
            return None
        return meter if meter.joules() is not None else None

    def joules(self) -> float | None:
        """Joules of the GPU since its driver was loaded; None where the driver does not say so at the moment."""
        try:
            return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * MILLI
        except Exception:  # noqa: BLE001 - as in `open`
            return None


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
