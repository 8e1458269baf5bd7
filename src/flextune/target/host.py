"""The machine this process runs on: processors it may use, and facts that identify it in records."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flextune.target.cgroup import cpu_quota

ROOT = Path("/")

_IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")


@dataclass(frozen=True, slots=True)
class Host:
    """Facts about this machine. `fingerprint` is equal on hosts with the same processor, cores and memory.

    `physical_cores` and `logical_cores` are those that this process may run on (scheduler affinity).
    """

    cpu_name: str
    """As the processor calls itself."""
    os: str
    """Name and version."""
    physical_cores: int
    logical_cores: int
    fingerprint: str


@lru_cache(maxsize=1)
def host() -> Host:
    """This machine, read once per process."""
    return read_host(ROOT, allowed_cpus())


@lru_cache(maxsize=1)
def allowed_cpus() -> frozenset[int]:
    """Logical processors that the scheduler let this process run on when this was first asked.

    Later bindings of a thread to one core do not make the machine smaller.
    """
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def physical_cpus(root: Path = ROOT, cpus: Iterable[int] | None = None) -> tuple[int, ...]:
    """One logical processor of each physical core among `cpus` (default: the allowed ones), lowest numbers first.

    Threads bound to these do not share a core.
    """
    chosen: dict[object, int] = {}
    for cpu in sorted(allowed_cpus() if cpus is None else cpus):
        chosen.setdefault(_core_of(root, cpu), cpu)
    return tuple(chosen.values())


def usable_cores(root: Path, cpus: Iterable[int]) -> int:
    """Physical cores that this process can keep busy: affinity, and whole cores of its control group's quota."""
    cores = len(physical_cpus(root, cpus))
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.floor(quota + 1e-6)))


def read_host(root: Path, cpus: frozenset[int]) -> Host:
    """Facts of the machine whose /proc and /sys lie under `root`."""
    processor = read_cpuinfo(root)
    cores = len(physical_cpus(root, cpus))
    identity = "\n".join([*(processor.get(key, "") for key in _IDENTITY), str(cores), str(len(cpus))])
    identity += f"\n{total_memory_bytes(root) >> 28}"
    return Host(
        cpu_name=processor.get("model name") or platform.processor() or platform.machine(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        physical_cores=cores,
        logical_cores=len(cpus),
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
    )


def read_cpuinfo(root: Path) -> dict[str, str]:
    """Keys and values of the first processor in /proc/cpuinfo; empty where there is no such file."""
    try:
        first = (root / "proc/cpuinfo").read_text().strip().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def total_memory_bytes(root: Path) -> int:
    """`MemTotal` of /proc/meminfo in bytes, 0 where it cannot be read."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    words = next((line.split() for line in lines if line.startswith("MemTotal:")), [])
    return int(words[1]) * 1024 if len(words) >= 2 and words[1].isdigit() else 0


def _core_of(root: Path, cpu: int) -> object:
    """Something equal for two logical processors of one core; the processor itself where the kernel does not say."""
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    for name in ("core_cpus_list", "thread_siblings_list"):
        try:
            return (topology / name).read_text().strip()
        except OSError:
            continue
    return cpu
