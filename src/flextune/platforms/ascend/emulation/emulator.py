"""Compiles kernels in Ascend C for this machine, and executes them core by core."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flextune.errors import BuildError, FlextuneError
from flextune.native.toolchain import compile_cpp, source_library
from flextune.platforms.base import Array
from flextune.target.target import Target
from flextune.temporary import PrivateFolder

ENTRY = "flextune_entry"
PIPES = ("scalar", "vector", "cube", "mte1", "mte2", "mte3", "fixpipe")

_HERE = Path(__file__).parent
_FAULT, _LACKS_MEMORY = 1, 2
_PLACES = ("ub", "l1", "l0a", "l0b", "l0c", "bias")


class EmulationError(FlextuneError):
    """A kernel that a core would not execute right: a missing wait, a full buffer, memory that nothing wrote."""


@dataclass(frozen=True, slots=True)
class Emulated:
    """What a run took, by the emulation's model of a core."""

    cycles: float
    """Until the last core ended, or until memory had moved all bytes."""
    busy: tuple[float, ...]
    """Cycles of each of `PIPES` in which it executed something, of all cores together."""
    global_bytes: int
    """That went to and from memory."""


class _Chip(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_uint32 * len(_PLACES)), ("blocks", ctypes.c_uint32), ("rate", ctypes.c_uint32))


class _Report(ctypes.Structure):
    _fields_ = (
        ("cycles", ctypes.c_double),
        ("busy", ctypes.c_double * len(PIPES)),
        ("global_bytes", ctypes.c_uint64),
        ("fault", ctypes.c_char * 256),
    )


def compiled(source: str) -> bytes:
    """A shared library of a kernel whose function `ENTRY` takes an array of addresses.

    Raises `BuildError` for what is no Ascend C of the emulated part, `EnvironmentFault` without g++.
    """
    with PrivateFolder(kind="ascend") as folder:
        text, library = folder.path / "kernel.cpp", folder.path / "kernel.so"
        text.write_text(source, encoding="utf-8")
        flags = ["-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-ffp-contract=off", f"-I{_HERE}"]
        compile_cpp([*flags, str(text), "-o", str(library)], "executing Ascend C")
        return library.read_bytes()


class LoadedKernel:
    """A compiled kernel in this process."""

    def __init__(self, library: bytes) -> None:
        self._emulation = _emulation()
        with PrivateFolder(kind="ascend") as folder:  # what is mapped needs its file no more
            path = folder.path / "kernel.so"
            path.write_bytes(library)
            try:
                self._entry = ctypes.CDLL(str(path))[ENTRY]
            except (OSError, AttributeError) as error:
                raise BuildError(f"no kernel for the emulation: {error}") from error

    def run(self, target: Target, blocks: int, arguments: Sequence[Array]) -> Emulated:
        """Execute on so many cores of a target; only the last argument is written.

        Raises `EmulationError` that names what a core would do wrong.
        """
        sizes = (ctypes.c_uint32 * len(_PLACES))(*(target.number(name) for name in _PLACES))
        chip, report, count = _Chip(sizes, blocks, target.number("rate")), _Report(), len(arguments)
        addresses = (ctypes.c_void_p * count)(*(each.ctypes.data for each in arguments))
        lengths = (ctypes.c_uint64 * count)(*(each.nbytes for each in arguments))
        outcome = self._emulation(ctypes.byref(chip), self._entry, addresses, lengths, count, ctypes.byref(report))
        if outcome == _LACKS_MEMORY:
            raise MemoryError
        if outcome == _FAULT:
            raise EmulationError(f"Ascend C: {report.fault.decode()}")
        return Emulated(report.cycles, tuple(report.busy), report.global_bytes)


@cache
def _emulation() -> Callable[..., int]:
    library = ctypes.CDLL(str(source_library(_HERE / "emulation.c", _HERE / "instructions.c")), mode=ctypes.RTLD_GLOBAL)
    function = library.ascend_run
    function.restype = ctypes.c_int
    return function
