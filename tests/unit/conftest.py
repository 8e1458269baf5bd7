"""The host as it runs tests of schedules and platforms, and machines made of files: /proc and /sys trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from flextune.target.detect import detect
from flextune.target.target import Target

V2 = "fpu pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm"
V3 = f"{V2} avx avx2 fma bmi1 bmi2 f16c abm movbe"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"

FLAGS = {
    "sse4": V2,
    "avx2": V3,
    "avx512": V4,
    "zen4": f"{V4} avx512_vnni avx512_bf16",
    "alderlake": f"{V3} avx_vnni",
    "sapphirerapids": f"{V4} avx512_vnni avx512_bf16 avx_vnni amx_tile amx_int8 amx_bf16",
    "avx512-incomplete": f"{V3} avx512f avx512cd",
    "avx2-without-fma": f"{V2} avx avx2 bmi1 bmi2 f16c abm movbe",
}

MachineMaker = Callable[..., Path]


@pytest.fixture
def flags() -> Mapping[str, str]:
    return FLAGS


@pytest.fixture
def make_machine(tmp_path: Path) -> MachineMaker:
    """`make_machine(flags, siblings, caches, files)`: the root of a machine.

    `siblings` lists the logical processors of each core, `caches` maps a level to (type, size, who shares it).
    """

    def make(
        flags: str = V4,
        siblings: tuple[tuple[int, ...], ...] = ((0,), (1,)),
        caches: Mapping[str, tuple[str, str, str]] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Path:
        cpus = [cpu for core in siblings for cpu in core]
        blocks = [
            f"processor\t: {cpu}\nmodel name\t: Test CPU\ncpu MHz\t\t: {1000 + cpu}\nflags\t\t: {flags}\n"
            for cpu in cpus
        ]
        write("proc/cpuinfo", "\n".join(blocks))
        write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:        1 kB\n")
        for core in siblings:
            for cpu in core:
                folder = f"sys/devices/system/cpu/cpu{cpu}"
                write(f"{folder}/topology/thread_siblings_list", ",".join(map(str, core)) + "\n")
                for index, (level, (kind, size, shared)) in enumerate((caches or {}).items()):
                    for name, text in (
                        ("level", level[:1]),
                        ("type", kind),
                        ("size", size),
                        ("shared_cpu_list", shared),
                    ):
                        write(f"{folder}/cache/index{index}/{name}", f"{text}\n")
        for name, text in (files or {}).items():
            write(name, text)
        return tmp_path

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return make


@pytest.fixture(scope="session")
def host() -> Target:
    return detect()
