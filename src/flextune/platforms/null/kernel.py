"""Kernels of the null platform: right outputs, made-up times, and real faults on request."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np

from flextune.errors import BuildError
from flextune.platforms.base import Array
from flextune.workload.workload import Workload

HOG_BYTES = 64 << 20
PAUSE = "pause_ms"
"""The name in an assignment that holds how long one call takes, in milliseconds, without any computing."""


class Fault(IntEnum):
    """What goes wrong with a candidate whose assignment holds `fault=N`; all but the first happen for real."""

    NONE = 0
    BUILD_ERROR = 1
    BUILD_CRASH = 2
    BUILD_HANG = 3
    BUILD_MEMORY = 4
    RUN_ERROR = 5
    RUN_CRASH = 6
    RUN_HANG = 7
    RUN_MEMORY = 8
    WRONG_OUTPUT = 9
    UNWRITTEN_OUTPUT = 10
    OVERWRITTEN_INPUT = 11
    NOISY = 12
    EXIT = 13

    @staticmethod
    def variable() -> str:
        """The name that holds a fault in an assignment."""
        return "fault"

    def strike_build(self) -> None:
        """Go wrong now if that is a fault of building."""
        if self is Fault.BUILD_ERROR:
            raise BuildError(f"no code for this candidate at {id(self):#x}")
        _strike(self, Fault.BUILD_CRASH, Fault.BUILD_HANG, Fault.BUILD_MEMORY)

    def strike_run(self) -> None:
        """Go wrong now if that is a fault of running."""
        if self is Fault.RUN_ERROR:
            raise RuntimeError(f"illegal address {id(self):#x}")
        if self is Fault.EXIT:
            os._exit(3)
        if self is Fault.NOISY:
            print('{"status": "ok", "run_secs": [1e-12]}', flush=True)  # noqa: T201 what a library may do
            os.write(1, b"\x00\xffgarbage\n")
        _strike(self, Fault.RUN_CRASH, Fault.RUN_HANG, Fault.RUN_MEMORY)


def _strike(fault: Fault, crash: Fault, hang: Fault, memory: Fault) -> None:
    if fault is crash:
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault is hang:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        while True:
            time.sleep(1.0)
    if fault is memory:
        taken = []
        while True:
            taken.append(np.ones(HOG_BYTES, dtype=np.uint8))


class NullKernel:
    """See `flextune.platforms.base.Kernel`."""

    def __init__(self, workload: Workload, assignment: Mapping[str, int], fault: Fault) -> None:
        self._workload = workload
        self._secs = null_secs(assignment)
        self._fault = fault
        self._pause_secs = assignment.get(PAUSE, 0) / 1e3
        self._inputs: Sequence[Array] = ()
        self._outputs: Sequence[Array] = ()

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        self._inputs, self._outputs = inputs, outputs

    def run(self) -> None:
        self._fault.strike_run()
        time.sleep(self._pause_secs)
        for output, values in zip(self._outputs, self._workload.reference(list(self._inputs)), strict=True):
            written = output.size - (self._fault is Fault.UNWRITTEN_OUTPUT)
            output.reshape(-1)[:written] = values.reshape(-1)[:written]
        if self._fault is Fault.WRONG_OUTPUT:
            self._outputs[0].reshape(-1)[-1] += 1
        if self._fault is Fault.OVERWRITTEN_INPUT:
            self._inputs[0].reshape(-1)[0] += 1

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        del number
        return (self._secs,) * repeats


def null_secs(assignment: Mapping[str, int]) -> float:
    """Made-up seconds: a bowl over the logarithms of all values whose centre differs from name to name.

    The best value of a name is the power of two nearest to 2 ** (its centre); every assignment has its own place.
    """
    factors = [1 + 0.2 * (math.log2(max(1, value)) - _centre(name)) ** 2 for name, value in assignment.items()]
    return 1e-4 * math.prod(factors)


def _centre(name: str) -> float:
    return hashlib.sha256(name.encode()).digest()[0] / 256 * 6
