"""Triton's compiler for a target that need not be there: machine code with its resources."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from flextune.errors import BuildError, EnvironmentFault
from flextune.platforms.triton.program import TritonLaunch
from flextune.target.target import Target
from flextune.temporary import PrivateFolder

TritonObject = Any
"""A module, function or kernel of Triton: it ships no types of them."""

INSTALL = "pip install 'flextune[gpu]'"
_NVIDIA = "sm_"
_ALIGNMENT = [["tt.divisibility", 16]]
_USED = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_ENTRY = re.compile(r"\.entry[^(]*\(([^)]*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel for one architecture."""

    code: bytes
    name: str
    """Of its function."""
    threads: int
    shared_bytes: int
    """All of it dynamic."""
    registers: int
    spill_bytes: int
    parameters: int
    """How many addresses it takes: those of its launch, then scratch memory that is not used."""


@cache
def _cache_folder() -> PrivateFolder:
    """Goes with this process."""
    return PrivateFolder(kind="triton")


@cache
def _triton() -> TritonObject:
    os.environ.setdefault("TRITON_CACHE_DIR", str(_cache_folder().path))  # it keeps every candidate for ever otherwise
    try:
        return import_module("triton")
    except ImportError:
        raise EnvironmentFault(f"Triton is not installed: {INSTALL}") from None


@cache
def _kernels() -> ModuleType:
    _triton()
    return import_module("flextune.platforms.triton.kernels")


def version() -> str:
    """Of Triton; empty where it is not installed."""
    try:
        return metadata.version("triton")
    except metadata.PackageNotFoundError:
        return ""


def constant(name: str, value: int | bool | str) -> TritonObject:
    """The value of a constant parameter: texts are types, but for the precision."""
    is_type = isinstance(value, str) and name != "PRECISION"
    return getattr(import_module("triton.language"), str(value)) if is_type else value


def compile_launch(launch: TritonLaunch, target: Target) -> Compiled:
    """Raises `EnvironmentFault` without Triton, `BuildError` for what it refuses."""
    triton, function = _triton(), getattr(_kernels(), launch.kernel)
    compiler, backends = import_module("triton.compiler"), import_module("triton.backends.compiler")
    names = function.arg_names
    types = dict(launch.types)
    source = compiler.ASTSource(
        function,
        {name: types.get(name, "constexpr") for name in names},
        {(names.index(name),): constant(name, value) for name, value in launch.constants},
        {(names.index(name),): _ALIGNMENT for name in types},
    )
    arch = target.word("arch")
    nvidia = arch.startswith(_NVIDIA)
    device = backends.GPUTarget(
        "cuda" if nvidia else "hip", int(arch.removeprefix(_NVIDIA)) if nvidia else arch, target.number("warp")
    )
    options = {"num_warps": launch.warps, "num_stages": launch.stages}
    try:
        built = triton.compile(source, target=device, options=options)
    except Exception as error:
        raise BuildError(
            f"Triton refused the kernel for {arch}: {type(error).__name__}: {str(error)[-800:]}"
        ) from error
    code = built.asm["cubin" if nvidia else "hsaco"]
    registers, spilled = _of_cubin(code) if nvidia else _of_assembly(built.asm["amdgcn"])
    entry = _ENTRY.search(built.asm["ptx"]) if nvidia else None
    parameters = entry[1].count(".param") if entry else len(types)
    threads = launch.warps * target.number("warp")
    return Compiled(code, built.metadata.name, threads, built.metadata.shared, registers, spilled, parameters)


def _of_cubin(code: bytes) -> tuple[int, int]:
    """Registers of a thread, and bytes of it that lie in memory."""
    tool = Path(_triton().__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        done = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=False)
    used = [tuple(map(int, each)) for each in _USED.findall(done.stdout)]
    if not used:
        raise BuildError(f"cuobjdump did not say which registers a kernel uses: {(done.stdout + done.stderr)[-300:]}")
    return max(each[0] for each in used), max(max(each[1], each[3]) for each in used)


def _of_assembly(text: str) -> tuple[int, int]:
    """The same of AMD's: the assembler notes it."""
    found = {name: int(value) for name, value in re.findall(r"; (NumVgprs|NumAgprs|ScratchSize): (\d+)", text)}
    if "NumVgprs" not in found:
        raise BuildError("the assembler did not say which registers a kernel uses")
    return found["NumVgprs"] + found.get("NumAgprs", 0), found.get("ScratchSize", 0)
