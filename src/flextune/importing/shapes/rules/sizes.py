"""Operators that read or make shapes: constants, shapes, ranges, and tensors of a given size."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.shapes.arithmetic import Arithmetic
from flextune.importing.shapes.call import Call, UntrackedError, positive_axis
from flextune.importing.shapes.ratio import Ratio
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import (
    INTEGERS,
    MOST_ELEMENTS,
    Tracked,
    constant_tensor,
    count,
    integer_tensor,
    is_small,
)
from flextune.importing.tensors import tensor_array
from flextune.workload.dim_expr import DimExpr, ceil_div

_INT64 = onnx.TensorProto.INT64


@shape_rule("Constant")
def constant(call: Call) -> Tracked:
    if call.has("value"):
        return of_tensor(call.raw("value"))
    for name, dtype in (("int", np.int64), ("float", np.float32), ("string", object)):
        for attribute in (f"value_{name}", f"value_{name}s"):
            if call.has(attribute):
                array: np.ndarray[Any, Any] = np.array(call.raw(attribute), dtype)
                kind = (
                    onnx.TensorProto.STRING if name == "string" else onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
                )
                return constant_tensor(array, kind)
    if call.has("sparse_value"):
        sparse = call.raw("sparse_value")
        return Tracked(sparse.values.data_type, tuple(map(DimExpr.of, sparse.dims)))
    raise UntrackedError("it has no value")


def of_tensor(tensor: onnx.TensorProto) -> Tracked:
    """What is known of a constant; large ones are not read."""
    shape = tuple(map(DimExpr.of, tensor.dims))
    small = is_small(tensor.dims)
    if not small or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return Tracked(tensor.data_type, shape)
    try:
        return constant_tensor(tensor_array(tensor), tensor.data_type)
    except ModelError:
        return Tracked(tensor.data_type, shape)


@shape_rule("Shape")
def shape(call: Call) -> Tracked:
    """The attributes cut it as a slice does."""
    sizes = call.shape(0)
    start, end = call.attribute("start", 0), call.attribute("end", len(sizes))
    return integer_tensor(sizes[slice(start, end)])


@shape_rule("Size")
def size(call: Call) -> Tracked:
    elements = np.empty((), object)
    elements[()] = Ratio(count(call.shape(0)))
    return Tracked(_INT64, (), elements)


@shape_rule("ConstantOfShape")
def constant_of_shape(call: Call) -> Tracked:
    value = tensor_array(call.raw("value")) if call.has("value") else np.zeros(1, np.float32)
    dtype = call.raw("value").data_type if call.has("value") else onnx.TensorProto.FLOAT
    found = target_sizes(call, 0)
    static = [each.value for each in found]
    if None in static or not is_small(each or 0 for each in static):
        return Tracked(dtype, found)
    return constant_tensor(np.full([each or 0 for each in static], value.reshape(-1)[0]), dtype)


def target_sizes(call: Call, position: int) -> tuple[DimExpr, ...]:
    """A shape that an input holds; sizes in it that are not known are decided by data."""
    held = call.input(position)
    rank = call.shape(position)[0].value if len(call.shape(position)) == 1 else None
    if rank is None:
        raise UntrackedError(
            f"the rank of its result is not known: that is the length of {call.node.input[position]!r}"
        )
    known = [None] * rank if held.elements is None else list(held.elements)
    sizes = [None if each is None else each.size for each in known]
    return tuple(
        call.fresh(None, f"dimension {axis}, which data decide") if found is None else found
        for axis, found in enumerate(sizes)
    )


@shape_rule("Range")
def range_of(call: Call) -> Tracked:
    """ceil((limit - start) / step) elements, none where that is negative."""
    dtype = call.input(0).dtype
    start, limit, step = ((call.input(each).elements if call.given(each) else None) for each in range(3))
    by = None if step is None or step.reshape(-1)[0] is None else step.reshape(-1)[0].constant
    if by == 0:
        raise UntrackedError("its step is 0")
    if start is None or limit is None or not by or None in (start.reshape(-1)[0], limit.reshape(-1)[0]):
        return Tracked(dtype, (call.fresh(None, "elements of a range whose ends data decide"),))
    length = Arithmetic(dtype, call.scope.dims).subtract(limit.reshape(-1)[0], start.reshape(-1)[0])
    if length is None:
        return Tracked(dtype, (call.fresh(None, "elements of a range whose length is rounded"),))
    above, below = length.numerator * by.denominator, length.denominator * by.numerator
    found = call.largest(ceil_div(above if below > 0 else -above, abs(below)), DimExpr.of(0))
    number = found.value
    if number is None or number > MOST_ELEMENTS or dtype not in INTEGERS:
        return Tracked(dtype, (found,))
    first = start.reshape(-1)[0].numerator
    return integer_tensor([first + int(by) * each for each in range(number)], dtype)


@shape_rule("OneHot")
def one_hot(call: Call) -> Tracked:
    indices = call.shape(0)
    axis = positive_axis(call.attribute("axis", -1), len(indices) + 1)
    depth = call.size_or_fresh(1, "the depth")
    return Tracked(call.input(2).dtype, (*indices[:axis], depth, *indices[axis:]))


@shape_rule("EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli")
def of_like_shape(call: Call) -> Tracked:
    return call.like(0).of_type(call.attribute("dtype", call.input(0).dtype))


@shape_rule("RandomNormal", "RandomUniform")
def of_given_shape(call: Call) -> Tracked:
    sizes: tuple[int, ...] = call.attribute("shape", ())
    return Tracked(call.attribute("dtype", onnx.TensorProto.FLOAT), tuple(map(DimExpr.of, sizes)))


@shape_rule("Multinomial")
def multinomial(call: Call) -> Tracked:
    dtype = call.attribute("dtype", onnx.TensorProto.INT32)
    return Tracked(dtype, (call.shape(0)[0], DimExpr.of(call.attribute("sample_size", 1))))
