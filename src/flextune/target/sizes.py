"""Sizes in readable units."""

from __future__ import annotations


def size(size_bytes: float) -> str:
    """`32 KiB`, `1.5 GiB`."""
    for prefix, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.4g} {prefix}"
    return f"{size_bytes:.0f} B"
