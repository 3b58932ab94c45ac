"""Keeps freed memory in the process.

glibc gives blocks of more than 32 MB back to the system as soon as they are freed. A network's activations are such blocks from a
batch of about 12 on, and each step then asks for the same pages again, zeroed by the kernel one page fault at a time: at batch 128
that took more time than all convolutions (benchmarks/README.md, "allocation").
"""

from __future__ import annotations

import ctypes

#: Parameters of ``mallopt`` (malloc.h).
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
#: Never give the top of the heap back.
NEVER = -1


def keep_freed_memory() -> bool:
    """Let this process reuse the memory that it frees, to its end; False where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
