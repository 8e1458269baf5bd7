"""Operators that ONNX defines by others, replaced by these: with inputs that are left out, and with constant ones.

before: y = Attention(q, k, v, , pk, pv)   -->   after: the nodes of its body, which depend on what is given

The body of most such operators depends on the types of their inputs, which have to be known; ONNX's inliner knows
neither those of initializers nor inputs that are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from flextune.importing.inference import inferred_graph
from flextune.importing.onnx_graph import nested_graphs, opset_version
from flextune.importing.reading import without_large

Types = Mapping[str, onnx.TypeProto]


class FunctionBodies:
    """Writes the bodies of functions in the place of nodes of one model."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._opset = opset_version(proto)
        self._versions = {entry.domain: entry.version for entry in proto.opset_import}
        self._types = _types(proto)
        self._count = 0

    def nodes_of(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """What computes a node; None where ONNX has no body for it in the model's operator set."""
        body = self._body(node)
        if body is None:
            return None
        self._count += 1
        prefix = f"{next(filter(None, node.output))}_{node.op_type}{self._count}_"
        names = dict(zip(body.input, node.input, strict=False)) | dict.fromkeys(body.input[len(node.input) :], "")
        names |= {inner: outer for inner, outer in zip(body.output, node.output, strict=False) if outer}
        given = {entry.name: entry for entry in node.attribute}
        defaults = _defaults(node, self._version(node)) | {entry.name: entry for entry in body.attribute_proto}
        return [_instance(each, names, {**defaults, **given}, prefix) for each in body.node]

    def _version(self, node: onnx.NodeProto) -> int:
        return self._opset if node.domain in ("", "ai.onnx") else self._versions.get(node.domain, 1)

    def _body(self, node: onnx.NodeProto) -> onnx.FunctionProto | None:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if not onnx.defs.has(node.op_type, self._version(node), domain):
            return None
        schema = onnx.defs.get_schema(node.op_type, self._version(node), domain)
        if schema.has_function:
            version = _latest(schema.function_opset_versions, self._opset)
            content = schema.get_function_with_opset_version(version) if version else b""
        elif schema.has_context_dependent_function:
            version = _latest(schema.context_dependent_function_opset_versions, self._opset)
            types = [
                self._types.get(name, onnx.TypeProto()).SerializeToString() if name else b"" for name in node.input
            ]
            content = (
                schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), types)
                if version
                else b""
            )
        else:
            return None
        return onnx.FunctionProto.FromString(content) if content else None


def _latest(versions: list[int], opset: int) -> int:
    return max((version for version in versions if version <= opset), default=0)


def _types(proto: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    inferred = inferred_graph(without_large(proto), follow_values=False)
    found = {value.name: value.type for graph in _graphs(inferred) for value in _values(graph)}
    for tensor in proto.graph.initializer:
        found[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return found


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in nested_graphs(node):
            yield from _graphs(inner)


def _values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    yield from (*graph.input, *graph.value_info, *graph.output)


def _defaults(node: onnx.NodeProto, version: int) -> dict[str, onnx.AttributeProto]:
    schema = onnx.defs.get_schema(node.op_type, version, "" if node.domain == "ai.onnx" else node.domain)
    return {name: value.default_value for name, value in schema.attributes.items() if value.default_value.name}


def _instance(
    node: onnx.NodeProto, names: dict[str, str], given: Mapping[str, onnx.AttributeProto], prefix: str
) -> onnx.NodeProto:
    """A node of a body with the names and attributes of its use; `names` grows by those of its results."""
    made = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
    made.input.extend(names.get(name, f"{prefix}{name}") if name else "" for name in node.input)
    for name in node.output:
        if name:
            names.setdefault(name, f"{prefix}{name}")
    made.output.extend(names[name] if name else "" for name in node.output)
    made.name = f"{prefix}{node.name or (node.output[0] if node.output else node.op_type)}"
    for entry in node.attribute:
        used = _attribute(entry, names, given, prefix)
        if used is not None:
            made.attribute.append(used)
    return made


def _attribute(
    entry: onnx.AttributeProto, names: dict[str, str], given: Mapping[str, onnx.AttributeProto], prefix: str
) -> onnx.AttributeProto | None:
    """An attribute of a body's node: one that refers to one of the function is that, or nothing."""
    made = onnx.AttributeProto()
    if entry.ref_attr_name:
        if entry.ref_attr_name not in given:
            return None
        made.CopyFrom(given[entry.ref_attr_name])
        made.name = entry.name
        return made
    made.CopyFrom(entry)
    if entry.type == onnx.AttributeProto.GRAPH:
        made.g.CopyFrom(_inner(entry.g, names, given, prefix))
    return made


def _inner(
    graph: onnx.GraphProto, names: Mapping[str, str], given: Mapping[str, onnx.AttributeProto], prefix: str
) -> onnx.GraphProto:
    """A graph inside a body's node, whose own values get names that nothing outside has."""
    inside = dict(names)
    for value in graph.input:
        inside[value.name] = f"{prefix}{value.name}"
    for tensor in graph.initializer:
        inside[tensor.name] = f"{prefix}{tensor.name}"
    for name in (name for node in graph.node for name in node.output if name):
        inside[name] = f"{prefix}{name}"
    made = onnx.GraphProto()
    made.CopyFrom(graph)
    del made.node[:]
    made.node.extend(_instance(node, inside, given, prefix) for node in graph.node)
    for value in (*made.input, *made.output):
        value.name = inside.get(value.name, f"{prefix}{value.name}")
    for tensor in made.initializer:
        tensor.name = inside[tensor.name]
    return made
