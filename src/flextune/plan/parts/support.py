"""Which nodes of a graph are ours, and of the others why not: by their values, their operators, and by trying them.

What an operator's use comes to is known for sure only when it has been imported (or compiled). So where a part fails,
each of its nodes is tried alone, those that are equal once; and where all of them pass, the shortest beginning of the
part that fails ends with the node at fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence

import onnx

from flextune.importing.model import Model
from flextune.importing.operators import unsupported_operators
from flextune.plan.parts.graph import LARGE_ELEMENTS, PartedGraph

Trial = Callable[[Model], str]
"""Why a model is not ours, empty where it is."""

Reasons = Mapping[int, str]
"""Index of a node -> why it is not ours."""

_MOST_CHARACTERS = 300


def static_reasons(graph: PartedGraph) -> dict[int, str]:
    """What is known without trying: operators that nothing here imports, and values that have no static shape."""
    found = {index: _reason(node, graph) for index, node in enumerate(graph.nodes)}
    return {index: reason for index, reason in found.items() if reason}


def node_label(node: onnx.NodeProto) -> str:
    """`Conv stem`: the operator, and the node's name or what it writes.

    >>> node_label(onnx.helper.make_node("Inverse", ["x"], ["y"], domain="com.microsoft"))
    'com.microsoft::Inverse (writes y)'
    """
    operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
    return f"{operator} {node.name}" if node.name else f"{operator} (writes {', '.join(filter(None, node.output))})"


def culprits(graph: PartedGraph, nodes: Sequence[int], why: str, trial: Trial) -> dict[int, str]:
    """Which of the nodes are at fault that a part cannot be built, as `why` says; never empty."""
    alone = _failing_alone(graph, nodes, trial)
    return alone or _failing_together(graph, nodes, why, trial)


def _reason(node: onnx.NodeProto, graph: PartedGraph) -> str:
    lone = onnx.GraphProto(node=[node])
    if unknown := unsupported_operators(onnx.ModelProto(graph=lone)):
        inner = sorted(operator for operator in unknown if not node_label(node).startswith(f"{operator} "))
        return f"operator {', '.join(inner)} inside it is not supported" if inner else "operator not supported"
    for name in [*graph.inputs_of_node(node), *filter(None, node.output)]:
        spec = graph.spec(name)
        if not spec.is_numeric:
            return f"{spec} is no array of numbers" if name in graph.types else f"nothing is known of {name}"
        if not spec.is_static and not spec.sizes:
            return f"the shape of {spec} depends on values"
    decided = "" if graph.sizes is None else graph.sizes.decides(node, graph.inputs_of_node(node))
    return f"the size {decided} depends on values" if decided else ""


def _failing_alone(graph: PartedGraph, nodes: Sequence[int], trial: Trial) -> dict[int, str]:
    tried: dict[Hashable, str] = {}
    found: dict[int, str] = {}
    for index in nodes:
        key = _key(graph, index)
        if key not in tried:
            tried[key] = _shortened(trial(graph.part([index], "node")))
        if tried[key]:
            found[index] = tried[key]
    return found


def _failing_together(graph: PartedGraph, nodes: Sequence[int], why: str, trial: Trial) -> dict[int, str]:
    """The last node of the shortest beginning that fails; `nodes` as a whole fail."""
    passes, fails, reason = 0, len(nodes), why
    while fails - passes > 1:
        middle = (passes + fails) // 2
        said = trial(graph.part(nodes[:middle], "beginning"))
        passes, fails, reason = (passes, middle, said) if said else (middle, fails, reason)
    return {nodes[fails - 1]: _shortened(reason)}


def _key(graph: PartedGraph, index: int) -> Hashable:
    """Equal for nodes that are imported alike: names do not count, values of small constants do."""
    node = graph.nodes[index]
    attributes = tuple(sorted(entry.SerializeToString(deterministic=True) for entry in node.attribute))
    inputs = tuple(_input_key(graph, name) for name in (*node.input, *graph.inputs_of_node(node)))
    return node.domain, node.op_type, attributes, inputs, len(node.output)


def _input_key(graph: PartedGraph, name: str) -> Hashable:
    if name not in graph.constants:
        spec = graph.spec(name)
        return spec.axis_sizes, spec.dtype
    tensor = graph.constants[name]
    if math.prod(tensor.dims) > LARGE_ELEMENTS:
        return tensor.data_type, tuple(tensor.dims)
    plain = onnx.TensorProto()
    plain.CopyFrom(tensor)
    plain.name = ""
    return bytes(plain.SerializeToString(deterministic=True))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}..."
