"""Constants brought to the rank of the data they are combined with, so that a change of layout can follow both."""

from __future__ import annotations

import onnx

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import partial_shapes

BROADCASTING = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu", "Less", "Greater", "Equal", "Where"}
)


def full_rank_constants(graph: OnnxGraph) -> None:
    """Give constant operands of broadcasting nodes leading ones up to the data's rank.

    before: y = Mul(x[1,8,4,4], c[8,1,1])   -->   after: y = Mul(x[1,8,4,4], c'[1,8,1,1])
    """
    shapes = partial_shapes(graph)
    for node in graph.nodes:
        if node.op_type not in BROADCASTING:
            continue
        rank = max((len(shapes.get(name, ())) for name in node.input if name not in graph.constants), default=0)
        for position, name in enumerate(node.input):
            constant = graph.constants.get(name)
            if constant is not None and 1 <= constant.ndim < rank and constant.size > 1:
                _replace_input(node, position, rank, graph)


def _replace_input(node: onnx.NodeProto, position: int, rank: int, graph: OnnxGraph) -> None:
    constant = graph.constants[node.input[position]]
    name = graph.fresh_name(f"{node.input[position]}_rank{rank}")
    graph.constants[name] = constant.reshape((1,) * (rank - constant.ndim) + constant.shape)
    node.input[position] = name
