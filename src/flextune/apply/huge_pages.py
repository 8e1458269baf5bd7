"""Memory for weights: on huge pages, so that reading them misses fewer translations of addresses."""

from __future__ import annotations

import mmap

import numpy as np

HUGE_PAGE_BYTES = 1 << 21


def huge_block(nbytes: int) -> np.ndarray:
    """Zeroed bytes on huge pages (where the system has them), at a multiple of `HUGE_PAGE_BYTES`."""
    if nbytes == 0:
        return np.zeros(0, np.uint8)
    mapped = mmap.mmap(-1, nbytes + HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        mapped.madvise(mmap.MADV_HUGEPAGE)
    block: np.ndarray = np.frombuffer(mapped, np.uint8)
    begin = -block.ctypes.data % HUGE_PAGE_BYTES
    return block[begin : begin + nbytes]
