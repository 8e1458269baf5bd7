"""Weights of few bits with a scale for each block: `DequantizeLinear` of constants, and `MatMulNBits`.

The importer knows one scale per tensor or per place along an axis. Blocks become rows of a matrix, with a scale each:

before: w[K, N] = DequantizeLinear(c[K, N], s[K / B, N], block_size=B, axis=0)
after:  d = DequantizeLinear(c'[K / B * N, B], s', axis=0)
        w = Reshape(Transpose(Reshape(d, [K / B, N, B]), [0, 2, 1]), [K, N])

Numbers of four bits become bytes; `flextune.lowering.precision.stored_weights` packs them again where it is worth it.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import helper

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph, attribute

MICROSOFT = "com.microsoft"
NBITS = (MICROSOFT, "MatMulNBits")
_BYTES = {"int4": np.int8, "uint4": np.uint8, "int2": np.int8, "uint2": np.uint8}


def rows_of_blocks(graph: OnnxGraph) -> None:
    """Give constant weights with scales for blocks the form that the importer knows (see the module text)."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if (node.domain, node.op_type) == NBITS:
            nodes += _product(node, graph)
        elif node.op_type == "DequantizeLinear" and node.input[0] in graph.constants:
            nodes += _dequantized(node, graph)
        else:
            nodes.append(node)
    graph.nodes = nodes


def _dequantized(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    for name in node.input:
        array = graph.constants.get(name)
        if array is not None and array.dtype.name in _BYTES:
            graph.constants[name] = array.astype(_BYTES[array.dtype.name])
    size, array = attribute(node, "block_size", 0), graph.constants[node.input[0]]
    scale = graph.constants.get(node.input[1])
    if not size or scale is None:
        return [node]
    axis = attribute(node, "axis", 1) % array.ndim
    if array.shape[axis] % size:
        raise ModelError(f"DequantizeLinear {node.name or node.output[0]}: blocks of {size} do not divide the weights")
    zero_point = graph.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    blocks = array.shape[axis] // size
    grouped = array.reshape(*before, blocks, size, *after)
    rows = np.moveaxis(grouped, axis + 1, -1)
    write = _Writer(node, graph)
    value = write.rows(rows, scale, zero_point)
    order = [*range(axis + 1), len(rows.shape) - 1, *range(axis + 1, len(rows.shape) - 1)]
    if order != sorted(order):
        value = write.emit("Transpose", [value], perm=order)
    write.reshaped(value, array.shape, node.output[0])
    return write.nodes


def _product(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    """`MatMulNBits`: weights [N, blocks, bytes] whose numbers lie in bytes, the first one in the lowest bits."""
    title = f"MatMulNBits {node.name or node.output[0]}"
    inputs = [*node.input, *[""] * 6][:6]
    packed, scale = (graph.constants.get(name) for name in inputs[1:3])
    bits, size = attribute(node, "bits", 4), attribute(node, "block_size", 0)
    inputs_count, columns = attribute(node, "K", 0), attribute(node, "N", 0)
    zero_points = graph.constants.get(inputs[3]) if inputs[3] else None
    if packed is None or scale is None or (inputs[3] and zero_points is None):
        raise ModelError(f"{title}: weights, scales and zero points must be constants")
    if inputs[4] or bits not in (2, 4, 8):
        raise ModelError(
            f"{title}: of {bits} bits{' with reordered inputs (g_idx)' if inputs[4] else ''} is not supported"
        )
    blocks = math.ceil(inputs_count / size)
    values = _unpacked(packed.reshape(columns, blocks, -1), bits)[:, :, :size]
    if zero_points is None:
        zeros = np.full((columns, blocks), 1 << (bits - 1), np.uint8)
    elif zero_points.dtype == np.uint8:
        zeros = _unpacked(zero_points.reshape(columns, -1), bits)[:, :blocks]
    else:
        zeros = zero_points.reshape(columns, blocks)
    write = _Writer(node, graph)
    if zeros.dtype != np.uint8 or inputs_count % size:  # of fractions, or with a last block that is not whole
        wide = values.astype(np.float32) - zeros.astype(np.float32)[:, :, None]
        wide = wide * scale.reshape(columns, blocks, 1).astype(np.float32)
        weights = write.constant(wide.reshape(columns, -1)[:, :inputs_count].T.astype(scale.dtype))
    else:
        rows = write.rows(values, scale.reshape(columns, blocks), zeros)
        weights = write.emit("Transpose", [write.reshaped(rows, (columns, inputs_count))], perm=[1, 0])
    bias = inputs[5]
    product = write.emit("MatMul", [inputs[0], weights], "" if bias else node.output[0])
    if bias:
        write.emit("Add", [product, bias], node.output[0])
    return write.nodes


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """The numbers in the bytes of the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.asarray(numbers.reshape(*packed.shape[:-1], -1))


class _Writer:
    """Nodes in the place of one."""

    def __init__(self, node: onnx.NodeProto, graph: OnnxGraph) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._name, self._graph = node.output[0], graph
        self._count = 0

    def rows(self, values: np.ndarray, scales: np.ndarray, zero_points: np.ndarray | None) -> str:
        """The numbers of blocks along the last axis, each block with its scale."""
        flat = [self.constant(values.reshape(-1, values.shape[-1])), self.constant(scales.reshape(-1))]
        if zero_points is not None:
            flat.append(self.constant(zero_points.reshape(-1).astype(values.dtype)))
        return self.reshaped(self.emit("DequantizeLinear", flat, axis=0), values.shape)

    def reshaped(self, name: str, shape: tuple[int, ...], result: str = "") -> str:
        return self.emit("Reshape", [name, self.constant(np.array(shape, np.int64))], result)

    def constant(self, array: np.ndarray) -> str:
        name = self._fresh()
        self._graph.constants[name] = np.ascontiguousarray(array)
        return name

    def emit(self, operator: str, inputs: list[str], result: str = "", **attributes: object) -> str:
        name = result or self._fresh()
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._name}_blocks_{self._count}"
