from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from flextune.target.cgroup import cpu_quota, memory_limit_bytes
from flextune.target.host import allowed_cpus, host, physical_cpus, read_host, usable_cores

HYPERTHREADS = ((0, 4), (1, 5), (2, 6), (3, 7))

V2 = {"proc/self/cgroup": "0::/box/inner\n"}
V1 = {"proc/self/cgroup": "4:memory:/box\n2:cpu,cpuacct:/box\n"}


def test_hyperthreads_are_not_cores(make_machine: Callable[..., Path]) -> None:
    root = make_machine(siblings=HYPERTHREADS)
    assert physical_cpus(root, range(8)) == (0, 1, 2, 3)
    assert physical_cpus(root, {1, 4, 5, 6}) == (1, 4, 6)
    assert usable_cores(root, {1, 4, 5, 6}) == 3


def test_processors_without_topology_are_cores(tmp_path: Path) -> None:
    assert physical_cpus(tmp_path, {3, 0}) == (0, 3)


@pytest.mark.parametrize(
    ("files", "quota", "cores"),
    [
        (V2, None, 4),
        (V2 | {"sys/fs/cgroup/box/inner/cpu.max": "max 100000\n"}, None, 4),
        (V2 | {"sys/fs/cgroup/box/inner/cpu.max": "250000 100000\n"}, 2.5, 2),
        (
            V2 | {"sys/fs/cgroup/box/cpu.max": "100000 100000", "sys/fs/cgroup/box/inner/cpu.max": "300000 100000"},
            1.0,
            1,
        ),
        (V2 | {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5, 1),
        (V1 | {"sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "-1"}, None, 4),
        (
            V1
            | {"sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "300000"}
            | {"sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000"},
            3.0,
            3,
        ),
        (V2 | {"sys/fs/cgroup/cpu.max": "800000 100000\n"}, 8.0, 4),
        (V2 | {"sys/fs/cgroup/cpu.max": "nonsense"}, None, 4),
    ],
)
def test_processor_quota(
    make_machine: Callable[..., Path], files: Mapping[str, str], quota: float | None, cores: int
) -> None:
    root = make_machine(siblings=HYPERTHREADS, files=files)
    assert cpu_quota(root) == quota
    assert usable_cores(root, range(8)) == cores


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        (V2 | {"sys/fs/cgroup/box/inner/memory.max": "max\n"}, None),
        (V2 | {"sys/fs/cgroup/box/memory.max": "1000000\n", "sys/fs/cgroup/memory.max": "max"}, 1000000),
        (V1 | {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9223372036854771712"}, None),
        (V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000"}, 2000000),
    ],
)
def test_memory_limit(make_machine: Callable[..., Path], files: Mapping[str, str], limit: int | None) -> None:
    assert memory_limit_bytes(make_machine(files=files)) == limit


def test_fingerprint_tells_processors_apart_but_not_moments(make_machine: Callable[..., Path]) -> None:
    root = make_machine(siblings=HYPERTHREADS)
    first = read_host(root, frozenset(range(8)))
    assert (first.cpu_name, first.physical_cores, first.logical_cores) == ("Test CPU", 4, 8)
    cpuinfo = root / "proc/cpuinfo"
    cpuinfo.write_text(cpuinfo.read_text().replace("cpu MHz\t\t: 1000", "cpu MHz\t\t: 3700"))
    assert read_host(root, frozenset(range(8))).fingerprint == first.fingerprint
    cpuinfo.write_text(cpuinfo.read_text().replace("Test CPU", "Other CPU"))
    assert read_host(root, frozenset(range(8))).fingerprint != first.fingerprint


def test_binding_a_thread_later_does_not_shrink_the_host() -> None:
    before = allowed_cpus()
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no scheduler affinity")
    now = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(now)})
        assert allowed_cpus() == before
        assert host().logical_cores == len(before)
    finally:
        os.sched_setaffinity(0, now)
