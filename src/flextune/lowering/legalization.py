"""Relax operators as loops where TVM's own are not what ONNX means: maximum, minimum, and what is made of them.

TVM writes `a > b ? a : b`, which is `b` whenever one of them is NaN, and lets a maximum start from the lowest finite
number. Here NaN in either operand gives NaN, as in NumPy and in ONNX's definitions, and a maximum starts from -inf.
With a constant as first operand this costs nothing: `c > x ? c : x` is x where x is NaN, one instruction on x86.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tvm
from tvm import DataType, te, tirx, topi

from flextune.lowering.convolution import legalize_convolution
from flextune.lowering.gather_scatter import GATHER_SCATTER
from flextune.lowering.reshaping import legalize_reshape
from flextune.tvm_types import Expression, Reducer, RelaxBuilder, RelaxCall, RelaxExpr, Tensor
from flextune.workload.extremes import LEAST, MOST, extreme

Element = Callable[..., Expression]
Legalization = Callable[[RelaxBuilder, RelaxCall], RelaxExpr]

SPATIAL_AXES = "DHW"
"""Letters of a layout (`NHWC`) that stand for axes a pooling window has."""


def maximum(left: Expression, right: Expression) -> Expression:
    """The larger of two elements, NaN if one of them is NaN."""
    return extreme(tirx.Max, left, right)


def minimum(left: Expression, right: Expression) -> Expression:
    """The smaller of two elements, NaN if one of them is NaN."""
    return extreme(tirx.Min, left, right)


def _relu(element: Expression) -> Expression:
    return maximum(tirx.const(0, str(element.ty)), element)


def _sign(element: Expression) -> Expression:
    zero, one = (tirx.const(value, str(element.ty)) for value in (0, 1))
    sign = tirx.Select(zero < element, one, tirx.Select(element < zero, -one, zero))
    return tirx.Select(tirx.isnan(element), element, sign)


def _clip(element: Expression, low: Expression, high: Expression) -> Expression:
    dtype = str(element.ty)
    least, most = (tirx.const(float(bound.value), dtype) for bound in (low, high))
    return minimum(most, maximum(least, element))


def _elementwise(name: str, function: Element) -> Legalization:
    """Elements of the result are `function` of the operands' elements; scalar constants become part of the loop."""

    def legalize(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
        operands = [_immediate(argument) for argument in call.args]
        shape = tuple(call.ty.shape)

        def compute(*tensors: Tensor) -> Tensor:
            given = iter(tensors)
            placed = [operand if tvm.ir.is_prim_expr(operand) else next(given) for operand in operands]
            return te.compute(shape, lambda *index: function(*(_element(each, index) for each in placed)), name=name)

        tensors = [operand for operand in operands if not tvm.ir.is_prim_expr(operand)]
        return builder.call_te(compute, *tensors, primfunc_name_hint=name)

    return legalize


def _immediate(argument: RelaxExpr) -> RelaxExpr | Expression:
    """A constant without dimensions as a number, anything else as it is."""
    if not isinstance(argument, tvm.ir.GenericConst) or argument.value.numpy().ndim:
        return argument
    return tirx.const(argument.value.numpy().item(), str(argument.ty.dtype))


def _element(operand: Tensor, index: Sequence[Expression]) -> Expression:
    """The operand's element at an index of the result, which it is broadcast to."""
    if tvm.ir.is_prim_expr(operand):
        return operand
    own = index[len(index) - len(operand.shape) :]
    return operand(*(0 if _is_one(size) else place for place, size in zip(own, operand.shape, strict=True)))


def _is_one(size: Expression) -> bool:
    return isinstance(size, tirx.IntImm) and int(size) == 1


def _reducer(name: str, operation: Element, start: float) -> Reducer:
    def identity(dtype: str) -> Expression:
        return tirx.const(start, dtype)

    return te.comm_reducer(lambda left, right: extreme(operation, left, right), identity, name)


def _extreme_of_axes(name: str, operation: Element, start: float) -> Legalization:
    """`relax.max` and `relax.min` over some axes, or all."""

    def legalize(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
        rank = len(call.args[0].ty.shape)
        axes = range(rank) if call.attrs.axis is None else [int(axis) % rank for axis in call.attrs.axis]
        keep = bool(call.attrs.keepdims)

        def compute(tensor: Tensor) -> Tensor:
            loops = {axis: te.reduce_axis((0, tensor.shape[axis]), f"r{axis}") for axis in axes}

            def element(*index: Expression) -> Expression:
                rest = iter([place for axis, place in enumerate(index) if not (keep and axis in loops)])
                full = [loops[axis] if axis in loops else next(rest) for axis in range(rank)]
                return _reducer(name, operation, start)(tensor(*full), axis=list(loops.values()))

            return te.compute(tuple(call.ty.shape), element, name=name)

        return builder.call_te(compute, call.args[0], primfunc_name_hint=name)

    return legalize


def _max_pool(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """A largest element per window; what is padded is never the largest."""
    attributes = call.attrs
    axes = [place for place, letter in enumerate(str(attributes.layout)) if letter in SPATIAL_AXES]
    sizes, strides, dilation, pads = (
        [int(size) for size in getattr(attributes, name)] for name in ("pool_size", "strides", "dilation", "padding")
    )

    def compute(tensor: Tensor) -> Tensor:
        before, after = [0] * len(tensor.shape), [0] * len(tensor.shape)
        for place, axis in enumerate(axes):
            before[axis], after[axis] = pads[place], pads[place + len(axes)]
        lowest = tirx.const(LEAST, tensor.dtype)
        padded = topi.nn.pad(tensor, before, after, lowest, name="pad_temp") if any(pads) else tensor
        window = [te.reduce_axis((0, size), f"rv{place}") for place, size in enumerate(sizes)]

        def element(*index: Expression) -> Expression:
            full = list(index)
            for place, axis in enumerate(axes):
                full[axis] = index[axis] * strides[place] + window[place] * dilation[place]
            return _reducer("max", tirx.Max, LEAST)(padded(*full), axis=window)

        return te.compute(tuple(call.ty.shape), element, name="pool_max")

    return builder.call_te(compute, call.args[0], primfunc_name_hint=call.op.name.rpartition(".")[2])


def _of_floats(legalize: Legalization) -> Legalization:
    """TVM's own legalisation where the result is no float of known shape, or a pool rounds its size up."""

    def chosen(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
        is_float = str(call.ty.dtype).startswith(("float", "bfloat")) and not getattr(call.attrs, "ceil_mode", False)
        has_sizes = call.ty.shape is not None
        return (legalize if is_float and has_sizes else call.op.get_attr("FLegalize"))(builder, call)

    return chosen


LEGALIZATIONS: dict[str, Legalization] = {
    f"relax.{name}": _of_floats(legalize)
    for name, legalize in {
        "clip": _elementwise("clip", _clip),
        "max": _extreme_of_axes("max", tirx.Max, LEAST),
        "maximum": _elementwise("maximum", maximum),
        "min": _extreme_of_axes("min", tirx.Min, MOST),
        "minimum": _elementwise("minimum", minimum),
        "nn.max_pool1d": _max_pool,
        "nn.max_pool2d": _max_pool,
        "nn.max_pool3d": _max_pool,
        "nn.relu": _elementwise("relu", _relu),
        "sign": _elementwise("sign", _sign),
    }.items()
}


def _with_zero(function: Element) -> Legalization:
    """TVM's own legalisation but for a factor or dividend that is the number 0: TVM takes 0 * x for 0."""

    def legalize(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
        if not any(_is_zero(argument) for argument in call.args):
            return call.op.get_attr("FLegalize")(builder, call)
        return _elementwise(call.op.name.rpartition(".")[2], function)(builder, call)

    return legalize


def _is_zero(argument: RelaxExpr) -> bool:
    number = _immediate(argument)
    return isinstance(number, tirx.FloatImm) and float(number.value) == 0.0


def _opaque(element: Expression) -> Expression:
    """The number 0 as a product that TVM computes nothing with; any other element as it is."""
    if not isinstance(element, tirx.FloatImm) or float(element.value) != 0.0:
        return element
    dtype = str(element.ty)
    sign_bit = 1 << (DataType(dtype).bits - 1)
    negative = tirx.call_intrin(dtype, "tirx.reinterpret", tirx.const(sign_bit, f"uint{DataType(dtype).bits}"))
    return negative if math.copysign(1.0, float(element.value)) < 0 else tirx.Mul(negative, tirx.const(-1, dtype))


def _leaky_relu(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """TVM's own legalisation but for a slope of 0, by which it would make 0 of NaN and of -inf."""
    if float(call.attrs.alpha) != 0.0:
        return call.op.get_attr("FLegalize")(builder, call)

    def element(value: Expression) -> Expression:
        zero = tirx.const(0, str(value.ty))
        return tirx.Select(zero < value, value, tirx.Mul(value, _opaque(zero)))

    return _elementwise("leaky_relu", element)(builder, call)


LEGALIZATIONS["relax.multiply"] = _with_zero(lambda left, right: tirx.Mul(_opaque(left), _opaque(right)))
LEGALIZATIONS["relax.divide"] = _with_zero(lambda left, right: tirx.Div(_opaque(left), right))
LEGALIZATIONS["relax.nn.leakyrelu"] = _leaky_relu
LEGALIZATIONS["relax.shape_to_tensor"] = lambda _, call: call
LEGALIZATIONS["relax.nn.conv2d"] = legalize_convolution
LEGALIZATIONS["relax.reshape"] = legalize_reshape
LEGALIZATIONS |= GATHER_SCATTER
LEGALIZATIONS["relax.where"] = _elementwise("where", lambda condition, left, right: tirx.Select(condition, left, right))
"""For `relax.transform.LegalizeOps`; operators that are not here are TVM's."""
