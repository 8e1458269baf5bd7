"""Quantised operators as ordinary ones on integers, or between `DequantizeLinear` and `QuantizeLinear`.

What ONNX Runtime's tools write: `quantize_dynamic` (DynamicQuantizeLinear, MatMulInteger, ConvInteger), and QOperator
models (QLinearConv and others, many of the domain `com.microsoft`). Products are sums of products of differences in
int32, which `flextune.lowering.precision.byte_products` takes from bytes:

before: y = MatMulInteger(a, b, za, zb)
after:  y = MatMul(Sub(Cast(a, int32), za'), Sub(Cast(b, int32), zb'))

Numbers are those of ONNX Runtime's definitions: a sum is multiplied with one float32 factor and rounded to nearest,
even on a tie. What is no product is computed in float32 between the operators that widen and round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.writer import MICROSOFT, Writer

BYTE = 255


class QuantizedWriter(Writer):
    """With what values of a scale and a zero point are made of."""

    __slots__ = ()

    def difference(self, name: str, zero_point: str, shape: Sequence[int] = ()) -> str:
        """Integers with their zero point subtracted, in int32; a zero point of several elements gets a shape."""
        wide = self.cast(name, TensorProto.INT32)
        known = self.value(zero_point)
        if not zero_point or (known is not None and not known.any()):
            return wide
        if known is not None and known.size == 1:
            return self.emit("Sub", [wide, self.constant(known.reshape(()), np.int32)])
        offset = self.cast(zero_point, TensorProto.INT32)
        return self.emit("Sub", [wide, self.shaped(offset, shape) if shape else offset])

    def dequantized(self, place: int) -> str:
        """The float32 values of an input, its scale and its zero point, which are three inputs in a row."""
        inputs = [self.input(place), self.input(place + 1), self.input(place + 2)]
        return self.emit("DequantizeLinear", inputs if inputs[2] else inputs[:2])

    def quantized(self, value: str, place: int) -> None:
        """The node's result: float32 values rounded by a scale and a zero point, two inputs in a row."""
        zero_point = self.input(place + 1) or self.constant(0, np.uint8)
        self.emit("QuantizeLinear", [value, self.input(place), zero_point], self.node.output[0])

    def product(self, factors: Sequence[str]) -> str:
        """Of float32 values; of constants at once."""
        known = [array for name in factors if (array := self.value(name)) is not None]
        if len(known) == len(factors):
            result = known[0].astype(np.float32)
            for array in known[1:]:
                result = np.asarray(result * array.astype(np.float32))
            return self.constant(result)
        name = factors[0]
        for other in factors[1:]:
            name = self.emit("Mul", [name, other])
        return name

    def quotient(self, dividend: str, divisor: str) -> str:
        """Of float32 values; of constants at once."""
        over, under = self.value(dividend), self.value(divisor)
        if over is not None and under is not None:
            return self.constant(np.divide(over, under, dtype=np.float32))
        return self.emit("Div", [dividend, divisor])

    def rounded(self, total: str, factor: str, zero_point: str) -> None:
        """The node's result: sums in int32, multiplied with a float32 factor, rounded, moved, within their type."""
        known = self.value(zero_point)
        dtype = self.dtype(zero_point) if zero_point else np.dtype(np.uint8)
        value = self.emit("Mul", [self.cast(total, TensorProto.FLOAT), factor])
        value = self.emit("Round", [value])
        if known is not None and known.any():
            value = self.emit("Add", [value, self.constant(known.reshape(()).astype(np.float32))])
        elif known is None and zero_point:
            moved = self.cast(zero_point, TensorProto.FLOAT)
            value = self.emit("Add", [value, self.shaped(moved, ()) if self.rank(zero_point) else moved])
        limits = np.iinfo(dtype)
        value = self.emit("Max", [value, self.constant(limits.min)])
        value = self.emit("Min", [value, self.constant(limits.max)])
        self.emit("Cast", [value], self.node.output[0], to=helper.np_dtype_to_tensor_dtype(dtype))


def spell_out_quantized(graph: OnnxGraph) -> None:
    """Write quantised operators by ordinary ones on integers and float32 (see the module text)."""
    if not any((node.domain, node.op_type) in FORMS for node in graph.nodes):
        return
    shapes, types = static_shapes(graph), element_types(graph)
    nodes = []
    for node in graph.nodes:
        form = FORMS.get((node.domain, node.op_type))
        if form is None:
            nodes.append(node)
            continue
        writer = QuantizedWriter(graph, node, shapes, types)
        form(writer)
        nodes += writer.nodes
    graph.nodes = nodes


def _dynamic_quantize(write: QuantizedWriter) -> None:
    """Bytes over the range of the values, 0 always among them; the scale of nothing but zeros is 1."""
    (source,) = write.node.input
    bytes_, scale, zero_point = [*write.node.output, "", ""][:3]
    zero, one = write.constant(0), write.constant(1)
    most = write.emit("Max", [_over_all(write, "ReduceMax", source), zero])
    least = write.emit("Min", [_over_all(write, "ReduceMin", source), zero])
    extent = write.emit("Sub", [most, least])
    step = write.emit("Div", [extent, write.constant(BYTE)])
    scale = write.emit("Where", [write.emit("Equal", [extent, zero]), one, step], scale)
    place = write.emit("Sub", [zero, write.emit("Div", [least, scale])])
    place = write.emit("Min", [write.emit("Max", [place, zero]), write.constant(BYTE)])
    place = write.emit("Round", [place])
    write.emit("Cast", [place], zero_point, to=TensorProto.UINT8)
    value = write.emit("Add", [write.emit("Round", [write.emit("Div", [source, scale])]), place])
    value = write.emit("Min", [write.emit("Max", [value, zero]), write.constant(BYTE)])
    write.emit("Cast", [value], bytes_, to=TensorProto.UINT8)


def _over_all(write: QuantizedWriter, reduction: str, source: str) -> str:
    """A reduction of all elements, first along rows: those are many, and each is one after the other in memory."""
    if (write.rank(source) or 0) > 1:
        if write.graph.opset < 18:
            source = write.emit(reduction, [source], axes=[-1], keepdims=0)
        else:
            source = write.emit(reduction, [source, write.constant(np.array([-1]), np.int64)], keepdims=0)
    return write.emit(reduction, [source], keepdims=0)


def _integer_product(
    write: QuantizedWriter, data: str, weight: str, data_zero: str, weight_zero: str, result: str = ""
) -> str:
    """MatMul of differences. Zero points of one axis belong to rows of the data and columns of the weights."""
    rows = (-1, 1) if data_zero and write.rank(data_zero) == 1 else ()
    return write.emit(
        "MatMul", [write.difference(data, data_zero, rows), write.difference(weight, weight_zero)], result
    )


def _matmul_integer(write: QuantizedWriter) -> None:
    data, weight, data_zero, weight_zero = (write.input(place) for place in range(4))
    _integer_product(write, data, weight, data_zero, weight_zero, write.node.output[0])


def _integer_convolution(
    write: QuantizedWriter, data: str, weight: str, zeros: tuple[str, str], result: str = ""
) -> str:
    if attribute(write.node, "channels_last", 0):
        raise ModelError(f"{write.title}: channels_last is not supported; export it with channels first")
    rank = write.rank(weight)
    if rank is None:
        raise ModelError(f"{write.title}: weights of unknown rank are not supported")
    channels = (-1, *[1] * (rank - 1))
    kept = [entry for entry in write.node.attribute if entry.name != "channels_last"]
    name = write.emit("Conv", [write.difference(data, zeros[0]), write.difference(weight, zeros[1], channels)], result)
    write.nodes[-1].attribute.extend(kept)
    return name


def _conv_integer(write: QuantizedWriter) -> None:
    data, weight, *zeros = (write.input(place) for place in range(4))
    _integer_convolution(write, data, weight, (zeros[0], zeros[1]), write.node.output[0])


def _qlinear_conv(write: QuantizedWriter) -> None:
    data, data_scale, data_zero, weight, weight_scale, weight_zero, scale, zero_point, bias = (
        write.input(place) for place in range(9)
    )
    total = _integer_convolution(write, data, weight, (data_zero, weight_zero))
    channels = (1, -1, *[1] * ((write.rank(weight) or 2) - 2))
    if bias:
        total = write.emit("Add", [total, write.shaped(bias, channels)])
    factor = write.quotient(write.product([data_scale, weight_scale]), scale)
    write.rounded(total, write.shaped(factor, channels), zero_point)


def _qlinear_matmul(write: QuantizedWriter) -> None:
    data, data_scale, data_zero, weight, weight_scale, weight_zero, scale, zero_point = (
        write.input(place) for place in range(8)
    )
    total = _integer_product(write, data, weight, data_zero, weight_zero)
    row_scale = write.shaped(data_scale, (-1, 1)) if write.rank(data_scale) == 1 else data_scale
    known = write.value(data_scale)
    if known is not None and known.size == 1:
        row_scale = write.constant(known.reshape(()))
    write.rounded(total, write.quotient(write.product([row_scale, weight_scale]), scale), zero_point)


def _qgemm(write: QuantizedWriter) -> None:
    node = write.node
    data, data_scale, data_zero, weight, weight_scale, weight_zero, bias, scale, zero_point = (
        write.input(place) for place in range(9)
    )
    left = write.difference(data, data_zero)
    by_columns = attribute(node, "transB", 0)
    right = write.difference(weight, weight_zero, (-1, 1) if by_columns and write.rank(weight_zero) == 1 else ())
    left = write.emit("Transpose", [left], perm=[1, 0]) if attribute(node, "transA", 0) else left
    right = write.emit("Transpose", [right], perm=[1, 0]) if by_columns else right
    total = write.emit("MatMul", [left, right])
    if bias:
        total = write.emit("Add", [total, bias])
    factor = write.product([write.constant(attribute(node, "alpha", 1.0)), data_scale, weight_scale])
    if scale:
        write.rounded(total, write.quotient(factor, scale), zero_point)
    else:
        write.emit("Mul", [write.cast(total, TensorProto.FLOAT), factor], node.output[0])


def _to_float(write: QuantizedWriter, total: str, scales: Sequence[str], bias: str) -> None:
    """The node's result: sums in int32 multiplied with the product of two scales, and a bias added."""
    wide = write.cast(total, TensorProto.FLOAT)
    factor = write.product(scales)
    result = write.node.output[0]
    scaled = write.emit("Mul", [wide, factor], "" if bias else result)
    if bias:
        write.emit("Add", [scaled, bias], result)


def _integer_to_float(write: QuantizedWriter) -> None:
    data, weight, data_scale, weight_scale, data_zero, weight_zero, bias = (write.input(place) for place in range(7))
    _to_float(write, _integer_product(write, data, weight, data_zero, weight_zero), [data_scale, weight_scale], bias)


def _dynamic_product(write: QuantizedWriter) -> None:
    data, weight, weight_scale, weight_zero, bias = (write.input(place) for place in range(5))
    bytes_, scale, zero_point = (f"{write.node.output[0]}_{part}" for part in ("bytes", "scale", "zero"))
    quantize = helper.make_node("DynamicQuantizeLinear", [data], [bytes_, scale, zero_point])
    inner = QuantizedWriter(write.graph, quantize, write.shapes, write.types)
    _dynamic_quantize(inner)
    write.nodes += inner.nodes
    total = _integer_product(write, bytes_, weight, zero_point, weight_zero)
    _to_float(write, total, [scale, weight_scale], bias)


def _binary(operator: str) -> Callable[[QuantizedWriter], None]:
    def form(write: QuantizedWriter) -> None:
        write.quantized(write.emit(operator, [write.dequantized(0), write.dequantized(3)]), 6)

    return form


def _unary(operator: str) -> Callable[[QuantizedWriter], None]:
    """An operator with the attributes of the quantised one."""

    def form(write: QuantizedWriter) -> None:
        if attribute(write.node, "channels_last", 0):
            raise ModelError(f"{write.title}: channels_last is not supported; export it with channels first")
        value = write.emit(operator, [write.dequantized(0)])
        write.nodes[-1].attribute.extend(e for e in write.node.attribute if e.name not in ("channels_last", "opset"))
        write.quantized(value, 3)

    return form


def _softmax(write: QuantizedWriter) -> None:
    opset, axis = attribute(write.node, "opset", 13), attribute(write.node, "axis", -1)
    rank = write.rank(write.input(0))
    if opset < 13 and (rank is None or axis % rank != rank - 1):
        raise ModelError(f"{write.title}: of set {opset} it runs over several axes, which is not supported")
    value = write.emit("Softmax", [write.dequantized(0)], axis=axis)
    write.quantized(value, 3)


def _concat(write: QuantizedWriter) -> None:
    parts = [write.dequantized(place) for place in range(2, len(write.node.input), 3)]
    write.quantized(write.emit("Concat", parts, axis=attribute(write.node, "axis", 0)), 0)


def _where(write: QuantizedWriter) -> None:
    chosen = write.emit("Where", [write.input(0), write.dequantized(1), write.dequantized(4)])
    write.quantized(chosen, 7)


def _standard(write: QuantizedWriter) -> None:
    """The same operator of the default domain."""
    copied = onnx.NodeProto()
    copied.CopyFrom(write.node)
    copied.domain = ""
    write.nodes.append(copied)


FORMS: dict[tuple[str, str], Callable[[QuantizedWriter], None]] = {
    ("", "ConvInteger"): _conv_integer,
    ("", "DynamicQuantizeLinear"): _dynamic_quantize,
    ("", "MatMulInteger"): _matmul_integer,
    ("", "QLinearConv"): _qlinear_conv,
    ("", "QLinearMatMul"): _qlinear_matmul,
    (MICROSOFT, "DequantizeLinear"): _standard,
    (MICROSOFT, "DynamicQuantizeMatMul"): _dynamic_product,
    (MICROSOFT, "MatMulIntegerToFloat"): _integer_to_float,
    (MICROSOFT, "QGemm"): _qgemm,
    (MICROSOFT, "QLinearAdd"): _binary("Add"),
    (MICROSOFT, "QLinearAveragePool"): _unary("AveragePool"),
    (MICROSOFT, "QLinearConcat"): _concat,
    (MICROSOFT, "QLinearConv"): _qlinear_conv,
    (MICROSOFT, "QLinearGlobalAveragePool"): _unary("GlobalAveragePool"),
    (MICROSOFT, "QLinearLeakyRelu"): _unary("LeakyRelu"),
    (MICROSOFT, "QLinearMul"): _binary("Mul"),
    (MICROSOFT, "QLinearSigmoid"): _unary("Sigmoid"),
    (MICROSOFT, "QLinearSoftmax"): _softmax,
    (MICROSOFT, "QLinearWhere"): _where,
    (MICROSOFT, "QuantizeLinear"): _standard,
}
"""Domain and operator -> what writes it by others."""
