"""The words in which operators write their tensor expressions, on top of TVM's `te`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

from tvm import te, tirx

from flextune.tvm_types import Annotation, Expression, PrimFunc, Reducer, Tensor
from flextune.workload.element_type import BFLOAT16, FLOAT32, INT32, TF32, element_type
from flextune.workload.elements import WIDE_SUMS
from flextune.workload.extremes import LEAST, MOST, Combination, extreme, register_extremes
from flextune.workload.rounding import bfloat16_of
from flextune.workload.tensor import TensorSpec


class TensorBuilder:
    """Builds expressions for one element type.

    Every `compute` becomes one block of the program, named as asked; schedule rules know blocks by these names.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def placeholder(self, spec: TensorSpec) -> Tensor:
        return te.placeholder(spec.shape, spec.dtype, name=spec.name)

    def compute(
        self,
        shape: Sequence[int],
        function: Callable[..., Expression],
        name: str,
        axes: Sequence[str] = (),
        annotations: Mapping[str, Annotation] | None = None,
    ) -> Tensor:
        """One block. Its loops are named `axes`, or like the arguments of `function`."""
        attributes = dict(annotations or {}) or None
        if not axes:
            return te.compute(tuple(shape), function, name=name, attrs=attributes)

        def named(*index: Expression) -> Expression:
            return function(*index)

        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        named.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # where te.compute looks for names
            [inspect.Parameter(axis, positional) for axis in axes]
        )
        return te.compute(tuple(shape), named, name=name, attrs=attributes)

    def shape(self, tensor: Tensor) -> list[Expression]:
        """Its extents: numbers, and symbols."""
        return [int(extent) if isinstance(extent, tirx.IntImm) else extent for extent in tensor.shape]

    def spatial_axes(self, tensor: Tensor) -> tuple[str, ...]:
        """The loop names of a computed tensor."""
        return tuple(str(axis.var.name) for axis in tensor.op.axis)

    def reduce_axis(self, extent: int, name: str) -> Expression:
        return te.reduce_axis((0, extent), name=name)

    def sum(self, value: Expression, axes: Sequence[Expression]) -> Expression:
        return te.sum(value, axis=list(axes))

    def max_over(self, value: Expression, axes: Sequence[Expression]) -> Expression:
        return te.max(value, axis=list(axes))

    def min_over(self, value: Expression, axes: Sequence[Expression]) -> Expression:
        return te.min(value, axis=list(axes))

    def largest(self, value: Expression, axes: Sequence[Expression]) -> Expression:
        """The maximum of stored elements in the accumulator's type (bytes as they are); NaN if one of them is NaN."""
        return self._extreme(tirx.Max, te.max, LEAST, value, axes)

    def smallest(self, value: Expression, axes: Sequence[Expression]) -> Expression:
        """The minimum likewise."""
        return self._extreme(tirx.Min, te.min, MOST, value, axes)

    def _extreme(
        self, operation: Combination, whole: Reducer, start: float, value: Expression, axes: Sequence[Expression]
    ) -> Expression:
        if element_type(self.dtype).is_whole:
            return whole(value, axis=list(axes))
        register_extremes()
        reducer = te.comm_reducer(
            lambda left, right: extreme(operation, left, right), lambda dtype: tirx.const(start, dtype), "extreme"
        )
        return reducer(self.widened(value), axis=list(axes))

    def is_found(self, value: Expression, result: Expression) -> Expression:
        """Whether a stored element is the `result` of `largest` or `smallest` over it and others, or is NaN."""
        if element_type(self.dtype).is_whole:
            return value == result
        wide = self.widened(value)
        return tirx.Or(wide == result, tirx.isnan(wide))

    def stored(self, value: Expression) -> Expression:
        """A float32 number as an element is stored, rounded where that has fewer bits."""
        return bfloat16_of(value) if self.dtype == BFLOAT16.name else value

    def product(self, left: Expression, right: Expression) -> Expression:
        """The product of two stored elements in the accumulator's type."""
        return self.widened(left) * self.widened(right)

    def widened(self, value: Expression) -> Expression:
        """A stored element in the accumulator's type. bfloat16 and tf32 are the upper 16 and 19 bits of a float32."""
        if self.dtype == WIDE_SUMS:
            return value.astype(FLOAT32.storage)
        if element_type(self.dtype).is_whole:
            return value.astype(INT32.storage)
        if self.dtype == BFLOAT16.name:
            return tirx.reinterpret("float32", tirx.shift_left(value.astype("uint32"), tirx.const(16, "uint32")))
        if self.dtype == TF32.name:
            used = tirx.const(0xFFFFFFFF << TF32.unused_bits & 0xFFFFFFFF, "uint32")
            return tirx.reinterpret("float32", tirx.bitwise_and(tirx.reinterpret("uint32", value), used))
        return value

    def pad(
        self,
        tensor: Tensor,
        before: Sequence[int],
        after: Sequence[int],
        *,
        value: float = 0,
        name: str = "pad",
        axes: Sequence[str] = (),
    ) -> Tensor:
        """`tensor` with `value` around it; the tensor itself, and no block, when nothing is added."""
        if not any(before) and not any(after):
            return tensor
        shape = self.shape(tensor)

        def element(*index: Expression) -> Expression:
            inside = [
                bound
                for axis, (low, high) in enumerate(zip(before, after, strict=True))
                for bound in _bounds(index[axis], low, high, shape[axis])
            ]
            source = [position - low if low else position for position, low in zip(index, before, strict=True)]
            return self.where(inside, tensor(*source), value)

        padded = [low + extent + high for low, extent, high in zip(before, shape, after, strict=True)]
        return self.compute(padded, element, name, axes)

    def pad_spatial(
        self, tensor: Tensor, before: Sequence[int], after: Sequence[int], *, layout: str, value: float = 0
    ) -> Tensor:
        """`tensor` of a layout such as `nchw` or `nhwc` with padding along its spatial axes."""
        front, back = ((0,), (0,)) if layout.endswith("c") else ((0, 0), ())
        return self.pad(tensor, (*front, *before, *back), (*front, *after, *back), value=value, axes=layout)

    def where(self, conditions: Sequence[Expression], value: Expression, otherwise: float) -> Expression:
        """`value` where all conditions hold (and only there evaluated), else the constant."""
        other = tirx.const(otherwise, dtype_of(value))
        if not conditions:
            return value
        return tirx.if_then_else(tirx.all(*conditions), value, other)

    def choose(self, conditions: Sequence[Expression], value: Expression, otherwise: Expression) -> Expression:
        """`value` where all conditions hold, else `otherwise`; both are evaluated."""
        return tirx.Select(tirx.all(*conditions), value, otherwise)

    def either(self, condition: Expression, value: Expression, otherwise: Expression) -> Expression:
        """`value` where the condition holds, else `otherwise`; only that one is evaluated."""
        return tirx.if_then_else(condition, value, otherwise)

    def zero_of(self, value: Expression) -> Expression:
        """Zero in the type of `value`."""
        return tirx.const(0, dtype_of(value))

    def share(self, count: Expression) -> Expression:
        """One part of so many, as float32; the count may be symbolic."""
        if isinstance(count, int):
            return tirx.const(1.0 / count, "float32")
        return tirx.const(1.0, "float32") / count.astype("float32")

    def number(self, size: Expression) -> Expression:
        """A size, or the place along an axis, as int32, the type of positions."""
        if isinstance(size, int):
            return tirx.const(size, "int32")
        value: Expression = size.var if isinstance(size, tirx.IterVar) else size
        return value if str(value.ty) == "int32" else value.astype("int32")

    def constant(self, value: float, dtype: str = "float32") -> Expression:
        return tirx.const(value, dtype)

    def maximum(self, left: Expression, right: Expression) -> Expression:
        return tirx.max(left, right)

    def minimum(self, left: Expression, right: Expression) -> Expression:
        return tirx.min(left, right)

    def divide_floor(self, value: Expression, divisor: int) -> Expression:
        return value if divisor == 1 else tirx.floordiv(value, divisor)

    def remainder(self, value: Expression, divisor: int) -> Expression:
        return tirx.floormod(value, divisor)

    def exp(self, value: Expression) -> Expression:
        return tirx.exp(value)

    def erf(self, value: Expression) -> Expression:
        return tirx.erf(value)

    def tanh(self, value: Expression) -> Expression:
        return tirx.tanh(value)

    def sqrt(self, value: Expression) -> Expression:
        return tirx.sqrt(value)


def _bounds(position: Expression, low: int, high: int, extent: int) -> list[Expression]:
    """Only the conditions that can fail: none on a side that is not padded."""
    conditions = [position >= low] if low else []
    return [*conditions, position < low + extent] if high else conditions


def prim_func(tensors: Sequence[Tensor]) -> PrimFunc:
    """The schedulable function `main` over the placeholders and the output."""
    return te.create_prim_func(list(tensors))


def dtype_of(value: Expression) -> str:
    """The scalar type of an expression, such as `float32`."""
    return str(value.ty.dtype)
