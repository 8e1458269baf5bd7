"""Caches of a Linux machine's processors, from /sys."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_DEFAULT_CACHES = {1: 32768, 2: 524288, 3: 8388608}


def cache_sizes(root: Path, cpu: int) -> tuple[int, int, int]:
    """Bytes of the L1 data, L2 and last-level cache that one logical processor sees.

    A processor without an L3 has its L2 in that place. Where the kernel says nothing the sizes are common ones.
    """
    sizes: dict[int, int] = {}
    for folder in sorted((root / f"sys/devices/system/cpu/cpu{cpu}/cache").glob("index*")):
        level, kind, size = (_word_in(folder / name) for name in ("level", "type", "size"))
        if level.isdigit() and kind != "Instruction" and (size_bytes := _bytes_of(size)):
            sizes[int(level)] = size_bytes
    if not sizes:
        return (_DEFAULT_CACHES[1], _DEFAULT_CACHES[2], _DEFAULT_CACHES[3])
    l1 = sizes.get(1, _DEFAULT_CACHES[1])
    l2 = sizes.get(2, max(l1, _DEFAULT_CACHES[2]))
    return l1, l2, max(l2, *(size for level, size in sizes.items() if level >= 2), 0)


def last_level_cache_count(root: Path, cpus: Iterable[int]) -> int:
    """How many instances of the last cache level these logical processors use between them, at least one."""
    sharers = set()
    for cpu in cpus:
        folders = (root / f"sys/devices/system/cpu/cpu{cpu}/cache").glob("index*")
        levels = [(_word_in(folder / "level"), _word_in(folder / "shared_cpu_list")) for folder in folders]
        sharers.add(max(levels, default=("", "")))
    return max(1, len(sharers))


def _word_in(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _bytes_of(size: str) -> int:
    """`32K`, `1024K`, `32M` in bytes; 0 for anything else."""
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1:], 1)
    digits = size.rstrip("KMG")
    return int(digits) * unit if digits.isdigit() else 0
