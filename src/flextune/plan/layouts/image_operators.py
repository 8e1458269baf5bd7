"""Which operators can work on images in another layout than NHWC, and what they are then."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tvm
from tvm import relax

from flextune.lowering.convolution import weight_layout
from flextune.lowering.layout import NHWC, Layout
from flextune.lowering.operator_graph import Operator, is_constant, leaves, tensor_type
from flextune.lowering.operator_kinds import Kind
from flextune.tvm_types import RelaxConstant, RelaxExpr

CONVOLUTION = "nn.conv2d"
WINDOWS = frozenset({"nn.avg_pool2d", "nn.max_pool2d"})
MOVES: Mapping[tuple[int, ...], bool] = {(0, 2, 3, 1): True, (0, 3, 1, 2): False}
"""The transposes between the two plain orders: whether the result is the logical NHWC tensor (else: what is read)."""

_REDUCTIONS = frozenset({"max", "mean", "min", "sum"})
_SPATIAL_AXES = (1, 2)
_RANK = 4

Read = Callable[[RelaxExpr], RelaxExpr]
"""An operand as it is in memory, in the layout of the operator."""


def is_depthwise(operator: Operator) -> bool:
    """Whether a convolution takes each channel by itself."""
    data, weight = (tensor_type(argument)[0] for argument in operator.value.args)
    groups = int(operator.value.attrs.groups)
    return groups > 1 and groups == data[3] == weight[3] and weight[2] == 1


def move_of(operator: Operator) -> bool | None:
    """For a transpose between NCHW and NHWC, whether NHWC is its result; None for any other operator."""
    if operator.name != "permute_dims" or len(operator.shape) != _RANK or operator.value.attrs.axes is None:
        return None
    return MOVES.get(tuple(int(axis) for axis in operator.value.attrs.axes))


def is_flexible(operator: Operator) -> bool:
    """Whether an operator of NHWC images can be computed in other layouts (`in_layout`)."""
    value = operator.value
    if len(operator.shape) != _RANK or not isinstance(value, tvm.ir.Call) or not _reads_images(value):
        return False
    if operator.name == CONVOLUTION:
        return _is_usual(operator)
    if operator.name in WINDOWS:
        return str(value.attrs.layout) == "NHWC" and str(value.attrs.out_layout or "NHWC") == "NHWC"
    if operator.name in _REDUCTIONS:
        axes = [int(axis) % _RANK for axis in value.attrs.axis or ()]
        return bool(axes) and bool(value.attrs.keepdims) and set(axes) <= set(_SPATIAL_AXES)
    return operator.kind in (Kind.ELEMENTWISE, Kind.CONCAT) and operator.name != "call_tir"


def _reads_images(value: RelaxExpr) -> bool:
    """Whether variables have four axes, and constants no more."""
    return all(
        len(tensor_type(leaf)[0]) == _RANK or (is_constant(leaf) and len(leaf.ty.shape) <= _RANK)
        for leaf in leaves(value)
    )


def _is_usual(operator: Operator) -> bool:
    attributes, (_, weight) = operator.value.attrs, operator.value.args
    layouts = (str(attributes.data_layout), str(attributes.kernel_layout), str(attributes.out_layout or "NHWC"))
    plain = layouts == ("NHWC", "HWIO", "NHWC") and is_constant(weight) and operator.dtype == "float32"
    return plain and len(attributes.padding) == _RANK and (int(attributes.groups) == 1 or is_depthwise(operator))


def in_layout(operator: Operator, data: Layout, result: Layout, read: Read) -> RelaxExpr:
    """The operator's expression on tensors in these layouts; they are one for all but convolutions.

    `read` gives the operands that are variables; constants are converted here.
    """
    value = operator.value
    if operator.name == CONVOLUTION:
        return _convolution(operator, data, result, read)
    if operator.name in WINDOWS:
        return _window(value, result, read)
    if operator.kind is Kind.CONCAT:
        fields = [read(field) for field in value.args[0].fields]
        return relax.op.concat(fields, result.axis(int(value.attrs.axis or 0) % _RANK))
    if operator.name in _REDUCTIONS:
        axes = [result.axis(int(axis) % _RANK) for axis in value.attrs.axis]
        return getattr(relax.op, operator.name)(read(value.args[0]), axis=axes, keepdims=True)
    arguments = [_operand(argument, result, read) for argument in value.args]
    return tvm.ir.Call(value.op, arguments, value.attrs, value.ty_args)


def _operand(argument: RelaxExpr, layout: Layout, read: Read) -> RelaxExpr:
    if isinstance(argument, relax.Var):
        return read(argument)
    if not is_constant(argument) or len(argument.ty.shape) == 0:
        return argument
    array = np.from_dlpack(argument.value)
    return _constant(layout.convert(array.reshape((1,) * (_RANK - array.ndim) + array.shape)), argument)


def _constant(array: np.ndarray, like: RelaxConstant) -> RelaxConstant:
    return relax.const(array, str(like.ty.dtype))


def _convolution(operator: Operator, data: Layout, result: Layout, read: Read) -> RelaxExpr:
    image, weight = operator.value.args
    attributes, depthwise = operator.value.attrs, is_depthwise(operator)
    array = np.from_dlpack(weight.value)
    inner, outer = (1 if depthwise else data.block or 1), result.block or 1
    height, width, ci, co = array.shape
    split = array.reshape(height, width, ci // inner, inner, co // outer, outer).transpose(0, 1, 2, 4, 3, 5)
    blocks = ([inner] if data.block and not depthwise else []) + ([outer] if result.block else [])
    packed = np.ascontiguousarray(split).reshape(height, width, ci // inner, co // outer, *blocks)
    return relax.op.nn.conv2d(
        read(image),
        _constant(packed, weight),
        strides=[int(each) for each in attributes.strides],
        padding=[int(each) for each in attributes.padding],
        dilation=[int(each) for each in attributes.dilation],
        groups=int(attributes.groups),
        data_layout=str(data),
        kernel_layout=weight_layout(data, result, depthwise),
        out_layout=str(result),
        out_dtype=attributes.out_dtype,
    )


def _window(value: RelaxExpr, layout: Layout, read: Read) -> RelaxExpr:
    attributes = value.attrs
    build = {"relax.nn.max_pool2d": relax.op.nn.max_pool2d, "relax.nn.avg_pool2d": relax.op.nn.avg_pool2d}
    return build[value.op.name](
        read(value.args[0]),
        pool_size=[int(each) for each in attributes.pool_size],
        strides=[int(each) for each in attributes.strides],
        padding=[int(each) for each in attributes.padding],
        dilation=[int(each) for each in attributes.dilation],
        ceil_mode=bool(attributes.ceil_mode),
        count_include_pad=bool(attributes.count_include_pad),
        layout=str(layout),
        out_layout=str(layout),
    )


def moved(image: RelaxExpr, before: Layout, after: Layout, shape: tuple[int, ...], emit: Read) -> RelaxExpr:
    """An image of this logical shape brought from one layout into another, by reshapes and a transpose.

    From blocks of one size to blocks of another by way of NHWC.
    """
    if before == after:
        return image
    if before.same_memory(after, shape):
        return emit(relax.op.reshape(image, after.shape(shape)))
    inner = max(before.block, after.block)
    if 0 < min(before.block, after.block) < inner:
        return moved(moved(image, before, NHWC, shape, emit), NHWC, after, shape, emit)
    source, target = _atoms(before, inner), _atoms(after, inner)
    sizes = dict(zip("NHWC", shape, strict=True))
    sizes |= {"C": sizes["C"] // (inner or 1), "c": inner}
    split = image if len(source) == len(image.ty.shape) else emit(relax.op.reshape(image, [sizes[a] for a in source]))
    turned = emit(relax.op.permute_dims(split, [source.index(atom) for atom in target]))
    return turned if len(target) == len(after.shape(shape)) else emit(relax.op.reshape(turned, after.shape(shape)))


def _atoms(layout: Layout, inner: int) -> str:
    """The axes of a layout by letter, the channels as blocks (C) of `inner` neighbours (c)."""
    if not inner:
        return layout.order
    return f"{layout.order}c" if layout.block else layout.order.replace("C", "Cc")
