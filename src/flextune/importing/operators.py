"""Which ONNX operators can be imported; every one that cannot is named, with its nodes, before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx
from tvm.relax.frontend.onnx import onnx_frontend

from flextune.errors import ModelError
from flextune.importing.onnx_graph import nested_graphs
from flextune.importing.simplify.block_weights import NBITS
from flextune.importing.simplify.fused import FUSED
from flextune.importing.simplify.quantized_operators import FORMS
from flextune.importing.simplify.spelling import SPELT_OUT
from flextune.importing.tensors import tensor_array

_MISREAD_DEFAULTS = {"STFT": {"onesided": 1}}
"""Attributes by operator that ONNX's inference takes for 0 where they are left out, and their defaults."""

CONTROL_FLOW = frozenset({"Constant", "If", "Loop", "Scan"})
"""Handled outside the importer's table of operators: graphs inside nodes become functions of their own."""

RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
"""Loops before the importer sees them, or refused with the reason."""

MISREAD = frozenset({"Attention", "SequenceErase", "SequenceInsert"})
"""Operators that the importer takes for something else: another set's of the same name, or of another order."""

PROCEDURES = frozenset(
    {"Compress", "Multinomial", "NonMaxSuppression", "NonZero", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike", "Unique"}
)
"""Ours, but no programs over tensors: functions in C (`flextune.compilers.procedures`). Not inside of other nodes."""

KNOWN = FORMS.keys() | FUSED.keys() | {NBITS}
"""Operators, with their domains, that are written by others before the importer sees them."""

MAX_NODES_LISTED = 8


def check_operators(proto: onnx.ModelProto, source: str) -> None:
    """Raise ModelError naming all operators that are not ours, each with the names of its nodes."""
    nodes_of = foreign_operators(proto)
    if not nodes_of:
        return
    lines = [f"  {operator}: {_listed(names)}" for operator, names in sorted(nodes_of.items())]
    raise ModelError(
        f"{source} uses {len(nodes_of)} operator(s) that cannot be imported:\n" + "\n".join(lines) + "\n"
        "Replace them in the model, or export it with only operators of the standard ONNX set."
    )


def is_procedure(node: onnx.NodeProto) -> bool:
    """Whether it is a function in C rather than a program over tensors."""
    return node.domain in ("", "ai.onnx") and node.op_type in PROCEDURES


def foreign_operators(proto: onnx.ModelProto) -> dict[str, list[str]]:
    """As `unsupported_operators`, of those that are no procedures."""
    return _unsupported(proto.graph, is_procedure)


def unsupported_operators(proto: onnx.ModelProto) -> dict[str, list[str]]:
    """Operator (with its domain unless it is the default one) -> names of the nodes that use it."""
    return _unsupported(proto.graph, lambda _: False)


def _unsupported(graph: onnx.GraphProto, is_known: Callable[[onnx.NodeProto], bool]) -> dict[str, list[str]]:
    """Without those of the graph's own nodes that are known."""
    supported = supported_operators()
    found: dict[str, list[str]] = {}
    nodes = ((each, each is node and is_known(node)) for node in graph.node for each in _with_inner(node))
    for number, (node, known) in enumerate(nodes):
        if known:
            continue
        is_default = node.domain in ("", "ai.onnx")
        if (is_default and node.op_type in supported) or (node.domain, node.op_type) in KNOWN:
            continue
        operator = node.op_type if is_default else f"{node.domain}::{node.op_type}"
        found.setdefault(operator, []).append(node.name or f"#{number} (writes {', '.join(node.output)})")
    return found


def supported_operators() -> frozenset[str]:
    """Operators of the default domain that the importer knows, or what is before it."""
    spelt_out = frozenset(name for domain, name in KNOWN if not domain) | SPELT_OUT.keys()
    return (frozenset(onnx_frontend._get_convert_map()) | CONTROL_FLOW | RECURRENT | spelt_out) - MISREAD


def state_defaults(graph: onnx.GraphProto) -> None:
    """Write out the attributes whose defaults ONNX's inference gets wrong, so that everybody finds the same shapes."""
    for node in all_nodes(graph):
        stated = {attribute.name for attribute in node.attribute}
        for name, default in _MISREAD_DEFAULTS.get(node.op_type, {}).items():
            if node.domain in ("", "ai.onnx") and name not in stated:
                node.attribute.append(onnx.helper.make_attribute(name, default))


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs inside of them."""
    for node in graph.node:
        yield from _with_inner(node)


def _with_inner(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """A node, and those of all graphs inside of it."""
    yield node
    for inner in nested_graphs(node):
        yield from all_nodes(inner)


def refuse_random(proto: onnx.ModelProto, source: str) -> None:
    """Raise ModelError for a `Dropout` that drops: nobody can say what comes out of it."""
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Dropout" or node.domain not in ("", "ai.onnx") or len(node.input) < 3:
            continue
        ratio, mode = (constants.get(name) for name in node.input[1:3])
        drops = ratio is None or tensor_array(ratio).any()
        if mode is not None and tensor_array(mode).any() and drops:
            raise ModelError(
                f"{source}: Dropout {node.name or node.output[0]} in training mode draws random numbers; "
                "export the model for inference"
            )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:MAX_NODES_LISTED])
    return shown if len(names) <= MAX_NODES_LISTED else f"{shown} and {len(names) - MAX_NODES_LISTED} more"
