"""Whether a model fits into this machine's memory, asked before anything large is read."""

from __future__ import annotations

import psutil

from flextune.errors import ModelError
from flextune.target.cgroup import memory_limit_bytes
from flextune.target.host import ROOT

COPIES = 2
"""Weights held at once while a model is read: as the file has them, and as arrays."""


def usable_bytes() -> int:
    """Memory that this process can still take: what the system has available, within its control group's limit."""
    available = int(psutil.virtual_memory().available)
    limit = memory_limit_bytes(ROOT)
    if limit is None:
        return available
    return max(0, min(available, limit - int(psutil.Process().memory_info().rss)))


def require_memory(size_bytes: int, what: str, copies: int = COPIES) -> None:
    """Raise ModelError when `copies` times `size_bytes` is more than this process can take; `what` is its subject."""
    usable = usable_bytes()
    if size_bytes * copies > usable:
        raise ModelError(
            f"{what} has {size_text(size_bytes)} and needs {size_text(size_bytes * copies)} of memory, of which "
            f"{size_text(usable)} are free: close other programs, or take a smaller model"
        )


def size_text(size_bytes: int) -> str:
    """`1.5 GiB`, `97.5 MiB`."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes} bytes"
