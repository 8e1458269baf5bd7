"""Numbers of few bits (float8, float4, whole numbers of 4 and 2 bits) as bytes that hold their codes.

Nothing is computed in these types. What widens them looks codes up, what narrows to them computes codes, and what moves
elements moves bytes. Inputs and outputs of the model keep their types; generated code takes them for bytes.

before: y: float16 = Cast(Reshape(x: float8e4m3fn, s), to=float16)
after:  y: float16 = Cast(Gather(table, Reshape(x: uint8, s)), to=float16), table: float32[256]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from flextune.importing.onnx_graph import OnnxGraph, attribute, names_read
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.writer import FLOAT, Writer

CODES = 256


@dataclass(frozen=True, slots=True)
class WholeNumbers:
    """A type of whole numbers of few bits, in two's complement where it has a sign."""

    bits: int
    is_signed: bool

    @property
    def least(self) -> int:
        return -(1 << (self.bits - 1)) if self.is_signed else 0

    @property
    def most(self) -> int:
        return self.least + (1 << self.bits) - 1


WHOLE: Mapping[int, WholeNumbers] = {
    TensorProto.INT2: WholeNumbers(2, True),
    TensorProto.INT4: WholeNumbers(4, True),
    TensorProto.UINT2: WholeNumbers(2, False),
    TensorProto.UINT4: WholeNumbers(4, False),
}
FLOATS: Mapping[int, int] = {
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.FLOAT8E4M3FN: 8,
    TensorProto.FLOAT8E4M3FNUZ: 8,
    TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8,
    TensorProto.FLOAT8E8M0: 8,
}
"""Type -> its bits."""
NARROW = frozenset({*WHOLE, *FLOATS})

_MOVING = """
Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Identity Reshape ReverseSequence Shape Size Slice
SpaceToDepth Split Squeeze Tile Transpose Unsqueeze Where
"""
MOVING = frozenset(_MOVING.split())
"""Operators that look at no element, whatever its type."""


def bytes_of_narrow_types(graph: OnnxGraph) -> None:
    """Keep numbers of few bits as bytes that hold their codes (see the module text).

    before: y: float32 = Cast(x: int4, to=float32)   -->   after: y = Cast(Sub(Xor(x: uint8, 8), 8), to=float32)
    """
    types = element_types(graph)
    if not any(kind in NARROW for kind in types.values()) and not any(map(has_blocks, graph.nodes)):
        return
    shapes = static_shapes(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        write = NarrowWriter(graph, node, shapes, types)
        write.run()
        nodes += write.nodes
    graph.nodes = nodes
    graph.inputs, graph.outputs = ([_as_bytes(value) for value in each] for each in (graph.inputs, graph.outputs))
    for name, array in graph.constants.items():
        if onnx.helper.np_dtype_to_tensor_dtype(array.dtype) in NARROW:
            graph.constants[name] = codes(array)


def has_blocks(node: onnx.NodeProto) -> bool:
    """Whether numbers are quantised with a scale for each block, which the importer knows of no type."""
    return node.op_type in ("QuantizeLinear", "DequantizeLinear") and attribute(node, "block_size", 0) > 0


def bounds_of(kind: int) -> tuple[int, int]:
    """The least and the largest number of a type of whole ones."""
    if kind in WHOLE:
        return WHOLE[kind].least, WHOLE[kind].most
    limits = np.iinfo(onnx.helper.tensor_dtype_to_np_dtype(kind))
    return int(limits.min), int(limits.max)


def codes(array: np.ndarray) -> np.ndarray:
    """The bytes of an array of a narrow type."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(array.shape)


def _as_bytes(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    if value.type.tensor_type.elem_type not in NARROW:
        return value
    copied = onnx.ValueInfoProto()
    copied.CopyFrom(value)
    copied.type.tensor_type.elem_type = TensorProto.UINT8
    return copied


class NarrowWriter(Writer):
    """Writes a node that reads or gives numbers of few bits; any other one as it is."""

    __slots__ = ()

    def run(self) -> None:
        node = self.node
        involved = {self.types.get(name, 0) for name in (*names_read(node), *node.output) if name}
        is_meant = bool(involved & NARROW) or has_blocks(node)
        if not is_meant or node.domain not in ("", "ai.onnx") or node.op_type in MOVING:
            self.copied(node)
        elif node.op_type == "Constant":
            tensor = next(entry.t for entry in node.attribute if entry.name == "value")
            self.graph.constants[node.output[0]] = onnx.numpy_helper.to_array(tensor)
        elif node.op_type in ("Cast", "CastLike"):
            self._cast_node()
        elif node.op_type == "DequantizeLinear":
            self._dequantize()
        elif node.op_type == "QuantizeLinear":
            self._quantize()
        else:
            self.refuse("numbers of fewer than 8 bits, or of float8, are not computed with")

    def _cast_node(self) -> None:
        source, result = self.input(0), self.output(0)
        before, after = self.kind(source), self.kind(result)
        value, kind = (self.widened(source), self._wide_kind(before)) if before in NARROW else (source, before)
        if after in NARROW:
            mode = attribute(self.node, "round_mode", "up")
            self.narrowed(value, kind, after, result, attribute(self.node, "saturate", 1), mode)
        else:
            self.emit("Cast", [value], result, to=after)

    def widened(self, name: str) -> str:
        """The numbers that codes stand for, as float32, or int32 of whole ones."""
        kind = self.kind(name)
        if kind in WHOLE:
            return self._whole(self.cast(name, TensorProto.INT32), WHOLE[kind])
        values = np.arange(CODES, dtype=np.uint8) & ((1 << FLOATS[kind]) - 1)
        table = values.view(onnx.helper.tensor_dtype_to_np_dtype(kind)).astype(np.float32)
        return self.emit("Gather", [self.constant(table), self.cast(name, TensorProto.INT32)], axis=0)

    def _whole(self, code: str, numbers: WholeNumbers) -> str:
        mask, sign = (self.constant(value, np.int32) for value in ((1 << numbers.bits) - 1, 1 << (numbers.bits - 1)))
        value = self.emit("BitwiseAnd", [code, mask])
        return self.emit("Sub", [self.emit("BitwiseXor", [value, sign]), sign]) if numbers.is_signed else value

    @staticmethod
    def _wide_kind(kind: int) -> int:
        return int(TensorProto.INT32 if kind in WHOLE else FLOAT)

    def narrowed(
        self, value: str, before: int, after: int, result: str, saturate: int = 1, round_mode: str = "up"
    ) -> None:
        """The codes of numbers of type `before`. Whole ones lose what is beyond their bits, as casts to bytes do."""
        if after in WHOLE:
            number = self.cast(value, TensorProto.INT32) if before != TensorProto.INT32 else value
            kept = self.emit("BitwiseAnd", [number, self.constant((1 << WHOLE[after].bits) - 1, np.int32)])
            self.emit("Cast", [kept], result, to=TensorProto.UINT8)
            return
        number = value if before == FLOAT else self.cast(value, FLOAT)
        kernel = f"round_to_{onnx.helper.tensor_dtype_to_np_dtype(after).name}"
        shape = self.shape(self.output(0))
        attributes = {"saturate": saturate, "round_mode": round_mode}
        self.kernel(kernel, [number], TensorProto.UINT8, shape, result, **attributes)

    def _dequantize(self) -> None:
        """(x - zero point) * scale; a scale and a zero point of several elements belong to places along an axis."""
        source, scale, zero_point = self.input(0), self.input(1), self.input(2)
        kind = self.kind(self.output(0))
        value = self._number(source)
        if zero_point:
            value = self.emit("Sub", [value, self._spread(self._number(zero_point))])
        factor = self._number(scale) if self.kind(scale) in NARROW else scale
        wide = FLOAT if self.kind(scale) in NARROW else self.kind(scale)
        product = self.emit("Mul", [self.cast(value, wide), self._spread(factor)])
        self.emit("Cast", [product], self.output(0), to=kind)

    def _quantize(self) -> None:
        """x / scale + zero point, whole numbers rounded before that is added and kept within their bounds."""
        source, scale, zero_point = self.input(0), self.input(1), self.input(2)
        kind, kind_of_source = self.kind(self.output(0)), self.kind(source)
        if kind_of_source == TensorProto.INT32:
            source, kind_of_source = self.cast(source, FLOAT), FLOAT
        factor = self._number(scale) if self.kind(scale) in NARROW else scale
        value = self.emit("Div", [source, self._spread(self.cast(factor, kind_of_source))])
        bounds = None if kind in FLOATS else bounds_of(kind)
        value = value if bounds is None else self.emit("Round", [value])
        if zero_point:
            value = self.emit("Add", [value, self._spread(self.cast(self._number(zero_point), kind_of_source))])
        if bounds is not None:
            least, most = (self.number(bound, source) for bound in bounds)
            value = self.emit("Min", [self.emit("Max", [value, least]), most])
        if kind in NARROW:
            self.narrowed(value, kind_of_source, kind, self.output(0), attribute(self.node, "saturate", 1))
        else:
            self.emit("Cast", [value], self.output(0), to=kind)

    def _number(self, name: str) -> str:
        """A value as int32 or float32."""
        kind = self.kind(name)
        if kind in NARROW:
            return self.widened(name)
        return self.cast(
            name, FLOAT if kind in (FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16) else TensorProto.INT32
        )

    def _spread(self, name: str) -> str:
        """A scale or zero point in a shape that goes with what is quantised."""
        given = self.shape(self.input(1))
        shape = self.shape(self.input(0))
        if not given or (len(given) == 1 and given[0] == 1):
            return self.shaped(name, ())
        axis = attribute(self.node, "axis", 1) % len(shape)
        size = attribute(self.node, "block_size", 0)
        if size:
            return self.emit("Gather", [name, self.integers(np.arange(shape[axis]) // size)], axis=axis)
        return self.shaped(name, [-1 if place == axis else 1 for place in range(len(shape))])
