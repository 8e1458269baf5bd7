"""A tuned program as a function of arrays of any sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tvm
from tvm import tirx

from flextune.aligned import aligned_copy, aligned_empty
from flextune.analysis.symbols import size_at, symbols_of
from flextune.errors import UsageError
from flextune.platforms import platform_registry as platforms
from flextune.schedule.apply import ScheduledProgram
from flextune.target.target import Target
from flextune.tuning.variants.selection import Dispatch
from flextune.tvm_types import DeviceTensor, PrimFunc, Variable
from flextune.workload.dim import Dim


class TunedOperator:
    """Computes a program with one of several kernels, by the sizes of its inputs: `operator(x)` gives an array.

    Sizes out of the ranges that were tuned get the default kernel, which is right for all of them. UsageError for
    arrays of another rank or type than the program's, or whose sizes contradict each other.
    """

    def __init__(
        self,
        function: PrimFunc,
        dims: Sequence[Dim],
        target: Target,
        programs: Mapping[int, ScheduledProgram],
        dispatch: Dispatch,
        default: ScheduledProgram,
    ) -> None:
        """`programs` are the chosen kernels, by the numbers that `dispatch` gives."""
        self.dims, self.dispatch = tuple(dims), dispatch
        self._function, self._inputs = function, list(function.params[:-1])
        self._symbols = {str(symbol.name): symbol for symbol in symbols_of(function)}
        named = {f"variant{number}": program for number, program in programs.items()} | {"by_default": default}
        functions = {name: program.module["main"].with_attr("global_symbol", name) for name, program in named.items()}
        self._module = platforms.compiler(target.kind).compile(tvm.IRModule(functions), target).jit()

    def __call__(self, *arrays: npt.ArrayLike) -> np.ndarray:
        inputs = [np.asarray(array) for array in arrays]
        sizes = self._sizes(inputs)
        output = self._output(sizes)
        kernel = self._module[self._kernel(sizes)]
        kernel(*(_tensor(array) for array in (*map(aligned_copy, inputs), output)))
        return output

    def kernel_at(self, **sizes: int) -> int | None:
        """The number of the trial whose kernel these sizes get; None for the default one."""
        name = self._kernel(sizes)
        return None if name == "by_default" else int(name.removeprefix("variant"))

    def _kernel(self, sizes: Mapping[str, int]) -> str:
        if any(sizes[dim.name] not in dim.sizes for dim in self.dims):
            return "by_default"
        return f"variant{self.dispatch(sizes)}"

    def _sizes(self, inputs: Sequence[np.ndarray]) -> dict[str, int]:
        if len(inputs) != len(self._inputs):
            raise UsageError(f"the program has {len(self._inputs)} inputs, got {len(inputs)}")
        found: dict[str, int] = {}
        for array, buffer in zip(inputs, self._inputs, strict=True):
            shape, dtype = list(buffer.ty.shape), str(buffer.ty.dtype)
            if array.ndim != len(shape) or str(array.dtype) != dtype:
                raise UsageError(
                    f"{buffer.name}: expected {dtype} of rank {len(shape)}, got {array.dtype} {list(array.shape)}"
                )
            for extent, size in zip(shape, array.shape, strict=True):
                known = found.setdefault(str(extent.name), size) if isinstance(extent, tirx.Var) else int(extent)
                if known != size:
                    raise UsageError(f"{buffer.name}: {extent} is {known} here, got {list(array.shape)}")
        return found

    def _output(self, sizes: Mapping[str, int]) -> np.ndarray:
        buffer = self._function.params[-1]
        by_symbol: dict[Variable, int] = {self._symbols[name]: size for name, size in sizes.items()}
        shape = [size_at(extent, by_symbol) for extent in buffer.ty.shape]
        assert None not in shape
        return aligned_empty([int(size or 0) for size in shape], str(buffer.ty.dtype))


def _tensor(array: np.ndarray) -> DeviceTensor:
    """The array's memory; NumPy's strides of one without elements are not what kernels expect."""
    return tvm.runtime.from_dlpack(array) if array.size else tvm.runtime.empty(array.shape, str(array.dtype))
