"""A kernel that TVM runs on the host's memory; shared by the CPU platforms."""

from __future__ import annotations

import time
from collections.abc import Sequence

import tvm

from flextune.platforms.base import Array
from flextune.schedule.packing import PackedInput
from flextune.tvm_types import DeviceTensor, LoadedModule

_LONG_CALL_SECS = 2e-4
"""A few calls of at least so long are timed by Python's clock: its microsecond around each does not count, but the call
that TVM's evaluator makes before each of its measurements would."""

_FEW_CALLS = 8


class TvmKernel:
    """A function of a loaded runtime module; see `flextune.platforms.base.Kernel`."""

    def __init__(self, module: LoadedModule, packs: Sequence[PackedInput], name: str = "main") -> None:
        self._module = module
        self._name = name
        self._main = module[name]
        self._packs = {pack.index: pack for pack in packs}
        self._arguments: list[DeviceTensor] = []

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        placed = [self._placed(index, array) for index, array in enumerate(inputs)]
        self._arguments = placed + [tvm.runtime.from_dlpack(array) for array in outputs]

    def _placed(self, index: int, array: Array) -> DeviceTensor:
        pack = self._packs.get(index)
        return tvm.runtime.from_dlpack(array) if pack is None else tvm.runtime.tensor(pack.pack(array))

    def run(self) -> None:
        self._main(*self._arguments)

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        if number <= _FEW_CALLS:
            first = self._call_secs(number)
            if number == 1 or first >= _LONG_CALL_SECS:
                return (first, *(self._call_secs(number) for _ in range(repeats - 1)))
        evaluator = self._module.time_evaluator(self._name, tvm.cpu(), number=number, repeat=repeats)
        return tuple(evaluator(*self._arguments).results)

    def _call_secs(self, number: int) -> float:
        main, arguments = self._main, self._arguments
        start = time.perf_counter()
        for _ in range(number):
            main(*arguments)
        return (time.perf_counter() - start) / number
