"""Functions replaced by their bodies: those that a model brings, and operators that ONNX itself defines by others."""

from __future__ import annotations

import onnx
import onnx.inliner

from flextune.importing.onnx_graph import opset_version
from flextune.importing.operators import all_nodes, supported_operators


def expand_functions(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own, and without operators that cannot be imported but can be spelt out.

    before: y = Swish(x)   -->   after: y = Mul(x, Sigmoid(Mul(alpha, x)))
    Operators without a definition by others stay as they are.
    """
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    imported = supported_operators()
    while names := {node.op_type for node in all_nodes(proto.graph) if _is_spelt_out(node, imported)}:
        identifiers = [("", name) for name in sorted(names)]
        proto = _with_defaults(proto, names)
        try:
            expanded = onnx.inliner.inline_selected_functions(proto, identifiers, inline_schema_functions=True)
        except RuntimeError:  # the inliner knows no inputs that are left out
            return proto
        if expanded == proto or {node.op_type for node in all_nodes(expanded.graph)} >= names:
            return expanded
        proto = expanded
    return proto


def _with_defaults(proto: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    """A copy in which these operators' attributes are written out: bodies of functions refer to them."""
    written = onnx.ModelProto()
    written.CopyFrom(proto)
    for node in all_nodes(written.graph):
        if node.op_type in names:
            present = {entry.name for entry in node.attribute}
            schema = onnx.defs.get_schema(node.op_type, opset_version(proto))
            defaults = (each.default_value for name, each in schema.attributes.items() if name not in present)
            node.attribute.extend(value for value in defaults if value.name)
    return written


def _is_spelt_out(node: onnx.NodeProto, imported: frozenset[str]) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type in imported or not onnx.defs.has(node.op_type):
        return False
    schema = onnx.defs.get_schema(node.op_type)
    return bool(schema.has_function or schema.has_context_dependent_function)
