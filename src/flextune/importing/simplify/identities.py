"""Nodes that do nothing at inference, and n-ary nodes that are chains of binary ones."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph

CHAINS = {"Sum": "Add", "Max": "Max", "Min": "Min"}


def remove_identities(graph: OnnxGraph) -> None:
    """Drop `Identity` and inference-mode `Dropout`.

    before: y = Dropout(x); z = Relu(y)   -->   after: z = Relu(x)
    """
    outputs = graph.output_names()
    produced = {name for node in graph.nodes for name in node.output}
    kept = []
    for node in graph.nodes:
        if not _does_nothing(node, graph):
            kept.append(node)
            continue
        source, result = node.input[0], node.output[0]
        if result not in outputs:
            graph.replace_uses(result, source)
            _rename_reads(kept, result, source)
        elif source in produced and source not in outputs:
            _rename_producer(kept, source, result)
            graph.replace_uses(source, result)
        else:
            kept.append(onnx.helper.make_node("Identity", [source], [result], name=node.name))
    graph.nodes = kept


def split_variadic(graph: OnnxGraph) -> None:
    """Turn n-ary `Sum`, `Max`, `Min` into chains of binary nodes (the importer would stack all operands).

    before: y = Sum(a, b, c)   -->   after: t = Add(a, b); y = Add(t, c)
    """
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        binary = CHAINS.get(node.op_type)
        if binary is None or (binary == node.op_type and len(node.input) == 2):
            rewritten.append(node)
        elif len(node.input) == 1:
            rewritten.append(onnx.helper.make_node("Identity", list(node.input), list(node.output), name=node.name))
        else:
            rewritten.extend(_chain(node, binary, graph))
    graph.nodes = rewritten


def _chain(node: onnx.NodeProto, binary: str, graph: OnnxGraph) -> list[onnx.NodeProto]:
    nodes, left = [], node.input[0]
    for position, right in enumerate(node.input[1:], start=1):
        is_last = position == len(node.input) - 1
        result = node.output[0] if is_last else graph.fresh_name(f"{node.output[0]}_part{position}")
        nodes.append(onnx.helper.make_node(binary, [left, right], [result], name=f"{node.name}_{position}"))
        left = result
    return nodes


def _does_nothing(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    if node.op_type == "Identity":
        return True
    if node.op_type != "Dropout":
        return False
    mask_used = len(node.output) > 1 and node.output[1] and graph.use_counts()[node.output[1]] > 0
    return not mask_used and not is_training(node, graph)


def is_training(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    if len(node.input) < 3 or not node.input[2]:
        return False
    mode = graph.constants.get(node.input[2])
    return mode is None or bool(np.any(mode))


def _rename_producer(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for position, name in enumerate(node.output):
            if name == old:
                node.output[position] = new


def _rename_reads(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new
