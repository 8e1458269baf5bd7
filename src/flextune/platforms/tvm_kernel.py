"""A kernel that TVM runs on the host's memory; shared by the CPU platforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm

from flextune.platforms.base import Array
from flextune.schedule.apply import PackedInput

_NOTHING = np.empty(0, dtype=np.uint8)


class TvmKernel:
    """The function `main` of a loaded runtime module; see `flextune.platforms.base.Kernel`."""

    def __init__(self, module: Any, packs: Sequence[PackedInput]) -> None:
        self._module = module
        self._packs = {pack.index: pack for pack in packs}
        self._arguments: list[Any] = []
        self._input_count = 0

    def bind(self, inputs: Sequence[Array]) -> None:
        self._arguments = [tvm.runtime.tensor(self._packed(index, array)) for index, array in enumerate(inputs)]
        self._input_count = len(inputs)

    def _packed(self, index: int, array: Array) -> Array:
        pack = self._packs.get(index)
        return np.ascontiguousarray(array if pack is None else pack.pack(array))

    def run(self, poison: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        del self._arguments[self._input_count :]
        self._arguments += [tvm.runtime.tensor(array) for array in poison]
        self._module["main"](*self._arguments)
        arrays = [
            _NOTHING if index in self._packs else argument.numpy() for index, argument in enumerate(self._arguments)
        ]
        return arrays[: self._input_count], arrays[self._input_count :]

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        evaluator = self._module.time_evaluator("main", tvm.cpu(), number=number, repeat=repeats)
        return tuple(evaluator(*self._arguments).results)
