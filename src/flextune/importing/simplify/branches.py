"""`If` whose condition is known: only the branch that is taken is left."""

from __future__ import annotations

import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import fold_constants, fold_shapes
from flextune.importing.tensors import tensor_array


def take_branches(graph: OnnxGraph) -> None:
    """Put the nodes of the branch that is taken in place of every `If` with a constant condition.

    before: y = If(c, then: {a = Relu(x)}, else: {...}), c constant and true   -->   after: a = Relu(x); y = Identity(a)
    """
    while any(node.op_type == "If" for node in graph.nodes):
        for fold in (fold_constants, fold_shapes, fold_constants):
            fold(graph)
        taken = [node for node in graph.nodes if node.op_type == "If" and node.input[0] in graph.constants]
        if not taken:
            return
        nodes: list[onnx.NodeProto] = []
        for node in graph.nodes:
            nodes.extend(_branch(node, graph) if node in taken else [node])
        graph.nodes = nodes


def _branch(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    name = "then_branch" if bool(graph.constants[node.input[0]].all()) else "else_branch"
    branch = next(entry.g for entry in node.attribute if entry.name == name)
    for tensor in branch.initializer:
        graph.constants[tensor.name] = tensor_array(tensor)
    if len(branch.output) != len(node.output):
        raise ModelError(
            f"model {graph.name!r}: If {node.name or node.output[0]} has {len(node.output)} outputs, its branch {name} "
            f"{len(branch.output)}"
        )
    results = zip(branch.output, node.output, strict=True)
    ends = [onnx.helper.make_node("Identity", [inner.name], [outer]) for inner, outer in results if outer]
    return [*branch.node, *ends]
