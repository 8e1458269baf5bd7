"""`Pow` with a base and an exponent of different types, which the importer takes for one type."""

from __future__ import annotations

import onnx

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.element_types import element_types


def cast_exponents(graph: OnnxGraph) -> None:
    """Give the exponent of every `Pow` the type of its base, which is the type of the result (ONNX operators, "Pow").

    before: y = Pow(x: float32, n: int64)   -->   after: t = Cast(n, float32); y = Pow(x, t)
    Powers of integers go through float64, as in ONNX Runtime.
    """
    if not any(node.op_type == "Pow" for node in graph.nodes):
        return
    types = element_types(graph)
    rewritten = []
    for node in graph.nodes:
        pair = tuple(types.get(name, 0) for name in node.input) if node.op_type == "Pow" else (0, 0)
        if 0 in pair or (pair[0] == pair[1] and not _is_whole(pair[0])):
            rewritten.append(node)
        else:
            rewritten.extend(_of_one_type(node, pair[0], pair[1], graph))
    graph.nodes = rewritten


def _of_one_type(node: onnx.NodeProto, base: int, exponent: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    common = onnx.TensorProto.DOUBLE if _is_whole(base) else base
    sources, nodes = [], []
    for name, kind in zip(node.input, (base, exponent), strict=True):
        if kind == common:
            sources.append(name)
            continue
        sources.append(graph.fresh_name(f"{name}_cast"))
        nodes.append(onnx.helper.make_node("Cast", [name], [sources[-1]], to=common))
    if common == base:
        return [*nodes, onnx.helper.make_node("Pow", sources, list(node.output), name=node.name)]
    wide = graph.fresh_name(f"{node.output[0]}_wide")
    power = onnx.helper.make_node("Pow", sources, [wide], name=node.name)
    return [*nodes, power, onnx.helper.make_node("Cast", [wide], list(node.output), to=base)]


def _is_whole(kind: int) -> bool:
    return str(onnx.TensorProto.DataType.Name(kind)).startswith(("INT", "UINT"))
