"""Products of differences of bytes, which are computed in int32, taken from the bytes: u8 x s8, summed in int32.

before:  y = matmul(astype(q, int32) - z, const w: int32)
after:   y = matmul(q, const w - c: int8): int32 - z * sum(w) + c * sum(q)

Sums over the reduced axes: `sum(w)` is a constant for each column, `sum(q)` one number for each row. c is 0 unless the
weights of a column do not fit into a signed byte. All of it is exact, whatever z is: a constant, or computed at run
time as in dynamically quantised models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from flextune.lowering.calls import constant_array
from flextune.lowering.mutation import bound_value, mutated
from flextune.lowering.operator_kinds import operator_name
from flextune.lowering.precision.quantized import BYTE_SHIFT
from flextune.lowering.precision.zero_points import convolution_offset
from flextune.tvm_types import RelaxCall, RelaxExpr

_LEAST, _MOST = -128, 127
_PRODUCTS = frozenset({"matmul", "nn.conv2d"})


def byte_products(module: tvm.IRModule) -> tvm.IRModule:
    """Take int32 products of differences of bytes from the bytes (see the module text)."""
    return relax.transform.DeadCodeElimination(["main"])(mutated(module, _Products(module)))


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes:
    """What is `value - zero_point`: unsigned bytes, and what is subtracted from each in int32 (None: nothing)."""

    value: RelaxExpr
    zero_point: RelaxExpr | None


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    """Integers as signed bytes and one number for each result, which was subtracted from all its weights."""

    values: np.ndarray
    bytes: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, axis: int) -> _Weights | None:
        """Weights with their results along an axis; None where they span more than a byte."""
        others = tuple(each for each in range(values.ndim) if each != axis)
        least, most = values.min(others, keepdims=True), values.max(others, keepdims=True)
        if np.any(most.astype(np.int64) - least > _MOST - _LEAST):
            return None
        moved = np.maximum(most - _MOST, 0) + np.minimum(least - _LEAST, 0)
        return cls(values, (values - moved).astype(np.int8), moved.reshape(-1).astype(np.int32))


@relax.expr_functor.mutator
class _Products(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        if operator_name(call) not in _PRODUCTS or str(call.ty.dtype) != "int32":
            return call
        weights = constant_array(bound_value(self, call.args[1]))
        data = None if weights is None else self._bytes(call.args[0])
        if weights is None or data is None:
            return call
        is_matrix = operator_name(call) == "matmul"
        rewritten = self._matmul(data, weights) if is_matrix else self._convolution(call, data, weights)
        return call if rewritten is None else rewritten

    def _matmul(self, data: _Bytes, values: np.ndarray) -> RelaxExpr | None:
        weights = _Weights.of(values, 1) if values.ndim == 2 else None
        if weights is None:
            return None
        total = relax.op.matmul(data.value, relax.const(weights.bytes, "int8"), out_dtype="int32")
        sums = values.sum(axis=0, dtype=np.int32)
        total = self._without_zero_point(total, data, sums)
        if weights.moved.any():
            wide = self._emit(relax.op.astype(data.value, "int32"))
            rows = self._emit(relax.op.sum(wide, axis=-1, keepdims=True))
            total = relax.op.add(self._emit(total), self._emit(relax.op.multiply(rows, relax.const(weights.moved))))
        return total

    def _convolution(self, call: RelaxCall, data: _Bytes, values: np.ndarray) -> RelaxExpr | None:
        attrs = call.attrs
        weights, groups = _Weights.of(values, 0), int(attrs.groups)
        is_plain = (str(attrs.data_layout), str(attrs.kernel_layout)) == ("NCHW", "OIHW")
        per_image = data.zero_point is None or all(int(size) == 1 for size in data.zero_point.ty.shape)
        if weights is None or not is_plain or not per_image or (groups > 1 and weights.moved.any()):
            return None
        strides, padding, dilation = ([int(n) for n in each] for each in (attrs.strides, attrs.padding, attrs.dilation))
        geometry = (strides, padding, dilation)
        total = _convolved(data.value, weights.bytes, *geometry, groups)
        image = [int(size) for size in data.value.ty.shape][2:]
        total = self._without_zero_point(total, data, convolution_offset(values, 1, image, *geometry))
        if weights.moved.any():
            window = self._emit(_convolved(data.value, np.ones((1, *values.shape[1:]), np.int8), *geometry, 1))
            moved = relax.const(weights.moved.reshape(1, -1, 1, 1))
            total = relax.op.add(self._emit(total), self._emit(relax.op.multiply(window, moved)))
        return total

    def _without_zero_point(self, total: RelaxExpr, data: _Bytes, sums: np.ndarray) -> RelaxExpr:
        """The sums less the zero point's part; `sums` are those of the weights that each of them has."""
        if data.zero_point is None:
            return total
        known = constant_array(bound_value(self, data.zero_point))
        if known is not None:
            offset = relax.const((known.astype(np.int32) * sums).astype(np.int32))
        else:
            offset = self._emit(relax.op.multiply(data.zero_point, relax.const(sums)))
        return relax.op.subtract(self._emit(total), offset)

    def _bytes(self, argument: RelaxExpr) -> _Bytes | None:
        """An int32 operand as unsigned bytes and what is subtracted from them."""
        value, zero_point = bound_value(self, argument), None
        if operator_name(value) == "subtract":
            zero_point, value = value.args[1], bound_value(self, value.args[0])
            if len(zero_point.ty.shape) > 0 and int(zero_point.ty.shape[-1]) != 1:
                return None
        source = value.args[0] if operator_name(value) == "astype" else None
        dtype = "" if source is None else str(source.ty.dtype)
        if dtype == "uint8":
            return _Bytes(source, zero_point)
        if dtype != "int8":
            return None
        shift = relax.const(BYTE_SHIFT, "int32")
        moved = self._emit(relax.op.add(self._emit(relax.op.astype(source, "int32")), shift))
        known = None if zero_point is None else constant_array(bound_value(self, zero_point))
        if zero_point is None or known is not None:
            zero_point = relax.const((np.int32(0) if known is None else known) + np.int32(BYTE_SHIFT), "int32")
        else:
            zero_point = self._emit(relax.op.add(zero_point, shift))
        return _Bytes(self._emit(relax.op.astype(moved, "uint8")), zero_point)

    def _emit(self, expression: RelaxExpr) -> RelaxExpr:
        return self.builder_.emit(expression)


def _convolved(data: RelaxExpr, weights: np.ndarray, strides: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return relax.op.nn.conv2d(
        data, relax.const(weights, "int8"), strides, padding, dilation, groups, "NCHW", "OIHW", out_dtype="int32"
    )
