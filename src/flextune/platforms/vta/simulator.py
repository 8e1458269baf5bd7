"""Runs programs in the simulator (`simulator.c`, `instructions.c`), compiled once and kept in the cache folder."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flextune.errors import FlextuneError
from flextune.native.toolchain import source_library
from flextune.platforms.vta.hardware import Hardware

_SOURCES = tuple(Path(__file__).with_name(name) for name in ("simulator.c", "instructions.c"))
_FAULT, _LACKS_MEMORY = 1, 2


class SimulationError(FlextuneError):
    """A program that the accelerator would not run right: a deadlock, an overrun, a hazard, a race."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a run took."""

    cycles: int
    load_cycles: int
    """In which the module was not waiting, like the next two."""
    compute_cycles: int
    store_cycles: int
    gemm_operations: int
    """Multiplications of a vector by a block."""
    alu_operations: int
    dram_bytes: int
    """That crossed the bus, without instructions."""


class _Hardware(ctypes.Structure):
    _fields_ = (
        ("entries", ctypes.c_int32 * 5),
        *((name, ctypes.c_int32) for name in ("output_bytes", "access", "alu_cycles", "fill", "latency")),
        *((name, ctypes.c_int32) for name in ("bus_bytes", "queue", "tokens")),
    )


class _Report(ctypes.Structure):
    _fields_ = (
        ("cycles", ctypes.c_uint64),
        ("busy", ctypes.c_uint64 * 3),
        *((name, ctypes.c_uint64) for name in ("gemm_operations", "alu_operations", "dram_bytes")),
        ("instruction", ctypes.c_int64),
        ("fault", ctypes.c_char * 256),
    )


def simulate(
    hardware: Hardware,
    instructions: npt.NDArray[np.uint64],
    memory: npt.NDArray[np.uint8],
    writable: tuple[int, int],
) -> Simulated:
    """Run a program on a memory, which it changes; results may go to the bytes from `writable[0]` to `writable[1]`.

    Raises `SimulationError` that names the instruction where the accelerator would do something wrong.
    """
    program = np.ascontiguousarray(instructions, dtype=np.uint64)
    report = _Report()
    outcome = _run()(
        ctypes.byref(_described(hardware)),
        program.ctypes.data,
        len(program),
        memory.ctypes.data,
        memory.nbytes,
        *writable,
        ctypes.byref(report),
    )
    if outcome == _LACKS_MEMORY:
        raise MemoryError
    if outcome == _FAULT:
        raise SimulationError(f"VTA instruction {report.instruction}: {report.fault.decode()}")
    load, compute, store = report.busy
    counts = (report.gemm_operations, report.alu_operations, report.dram_bytes)
    return Simulated(report.cycles, load, compute, store, *counts)


def _described(hardware: Hardware) -> _Hardware:
    sums = hardware.accumulators  # the output buffer has an entry for each
    entries = (ctypes.c_int32 * 5)(hardware.micro_ops, hardware.weights, hardware.inputs, sums, sums)
    times = (hardware.access, hardware.alu_cycles, hardware.fill, hardware.latency)
    return _Hardware(entries, hardware.output_bytes, *times, hardware.bus_bytes, hardware.queue, hardware.tokens)


@cache
def _run() -> Callable[..., int]:
    function = ctypes.CDLL(str(source_library(*_SOURCES))).vta_run
    address, number = ctypes.c_void_p, ctypes.c_uint64
    function.argtypes = [address, address, ctypes.c_uint32, address, number, number, number, address]
    function.restype = ctypes.c_int
    return function
