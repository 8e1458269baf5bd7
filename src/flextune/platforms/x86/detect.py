"""The `Target` of an x86 machine: what /proc and /sys say of it, and LLVM's name for its processor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import cast

from flextune.platforms.cpu.caches import cache_sizes
from flextune.settings import cache_folder
from flextune.target.cgroup import memory_limit_bytes
from flextune.target.host import host, physical_cpus, read_cpuinfo, total_memory_bytes, usable_cores
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


def read_target(root: Path, cpus: frozenset[int], llvm_cpu: Callable[[], str | None]) -> Target | None:
    """The target of the machine whose /proc and /sys lie under `root`, seen by a process that may run on `cpus`.

    `llvm_cpu` gives LLVM's name for the processor if LLVM is sure of it; else it is a generic level that has all flags.
    None where /proc/cpuinfo has no flags: the machine is no x86-64 Linux machine.
    """
    flags = frozenset(read_cpuinfo(root).get("flags", "").split())
    if not flags:
        return None
    cpu_numbers = physical_cpus(root, cpus)
    l1, l2, l3 = cache_sizes(root, cpu_numbers[0] if cpu_numbers else 0)
    return Target.of(
        "x86",
        cpu=llvm_cpu() or generic_cpu(flags),
        cores=usable_cores(root, cpus),
        features=features_of(flags),
        l1=l1,
        l2=l2,
        l3=l3,
        memory=min(filter(None, (total_memory_bytes(root), memory_limit_bytes(root))), default=0),
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


def kept_llvm_cpu() -> str | None:
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
