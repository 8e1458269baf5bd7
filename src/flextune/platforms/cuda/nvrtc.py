"""CUDA source to cubin by NVRTC through ctypes, with ptxas's own account of registers, spills and shared memory.

NVRTC comes as a package (`nvidia-cuda-nvrtc`), with the headers of half precision types in two others: neither a
toolkit nor a driver is needed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flextune.errors import BuildError, EnvironmentFault

INSTALL = "pip install 'flextune[gpu]'"

_USED = re.compile(
    r"Used (\d+) registers(?:, used \d+ barriers)?(?:, \d+ bytes cumulative stack size)?(?:, (\d+) bytes smem)?"
)
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_OPERATORS = tuple(
    f"-U__CUDA_NO_{name}_{what}__"
    for name in ("HALF", "BFLOAT16", "BFLOAT162")
    for what in ("OPERATORS", "CONVERSIONS")
)


@dataclass(frozen=True, slots=True)
class Resources:
    """What ptxas says of the kernels of one program: the largest of each."""

    registers: int
    """Of a thread."""
    stack_bytes: int
    spill_bytes: int
    """Stored and loaded."""
    shared_bytes: int
    """Static; dynamic shared memory is part of a launch."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program for one architecture."""

    cubin: bytes
    resources: Resources
    warnings: tuple[str, ...]


def nvrtc_version() -> str:
    """The version of the compiler; empty where it is missing."""
    try:
        major, minor = ctypes.c_int(), ctypes.c_int()
        _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    except EnvironmentFault:
        return ""
    return f"{major.value}.{minor.value}"


def compile_cuda(source: str, arch: str) -> Compiled:
    """The cubin of a source for one architecture, as `sm_90a`.

    Raises `EnvironmentFault` where NVRTC or its headers are missing, `BuildError` with the log where it refuses.
    """
    library, program = _library(), ctypes.c_void_p()
    flags = [
        f"--gpu-architecture={arch}",
        "--std=c++17",
        "-default-device",
        "--ptxas-options=-v",
        *_OPERATORS,
        *(f"-I{folder}" for folder in include_folders()),
    ]
    _check(library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None), "create")
    try:
        options = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
        if library.nvrtcCompileProgram(program, len(flags), options):
            raise BuildError(f"NVRTC refused the kernel for {arch}: {_log(library, program)[-1500:]}")
        log = _log(library, program)
        return Compiled(_cubin(library, program), resources_of(log), _warnings(log))
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def resources_of(log: str) -> Resources:
    """What `ptxas -v` wrote, the largest of all kernels. Raises `BuildError` where it wrote nothing."""
    used = [(int(registers), int(shared or 0)) for registers, shared in _USED.findall(log)]
    if not used:
        raise BuildError(f"ptxas did not say which registers it used: {log[-500:]!r}")
    frames = [tuple(map(int, frame)) for frame in _FRAME.findall(log)] or [(0, 0, 0)]
    return Resources(
        max(registers for registers, _ in used),
        max(frame[0] for frame in frames),
        max(frame[1] + frame[2] for frame in frames),
        max(shared for _, shared in used),
    )


def include_folders() -> tuple[str, ...]:
    """Headers of the packages, else those of a toolkit."""
    found = [root / "include" for root in _package_roots()]
    toolkit = Path(os.environ.get("CUDA_PATH", "/usr/local/cuda")) / "include"
    return tuple(str(folder) for folder in (*found, toolkit) if (folder / "cuda_fp16.h").is_file())


def _warnings(log: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in log.splitlines() if "warning" in line.lower())


def _package_roots() -> list[Path]:
    """Folders of NVIDIA's packages, the newest CUDA first."""
    package = importlib.util.find_spec("nvidia")
    places = list(package.submodule_search_locations or []) if package is not None else []
    return sorted((path for place in places for path in Path(place).glob("cu*") if path.is_dir()), reverse=True)


@cache
def _library() -> ctypes.CDLL:
    packaged = [path for root in _package_roots() for path in sorted((root / "lib").glob("libnvrtc.so.*"))]
    for name in (*map(str, packaged), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise EnvironmentFault(f"CUDA kernels are compiled by NVRTC, which is not installed: {INSTALL}")


def _check(code: int, what: str) -> None:
    if code:
        raise BuildError(f"NVRTC could not {what} a program (code {code})")


def _log(library: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, text)
    return text.value.decode(errors="replace")


def _cubin(library: ctypes.CDLL, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(library.nvrtcGetCUBINSize(program, ctypes.byref(size)), "measure the cubin of")
    content = ctypes.create_string_buffer(size.value)
    _check(library.nvrtcGetCUBIN(program, content), "take the cubin of")
    return content.raw
