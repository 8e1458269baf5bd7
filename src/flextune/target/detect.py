"""`detect()`: the `Target` of the machine this process runs on."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import cast

from flextune.errors import EnvironmentFault
from flextune.settings import cache_folder
from flextune.target.cgroup import memory_limit_bytes
from flextune.target.host import (
    ROOT,
    allowed_cpus,
    host,
    physical_cpus,
    read_cpuinfo,
    total_memory_bytes,
    usable_cores,
)
from flextune.target.kept import keep, read_kept
from flextune.target.target import Target

_FLAGS: dict[str, tuple[frozenset[str], ...]] = {
    "sse4": (frozenset({"sse4_1", "sse4_2"}),),
    "avx2": (frozenset({"avx2", "fma"}),),
    "avx512": (frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"}),),
    "vnni": (frozenset({"avx512_vnni"}), frozenset({"avx512vnni"})),
    "bf16": (frozenset({"avx512_bf16"}),),
    "avxvnni": (frozenset({"avx_vnni"}),),
    "amx": (frozenset({"amx_tile", "amx_int8", "amx_bf16"}),),
}
"""Kernel flags for each feature: any one of the sets is enough."""

_LEVELS: tuple[tuple[str, frozenset[str]], ...] = (
    ("x86-64-v4", frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})),
    ("x86-64-v3", frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"})),
    ("x86-64-v2", frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})),
)
"""Flags of each x86-64 level beyond the one below it (x86-64 psABI, table of micro-architecture levels)."""

_GENERATED = frozenset(
    {"sse", "sse2", "sse3", "ssse3", "sse4.1", "sse4.2", "sse4a", "fma", "fma4", "xop", "f16c"}
    | {"bmi", "bmi2", "tbm", "lzcnt", "popcnt", "movbe", "cx16", "gfni", "sahf"}
)
"""LLVM features, with all of avx*, that generated code uses without being asked to by an intrinsic."""

_DEFAULT_CACHES = {1: 32768, 2: 524288, 3: 8388608}


@lru_cache(maxsize=1)
def detect() -> Target:
    """The host as a target, read once per process. Raises `EnvironmentFault` where it is no x86-64 Linux machine."""
    return read_target(ROOT, allowed_cpus(), _llvm_cpu())


def read_target(root: Path, cpus: frozenset[int], llvm_cpu: str | None) -> Target:
    """The target of the machine whose /proc and /sys lie under `root`, seen by a process that may run on `cpus`.

    `llvm_cpu` is LLVM's name for the processor if LLVM is sure of it; else a generic level that has all flags.
    """
    flags = frozenset(read_cpuinfo(root).get("flags", "").split())
    if not flags:
        raise EnvironmentFault(
            f"expected an x86-64 Linux host with /proc/cpuinfo, got {platform.system()} {platform.machine()}; "
            "name the target instead, for example --target x86:avx2-generic"
        )
    cpu_numbers = physical_cpus(root, cpus)
    l1, l2, l3 = cache_sizes(root, cpu_numbers[0] if cpu_numbers else 0)
    return Target(
        kind="x86",
        cpu=llvm_cpu or generic_cpu(flags),
        cores=usable_cores(root, cpus),
        features=features_of(flags),
        l1_bytes=l1,
        l2_bytes=l2,
        l3_bytes=l3,
        memory_bytes=min(filter(None, (total_memory_bytes(root), memory_limit_bytes(root))), default=0),
    )


def features_of(flags: frozenset[str]) -> tuple[str, ...]:
    """Feature names of a `Target` for the flags of /proc/cpuinfo."""
    return tuple(feature for feature, choices in _FLAGS.items() if any(needed <= flags for needed in choices))


def generic_cpu(flags: frozenset[str]) -> str:
    """The highest x86-64 level, as LLVM names it, whose flags are all there."""
    name = "x86-64"
    for level, needed in reversed(_LEVELS):
        if not needed <= flags:
            break
        name = level
    return name


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


def _llvm_cpu() -> str | None:
    """As `_asked_llvm_cpu` says, kept per host and version of TVM: loading it for this alone takes a second."""
    path, version = cache_folder() / f"llvm-cpu-{host().fingerprint}.json", metadata.version("apache-tvm")
    kept = read_kept(path)
    if kept.get("tvm") == version and isinstance(kept.get("cpu", 0), str | None):
        return cast("str | None", kept["cpu"])
    cpu = _asked_llvm_cpu()
    with contextlib.suppress(OSError):
        keep(path, {"tvm": version, "cpu": cpu})
    return cpu


def _asked_llvm_cpu() -> str | None:
    """LLVM's name for this host's processor, or None where code for that name could use what the host lacks.

    Virtual machines mask features, so the name that family and model give is checked against what is really there.
    """
    import tvm
    from tvm_ffi import get_global_func

    find = get_global_func("tvm.codegen.llvm.GetHostCPUName", allow_missing=True)
    name = str(find()) if find else "generic"
    if name in ("", "generic") or name.startswith("x86-64"):
        return None
    described = tvm.target.Target({"kind": "llvm", "mcpu": name})
    needed = {str(key) for key in get_global_func("target.llvm_get_cpu_features")(described)}
    features = get_global_func("tvm.codegen.llvm.GetHostCPUFeatures")()
    present = {str(key) for key, has in features.items() if has}
    generated = {key for key in needed if key.startswith("avx") or key in _GENERATED}
    return name if generated <= present else None


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
