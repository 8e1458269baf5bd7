"""A kernel in Ascend C in the emulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flextune.platforms.ascend.emulation.emulator import PIPES, Emulated, LoadedKernel
from flextune.platforms.ascend.form import Product, Rows, arguments_of
from flextune.platforms.base import Array
from flextune.target.target import Target


class AscendKernel:
    """See `flextune.platforms.base.Kernel` and `CountedKernel`. Cycles do not depend on what the inputs hold."""

    def __init__(self, form: Product | Rows, target: Target, library: bytes) -> None:
        self._form, self._target = form, target
        self._loaded = LoadedKernel(library)
        self._arguments: tuple[Array, ...] = ()
        self._output: Array = np.empty(0)
        self._emulated: Emulated | None = None

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        self._output = outputs[0]
        self._arguments = (*arguments_of(self._form, inputs), self._output)

    def run(self) -> None:
        """Raises `EmulationError` for a kernel that would not run right."""
        self._emulated = self._loaded.run(self._target, cores_of(self._form, self._target), self._arguments)

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        del number
        return (self.emulated.cycles,) * repeats

    def parts(self) -> Mapping[str, float]:
        found = self.emulated
        busy = {f"{name}_cycles": cycles for name, cycles in zip(PIPES, found.busy, strict=True) if cycles}
        return {**busy, "global_bytes": float(found.global_bytes)}

    @property
    def emulated(self) -> Emulated:
        """What a run takes."""
        if self._emulated is None:
            self.run()
        assert self._emulated is not None  # set by `run`
        return self._emulated


def cores_of(form: Product | Rows, target: Target) -> int:
    """Of the kind that computes it."""
    return target.number("cores" if isinstance(form, Product) else "vector_cores")
