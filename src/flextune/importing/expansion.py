"""Functions replaced by their bodies: those that a model brings, and operators that ONNX itself defines by others."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx.inliner

from flextune.importing.function_bodies import FunctionBodies
from flextune.importing.onnx_graph import nested_graphs
from flextune.importing.operators import all_nodes, supported_operators

DOMAINS = ("", "ai.onnx", "ai.onnx.preview")
"""Of operators that ONNX defines by others."""

MOST_ROUNDS = 8
"""How deep definitions of operators are nested."""


def expand_functions(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own, and without operators that cannot be imported but can be spelt out.

    before: y = Swish(x)   -->   after: y = Mul(x, Sigmoid(Mul(alpha, x)))
    Operators without a definition by others stay as they are.
    """
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    imported = supported_operators()
    for _ in range(MOST_ROUNDS):
        if not any(_is_spelt_out(node, imported) for node in all_nodes(proto.graph)):
            return proto
        expanded = onnx.ModelProto()
        expanded.CopyFrom(proto)
        if not _expand(expanded.graph, FunctionBodies(proto), imported):
            return proto
        _add_domains(expanded)
        proto = expanded
    return proto


def _expand(graph: onnx.GraphProto, bodies: FunctionBodies, imported: frozenset[str]) -> bool:
    """Put bodies in place of nodes, in graphs inside of nodes too; whether there were any."""
    nodes, found = [], False
    for node in graph.node:
        for inner in nested_graphs(node):
            found = _expand(inner, bodies, imported) or found
        body = bodies.nodes_of(node) if _is_spelt_out(node, imported) else None
        found = found or body is not None
        nodes.extend([node] if body is None else body)
    if found:
        kept = [_copy(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return found


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


def _add_domains(proto: onnx.ModelProto) -> None:
    """Sets of operators that bodies use are among the imported ones."""
    present = {entry.domain for entry in proto.opset_import}
    for domain in sorted(_domains(all_nodes(proto.graph)) - present):
        proto.opset_import.append(onnx.helper.make_opsetid(domain, 1))


def _domains(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    return {node.domain for node in nodes} - {"", "ai.onnx"}


def _is_spelt_out(node: onnx.NodeProto, imported: frozenset[str]) -> bool:
    is_default = node.domain in ("", "ai.onnx")
    if node.domain not in DOMAINS or (is_default and node.op_type in imported):
        return False
    domain = "" if is_default else node.domain
    if not onnx.defs.has(node.op_type, domain):
        return False
    schema = onnx.defs.get_schema(node.op_type, domain=domain)
    return bool(schema.has_function or schema.has_context_dependent_function)
