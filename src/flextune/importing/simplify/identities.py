"""Nodes that do nothing at inference, and n-ary nodes that are chains of binary ones."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, rename_reads

WIDEST = 64
"""Operands of a concatenation."""

CHAINS = {"Sum": "Add", "Max": "Max", "Min": "Min"}


def remove_identities(graph: OnnxGraph) -> None:
    """Drop `Identity` and inference-mode `Dropout`.

    before: y = Dropout(x); z = Relu(y)   -->   after: z = Relu(x)
    """
    outputs = graph.output_names()
    produced = {name for node in graph.nodes for name in node.output}
    kept: list[onnx.NodeProto] = []
    names: dict[str, str] = {}
    for node in graph.nodes:
        rename_reads(node, names)
        if not _does_nothing(node, graph):
            kept.append(node)
            continue
        source, result = node.input[0], node.output[0]
        if result not in outputs:
            names[result] = source
        elif source in produced and source not in outputs:
            _rename_producer(kept, source, result)
            if source in graph.known:
                graph.known[result] = _renamed(graph.known.pop(source), result)
            names |= {old: result for old, new in names.items() if new == source} | {source: result}
            for earlier in kept:
                rename_reads(earlier, {source: result})
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


def narrow_concatenations(graph: OnnxGraph) -> None:
    """Join very many operands in several steps: what works over all of them at once goes as deep as they are many.

    before: y = Concat(a1, ..., a5000)   -->   after: t1 = Concat(a1, ..., a64); ...; y = Concat(t1, ..., t79)
    """
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        while node.op_type == "Concat" and len(node.input) > WIDEST:
            parts = [list(node.input[first : first + WIDEST]) for first in range(0, len(node.input), WIDEST)]
            names = [graph.fresh_name(f"{node.output[0]}_part") for _ in parts]
            for part, name in zip(parts, names, strict=True):
                joined = onnx.helper.make_node("Concat", part, [name], name=name)
                joined.attribute.extend(node.attribute)
                rewritten.append(joined)
            node.input[:] = names
        rewritten.append(node)
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


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_value_info(name, value.type)


def _rename_producer(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for position, name in enumerate(node.output):
            if name == old:
                node.output[position] = new
