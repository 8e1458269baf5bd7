"""Limits that Linux control groups (v1 and v2) put on this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_UNLIMITED_BYTES = 1 << 60
"""A v1 group without a limit says about 2^63; anything this large is none."""


def cpu_quota(root: Path) -> float | None:
    """Processors' worth of time that this process may use, or None without a limit. /proc and /sys lie under `root`."""
    shares = [quota for folder in _group_folders(root, "cpu") if (quota := _quota_in(folder)) is not None]
    return min(shares, default=None)


def memory_limit_bytes(root: Path) -> int | None:
    """Memory that this process may use, or None without a limit."""
    limits = [
        limit
        for folder in _group_folders(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _integer_in(folder / name)) is not None and limit < _UNLIMITED_BYTES
    ]
    return min(limits, default=None)


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's group and all groups above it.

    Inside a container the paths in /proc/self/cgroup can be the host's, which do not exist there; the mounted top
    folder is then the container's own group.
    """
    top = root / "sys/fs/cgroup"
    for line in _text_of(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mounts = [top / controllers, top / controller] if controllers else [top, top / "unified"]
        relative = Path(path.lstrip("/"))
        for mount in mounts:
            yield from (mount / part for part in (relative, *relative.parents))


def _quota_in(folder: Path) -> float | None:
    words = _text_of(folder / "cpu.max").split()
    if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
        return int(words[0]) / int(words[1])
    quota, period = _integer_in(folder / "cpu.cfs_quota_us"), _integer_in(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _integer_in(path: Path) -> int | None:
    text = _text_of(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
