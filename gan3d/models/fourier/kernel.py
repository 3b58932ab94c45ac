"""The C kernel, loaded: which of its builds this machine can run, and its four functions on tensors.

Legend: B showers, C channels, P channels rounded up to whole blocks, F frequencies.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Self

import torch

#: Channels of a block, the longest period, the return value and the number of the interface, as kernel.c has them.
LANES, LONGEST_PERIOD, OUT_OF_MEMORY, INTERFACE = 8, 255, 1, 1
#: Builds of setup.py by what torch says of the processor (which ATEN_CPU_CAPABILITY can lower), the best first.
BUILDS = {"AVX512": ("avx512", "avx2", "generic"), "AVX2": ("avx2", "generic")}


@dataclass(frozen=True, slots=True)
class Axis:
    """``count`` values at the positions ``low``, ``low + 1``, ... modulo ``period``, which is odd."""

    count: int
    low: int
    period: int


Axes = tuple[Axis, Axis, Axis]

_LOG = logging.getLogger(__name__)


class Kernel:
    """The compiled functions. Tensors are fp32, contiguous and on the CPU; as many threads as torch has."""

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        if loaded.gan3d_interface() != INTERFACE:
            message = "it was compiled from another source"
            raise AttributeError(message)
        pointer, number, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
        self.name = library.name
        self._spectra, self._values = loaded.gan3d_spectra, loaded.gan3d_values
        self._products, self._correlations = loaded.gan3d_products, loaded.gan3d_correlations
        self._spectra.argtypes = [pointer, number, number, pointer, pointer, number]
        self._values.argtypes = [pointer, number, number, pointer, pointer, pointer, number]
        self._products.argtypes = [pointer, pointer, number, long, number, number, number, pointer, number]
        self._correlations.argtypes = [pointer, pointer, number, long, number, number, pointer, number]
        self._products.restype = self._correlations.restype = None

    @classmethod
    @cache
    def here(cls) -> Self | None:
        """The best build that is there, that this processor runs and that can be loaded; None where there is none."""
        for build in BUILDS.get(torch.backends.cpu.get_cpu_capability(), ("generic",)):
            for suffix in EXTENSION_SUFFIXES:
                library = Path(__file__).with_name(f"_{build}{suffix}")
                try:
                    if library.exists():
                        return cls(library)
                except (OSError, AttributeError) as problem:  # of another machine, without its OpenMP, or from an older source
                    _LOG.warning("%s is left out, which makes convolutions slower (%s). Install gan3d again.", library.name, problem)
        return None

    def spectra(self, values: torch.Tensor, axes: Axes) -> torch.Tensor:
        """Values (B, x, y, z, C) at the positions of ``axes`` to spectra (B, F, P / LANES, 2, LANES)."""
        batch, channels = values.shape[0], values.shape[-1]
        spectra = values.new_empty(batch, num_frequencies(axes), -(-channels // LANES), 2, LANES)
        _check(self._spectra(values.data_ptr(), batch, channels, _numbers(axes), spectra.data_ptr(), torch.get_num_threads()))
        return spectra

    def values(self, spectra: torch.Tensor, axes: Axes, channels: int, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Spectra to the values (B, x, y, z, C) at the positions of ``axes``, plus ``bias`` (C,)."""
        batch = spectra.shape[0]
        values = spectra.new_empty(batch, *(axis.count for axis in axes), channels)
        offset = None if bias is None else bias.data_ptr()
        threads = torch.get_num_threads()
        _check(self._values(spectra.data_ptr(), batch, channels, _numbers(axes), offset, values.data_ptr(), threads))
        return values

    def products(self, spectra: torch.Tensor, weights: torch.Tensor, inputs: int, *, conjugate: bool) -> torch.Tensor:
        """At each frequency, vectors of ``inputs`` channels times matrices.

        Args:
            spectra: (B, F, blocks, 2, LANES).
            weights: (1, F, inputs * P / LANES, 2, LANES), the spectrum of channels (input, output).
            inputs: Channels in.
            conjugate: Whether to multiply with the matrices' complex conjugates.

        Returns:
            (B, F, P / LANES, 2, LANES).
        """
        batch, frequencies = spectra.shape[:2]
        blocks = weights.shape[2] // inputs
        out = spectra.new_empty(batch, frequencies, blocks, 2, LANES)
        pointers = spectra.data_ptr(), weights.data_ptr()
        self._products(*pointers, batch, frequencies, inputs, blocks, conjugate, out.data_ptr(), torch.get_num_threads())
        return out

    def correlations(self, inputs: torch.Tensor, gradients: torch.Tensor, num_inputs: int) -> torch.Tensor:
        """At each frequency, the sum over showers of gradient times conjugate input: (1, F, num_inputs * P / LANES, 2, LANES)."""
        batch, frequencies, blocks = gradients.shape[:3]
        out = gradients.new_empty(1, frequencies, num_inputs * blocks, 2, LANES)
        pointers = inputs.data_ptr(), gradients.data_ptr()
        self._correlations(*pointers, batch, frequencies, num_inputs, blocks, out.data_ptr(), torch.get_num_threads())
        return out


def num_frequencies(axes: Axes) -> int:
    """Frequencies that are kept: all along the first two axes, half along the third."""
    return axes[0].period * axes[1].period * ((axes[2].period + 1) // 2)


def _numbers(axes: Sequence[Axis]) -> ctypes.Array[ctypes.c_int]:
    return (ctypes.c_int * 9)(*(number for axis in axes for number in (axis.count, axis.low, axis.period)))


def _check(status: int) -> None:
    if status == OUT_OF_MEMORY:
        message = "a convolution found no memory for its transforms"
        raise MemoryError(message)
