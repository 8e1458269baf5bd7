"""Divisions of whole numbers that end the process: by 0, and of the least number by -1. Neither does in NumPy."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.writer import Writer

SIGNED = frozenset(getattr(TensorProto, f"INT{bits}") for bits in (8, 16, 32, 64))
UNSIGNED = frozenset(getattr(TensorProto, f"UINT{bits}") for bits in (8, 16, 32, 64))


def safe_divisions(graph: OnnxGraph) -> None:
    """Divide whole numbers by what is no constant without 0 and -1 so that 0 comes out for 0, and -x for -1.

    before: y = Div(x: int32, d)   -->   after: y = Mul(Div(x, Where(d = 0 or d = -1, 1, d)), Where(d = 0, 0, ...))
    """
    if not any(_may_fail(node, graph) for node in graph.nodes):
        return
    types = element_types(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if _may_fail(node, graph) and types.get(node.input[0], 0) in SIGNED | UNSIGNED:
            write = Writer(graph, node, {}, types)
            _guarded(write, types[node.input[0]])
            nodes += write.nodes
        else:
            nodes.append(node)
    graph.nodes = nodes


def _may_fail(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    if node.op_type not in ("Div", "Mod") or node.domain not in ("", "ai.onnx"):
        return False
    divisor = graph.constants.get(node.input[1])
    return divisor is None or (divisor.dtype.kind in "iu" and bool(np.isin(divisor, (0, -1)).any()))


def _guarded(write: Writer, kind: int) -> None:
    dividend, divisor = write.input(0), write.input(1)
    zero, one = write.number(0), write.number(1)
    is_zero = write.emit("Equal", [divisor, zero])
    is_special, factor = is_zero, write.emit("Where", [is_zero, zero, one])
    if kind in SIGNED:
        minus = write.number(-1)
        is_minus = write.emit("Equal", [divisor, minus])
        is_special = write.emit("Or", [is_zero, is_minus])
        factor = write.emit("Where", [is_minus, minus, factor])
    safe = write.emit("Where", [is_special, one, divisor])
    plain = write.copied(write.node)
    plain.input[0], plain.input[1] = dividend, safe
    plain.output[0] = write.fresh()
    write.emit("Mul", [plain.output[0], factor], write.output(0))
