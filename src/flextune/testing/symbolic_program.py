"""Runs a planned Relax module with symbolic shapes call by call: every kernel is compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from flextune.aligned import aligned_copy, aligned_empty
from flextune.analysis.symbols import size_at
from flextune.lowering.calls import is_call_tir, is_constant
from flextune.platforms import platform_registry as platforms
from flextune.target.target import Target
from flextune.tvm_types import DeviceTensor


class SymbolicProgram:
    """A `main` of calls of PrimFuncs, views and tuples, as a function of arrays."""

    def __init__(self, module: tvm.IRModule, target: Target) -> None:
        self.main = module["main"]
        functions = {
            name.name_hint: function.with_attr("global_symbol", name.name_hint)
            for name, function in module.functions_items()
            if isinstance(function, tirx.PrimFunc)
        }
        self.kernels = platforms.compiler(target.kind).compile(tvm.IRModule(functions), target).jit()

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        self.sizes: dict[Any, int] = {}
        self.known: dict[Any, Any] = {}
        for parameter, array in zip(self.main.params, arrays, strict=True):
            for extent, size in zip(parameter.ty.shape, array.shape, strict=True):
                if isinstance(extent, tirx.Var):
                    assert self.sizes.setdefault(extent, size) == size
            self.known[parameter] = array
        for block in self.main.body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self._value(binding.value, binding.var.ty)
        result = self._value(self.main.body.body, None)
        return list(result) if isinstance(result, tuple) else [result]

    def _shape(self, kind: Any) -> tuple[int, ...]:
        return tuple(self._size(extent) for extent in kind.shape)

    def _size(self, extent: Any) -> int:
        size = size_at(extent, self.sizes)
        assert size is not None, extent
        return size

    def _value(self, value: Any, kind: Any) -> Any:
        if isinstance(value, relax.Var):
            return self.known[value]
        if is_constant(value):
            return value.value.numpy()
        if isinstance(value, relax.Tuple):
            return tuple(self._value(field, None) for field in value.fields)
        if isinstance(value, relax.TupleGetItem):
            return self._value(value.tuple_value, None)[int(value.index)]
        if is_call_tir(value):
            return self._call(value)
        assert value.op.name in ("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten"), value.op.name
        return self._value(value.args[0], None).reshape(self._shape(kind))

    def _call(self, call: Any) -> Any:
        assert len(call.args) == 2, f"{call.args[0].name_hint} takes sizes beside its tensors"
        wanted = call.ty_args[0]
        kinds = list(wanted.fields) if isinstance(wanted, relax.TupleType) else [wanted]
        inputs = [aligned_copy(self._value(each, None)) for each in call.args[1].fields]
        outputs = [_poisoned(self._shape(kind), str(kind.dtype)) for kind in kinds]
        self.kernels[call.args[0].name_hint](*map(_tensor, (*inputs, *outputs)))
        return tuple(outputs) if isinstance(wanted, relax.TupleType) else outputs[0]


def _tensor(array: np.ndarray) -> DeviceTensor:
    """The array's memory; NumPy's strides of one without elements are not what kernels expect."""
    return tvm.runtime.from_dlpack(array) if array.size else tvm.runtime.empty(array.shape, str(array.dtype))


def _poisoned(shape: Sequence[int], dtype: str) -> np.ndarray:
    """An aligned array that holds what no kernel may leave in it."""
    array = aligned_empty(shape, dtype)
    array.fill(np.nan if array.dtype.kind == "f" else 113)
    return array
