"""Tensors that are made of sizes, and those that take others' shapes."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import attribute
from flextune.importing.shapes.tracked import INTEGERS, Shape
from flextune.importing.sized.nodes import state_sizes
from flextune.importing.sized.writer import INT64, SizedWriter
from flextune.importing.tensors import tensor_array
from flextune.workload.dim_expr import DimExpr

_ONE = DimExpr.of(1)


def shape_of(name: str, writer: SizedWriter) -> Shape:
    """The shape of a tensor that is followed."""
    found = writer.table.shape(name)
    assert found is not None  # of nodes that are rewritten all shapes are known
    return found


def is_symbolic(shape: Shape) -> bool:
    return any(size.value is None for size in shape)


def reshape(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """A target that 0 and -1 do not say."""
    shape = shape_of(node.output[0], writer)
    if not is_symbolic(shape) or writer.constant_values(node.input[1]) is not None or _is_written(node):
        return False
    writer.reshaped(node.input[0], shape, writer.dtype(node.input[0]), node.output[0])
    return True


def _is_written(node: onnx.NodeProto) -> bool:
    """Whether the removal of shape arithmetic gave it a constant as its target."""
    return bool(node.input[1] == f"{node.output[0]}_target")


def expand(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    shape = shape_of(node.output[0], writer)
    if not is_symbolic(shape) or not _stretches(shape_of(node.input[0], writer), shape):
        return False
    source, dtype = node.input[0], writer.dtype(node.input[0])
    if not shape_of(source, writer):  # a constant without axes would become part of the kernel, and no kernel has one
        source = writer.reshaped(source, (_ONE,) * len(shape), dtype)
    writer.sized("ExpandTo", [source], shape, dtype, node.output[0])
    return True


def _stretches(source: Shape, result: Shape) -> bool:
    aligned = result[len(result) - len(source) :]
    return all(size in (_ONE, wanted) for size, wanted in zip(source, aligned, strict=True))


def constant_of_shape(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    shape = shape_of(node.output[0], writer)
    if not is_symbolic(shape):
        return False
    value = next((tensor_array(each.t) for each in node.attribute if each.name == "value"), np.zeros(1, np.float32))
    lone = writer.constant(value.reshape((1,) * len(shape)))
    writer.sized("ExpandTo", [lone], shape, writer.dtype(node.output[0]), node.output[0])
    return True


def range_(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """start + step * (0, 1, 2, ...), of whole numbers: ONNX Runtime adds up fractions, and their errors."""
    (length,), dtype = shape_of(node.output[0], writer), writer.dtype(node.output[0])
    start, step = (_whole(name, writer) for name in (node.input[0], node.input[2]))
    if length.value is not None or start is None or step is None:
        return False
    if dtype not in INTEGERS and dtype not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        return False
    value = writer.iota(length)
    if step.value != 1:
        value = writer.emit("Mul", [value, writer.sizes([step])])
    if start.value != 0:
        value = writer.emit("Add", [value, writer.sizes([start])])
    writer.emit("Cast", [value], node.output[0], to=dtype)
    return True


def _whole(name: str, writer: SizedWriter) -> DimExpr | None:
    elements = writer.table.elements(name)
    return elements[0] if elements is not None and len(elements) == 1 else None


def tile(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    if writer.constant_values(node.input[1]) is not None or writer.table.elements(node.input[1]) is None:
        return False
    shape = shape_of(node.output[0], writer)
    writer.sized("TileTo", [node.input[0]], shape, writer.dtype(node.input[0]), node.output[0])
    return True


def eye_like(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    shape = shape_of(node.output[0], writer)
    if not is_symbolic(shape):
        return False
    distance = _distance(shape, writer)
    found = writer.emit("Equal", [distance, writer.sizes([DimExpr.of(attribute(node, "k", 0))])])
    writer.emit("Cast", [found], node.output[0], to=writer.dtype(node.output[0]))
    return True


def trilu(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """A triangle of a matrix, whose diagonal may depend on sizes; zero elsewhere."""
    shape, dtype = shape_of(node.output[0], writer), writer.dtype(node.output[0])
    diagonal = _whole(node.input[1], writer) if len(node.input) > 1 and node.input[1] else DimExpr.of(0)
    if not is_symbolic(shape[-2:]) or diagonal is None or dtype not in (INT64, *_SELECTABLE):
        return False
    compare = "GreaterOrEqual" if attribute(node, "upper", 1) else "LessOrEqual"
    inside = writer.emit(compare, [_distance(shape[-2:], writer), writer.sizes([diagonal])])
    zero = writer.constant(np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(dtype)))
    if dtype == onnx.TensorProto.BOOL:
        writer.emit("And", [inside, node.input[0]], node.output[0])
    else:
        writer.emit("Where", [inside, node.input[0], zero], node.output[0])
    return True


_SELECTABLE = (onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT32, onnx.TensorProto.DOUBLE)


def _distance(shape: Shape, writer: SizedWriter) -> str:
    """How far to the right of the diagonal each element of a matrix is."""
    rows, columns = shape
    row = writer.reshaped(writer.iota(rows), (rows, _ONE), INT64)
    column = writer.reshaped(writer.iota(columns), (_ONE, columns), INT64)
    return writer.emit("Sub", [column, row])


def one_hot(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """A comparison of indices with all classes; what is out of range is none of them."""
    shape, source = shape_of(node.output[0], writer), shape_of(node.input[0], writer)
    depth, values = _whole(node.input[1], writer), writer.constant_values(node.input[2])
    if not is_symbolic(shape) or depth is None or values is None:
        return False
    axis = attribute(node, "axis", -1) % len(shape)
    whole = writer.emit("Cast", [node.input[0]], to=INT64)
    below = writer.emit("Less", [whole, writer.constant(np.array(0, np.int64))])
    shifted = writer.emit("Add", [whole, writer.sizes([depth], [])])
    positive = writer.emit("Where", [below, shifted, whole])
    spread = writer.reshaped(positive, (*source[:axis], _ONE, *source[axis:]), INT64)
    along = tuple(depth if place == axis else _ONE for place in range(len(shape)))
    classes = writer.reshaped(writer.iota(depth), along, INT64)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(writer.dtype(node.output[0]))
    off, on = (writer.constant(value.astype(dtype)) for value in values.reshape(-1))
    writer.emit("Where", [writer.emit("Equal", [spread, classes]), on, off], node.output[0])
    return True


def cumulative_sum(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """For each place of an axis the sum of the elements that are not behind it; there are not many."""
    shape, dtype = shape_of(node.input[0], writer), writer.dtype(node.input[0])
    axis = writer.constant_values(node.input[1])
    if not is_symbolic(shape) or axis is None or writer.opset < _AXES_AS_INPUTS or dtype not in _SUMMED:
        return False
    place = int(axis.reshape(-1)[0]) % len(shape)
    if shape[place].bounds(writer.table.dims)[1] > _MOST_SUMMED:
        return False
    before, behind = shape[:place], shape[place + 1 :]
    compare = "Less" if attribute(node, "exclusive", 0) else "LessOrEqual"
    distance = _distance((shape[place], shape[place]), writer)
    if attribute(node, "reverse", 0):
        distance = writer.emit("Neg", [distance])
    inside = writer.emit(compare, [distance, writer.constant(np.array(0, np.int64))])
    inside = writer.reshaped(inside, (shape[place], shape[place], *(_ONE,) * len(behind)), onnx.TensorProto.BOOL)
    source = writer.reshaped(node.input[0], (*before, _ONE, shape[place], *behind), dtype)
    zero = writer.constant(np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(dtype)))
    chosen = writer.emit("Where", [inside, source, zero])
    writer.emit("ReduceSum", [chosen, writer.constant(np.array([place + 1]))], node.output[0], keepdims=0)
    return True


_AXES_AS_INPUTS = 13
"""From this operator set on."""
_MOST_SUMMED = 1024
"""Elements of an axis of which every one is added to every sum."""
_SUMMED = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT32, INT64)


def cast_like(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """A cast to the element type of another tensor."""
    writer.emit("Cast", [node.input[0]], node.output[0], to=writer.dtype(node.input[1]))
    return True


def recurrent(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """A layer over steps, which says how many there are and how many sequences: `sizes=["seq", "batch"]`."""
    source = shape_of(node.input[0], writer)
    if not is_symbolic(source[:2]) or source[2].value is None:
        return False
    steps, batch = source[:2] if not attribute(node, "layout", 0) else reversed(source[:2])
    if batch.value is None and batch.name is None:
        return False  # loops are compiled as functions of what they read, and read no part of such a size
    along = 0 if attribute(node, "layout", 0) else 1
    if any(shape_of(name, writer)[along] != batch for name in node.input[5:7] if name):
        return False
    writer.nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    state_sizes(writer.nodes[-1], (steps, batch))
    return True
