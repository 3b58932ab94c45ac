"""Whether a loader will wait for the way a set of files is stored, and the way out: said by `gan3d plan`, before anything waits."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gan3d.config.training import Data
from gan3d.data.dataset import BLOCK_BYTES, LARGEST_BLOCK_BYTES, ShowerSet
from gan3d.data.shower_file import ShowerFile

MEGABYTE = 1e6
DECODED_BYTES_PER_SECOND = 3e8
"""What a core decodes of showers compressed with gzip or lzf, about (`benchmarks/data_path.py`)."""
NODE_CACHE = "set data.node_cache to a folder on a disk of each node"


def storage_advice(showers: ShowerSet, data: Data) -> tuple[str, ...]:
    """Sentences on badly chunked training files; none where the set is kept in memory, or decoded on the node.

    Compression alone is not named: in good chunks it costs a step no wait, and 0.2 ms of CPU time for a shower of 25 x 25 x 25 cells.
    """
    num_used = min(showers.num_in_files, data.max_train_showers or showers.num_in_files)
    is_kept = num_used * showers.shower_bytes <= data.cache_megabytes_per_worker * MEGABYTE
    if is_kept or data.node_cache is not None:
        return ()
    alike: dict[tuple[int, str], list[ShowerFile]] = {}
    for file in showers.files:
        storage = file.layout.storage
        if storage.is_compressed and storage.chunk * showers.shower_bytes > BLOCK_BYTES:
            alike.setdefault((storage.chunk, storage.filters), []).append(file)
    return tuple(_on_chunks(files, showers.shower_bytes) for files in alike.values())


def _on_chunks(files: Sequence[ShowerFile], shower_bytes: int) -> str:
    storage = files[0].layout.storage
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    together = storage.chunk * shower_bytes
    times = -(-together // LARGEST_BLOCK_BYTES)
    again = f", {times} times in an epoch" if times > 1 else ""
    return (
        f"{files[0].path.name}{more}: {storage.chunk} showers, {together / MEGABYTE:,.0f} MB, are packed together ({storage.filters}): "
        f"every rank that needs one of them decodes all, in about {together / DECODED_BYTES_PER_SECOND:.1f} s{again}. "
        f"Either {NODE_CACHE}, or write smaller chunks: {_repacking(files[0])}"
    )


def _repacking(file: ShowerFile) -> str:
    """A command of HDF5's own tools that writes the file anew in good chunks."""
    name, storage = file.layout.cells_name, file.layout.storage
    chunk = "x".join(map(str, storage.good_chunk))
    source, target = (shlex.quote(str(path)) for path in (file.path, file.path.with_stem(f"{file.path.stem}_repacked")))
    return f"h5repack -l {name}:CHUNK={chunk} -f {name}:SHUF -f {name}:GZIP=4 {source} {target}"
