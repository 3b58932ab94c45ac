"""How the cells of a file lie on the disk: in which chunks, compressed or not; and what that costs a loader."""

from __future__ import annotations

import math
from dataclasses import dataclass

import h5py

GOOD_CHUNK_BYTES = 1_000_000
"""Decoded size of a good chunk: a few showers, so that a block is several chunks; and it fits into HDF5's chunk cache (1 MiB)."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Storage of one data set of cells.

    Attributes:
        chunk: showers that HDF5 can only decode together; 1 where nothing has to be decoded.
        filters: what the chunks are packed with, as in `shuffle, gzip`; empty: they are not.
        shape: of the data set, (showers, ...).
    """

    chunk: int
    filters: str
    shape: tuple[int, ...]

    @property
    def is_compressed(self) -> bool:
        """Whether reading costs more than copying."""
        return bool(self.filters)

    @property
    def good_chunk(self) -> tuple[int, ...]:
        """Chunks that would be read well: whole showers, about `GOOD_CHUNK_BYTES` of them as float32."""
        shower_bytes = 4 * math.prod(self.shape[1:])
        return (max(1, min(self.shape[0], GOOD_CHUNK_BYTES // shower_bytes)), *self.shape[1:])


def storage_of(cells: h5py.Dataset) -> Storage:
    """Of an open data set; one put together from other files (virtual) counts as not chunked."""
    properties = cells.id.get_create_plist()
    filters = [_filter_name(properties.get_filter(number)) for number in range(properties.get_nfilters())]
    shape = tuple(map(int, cells.shape))
    if not cells.chunks:
        return Storage(1, "", shape)
    return Storage(int(cells.chunks[0]), ", ".join(filters), shape)


def _filter_name(described: tuple[int, int, tuple[int, ...], bytes]) -> str:
    known = {h5py.h5z.FILTER_DEFLATE: "gzip", h5py.h5z.FILTER_LZF: "lzf", h5py.h5z.FILTER_SHUFFLE: "shuffle"}
    number, _, _, name = described
    return known.get(number, name.decode(errors="replace") or f"filter {number}")
