"""Graphs of operators in networkx form, and the models that they describe.

The form of a graph (`networkx.DiGraph`, or `MultiDiGraph` where a node reads one value twice):

=============  ===========================================================================================
on a node      meaning
=============  ===========================================================================================
`op`           an ONNX operator (`Conv`, `MatMul`, `Gelu`, ...), a usual other name for one (`conv2d`, `bn`, `linear`,
               `relu`, ... see `ALIASES`), or `Input` or `Constant`
`attributes`   of the operator, as ONNX defines them: `{"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}`; optional
`shape`        of an `Input`: its static sizes
`dtype`        of an `Input`: NumPy's name of its element type; `float32` unless given
`value`        of a `Constant`: its array
`output`       true where the node's value is a result of the graph; nodes whose value nobody reads are results anyway
=============  ===========================================================================================

An edge goes from the node that makes a value to the one that reads it. `position` says which input of the reader it is
(by default the edges of a node count from 0 in the order in which they were added), `index` which output of the maker
(by default the first).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Any

import networkx
import numpy as np
import onnx
from onnx import helper, numpy_helper

from flextune.errors import ModelError
from flextune.importing.model import Model, model_from_proto
from flextune.importing.operators import supported_operators
from flextune.registry import nearest

OPSET = 20
INPUT, CONSTANT = "Input", "Constant"
ALIASES: Mapping[str, str] = {
    "conv": "Conv",
    "conv2d": "Conv",
    "bn": "BatchNormalization",
    "batchnorm": "BatchNormalization",
    "batch_norm": "BatchNormalization",
    "matmul": "MatMul",
    "linear": "Gemm",
    "gemm": "Gemm",
    "layernorm": "LayerNormalization",
    "layer_norm": "LayerNormalization",
    "scale": "Mul",
    "bias": "Add",
    "maxpool": "MaxPool",
    "max_pool": "MaxPool",
    "avgpool": "AveragePool",
    "avg_pool": "AveragePool",
    "input": INPUT,
    "placeholder": INPUT,
    "constant": CONSTANT,
    "weight": CONSTANT,
}


def model_of_graph(graph: networkx.DiGraph, name: str = "graph") -> Model:
    """The model that a graph describes. ModelError that names the node for whatever cannot be read."""
    if not graph.is_directed():
        raise ModelError(f"{name}: expected a directed graph (networkx.DiGraph), got {type(graph).__name__}")
    if not graph:
        raise ModelError(f"{name}: the graph has no nodes")
    order = _ordered(graph, name)
    names = _names(order)
    operators = {node: operator_of(graph.nodes[node], names[node], name) for node in order}
    made = _outputs_made(graph)
    nodes, inputs, constants = [], [], []
    for node in order:
        if operators[node] == INPUT:
            inputs.append(_input(graph.nodes[node], names[node], name))
        elif operators[node] == CONSTANT:
            constants.append(_constant(graph.nodes[node], names[node], name))
        else:
            outputs = [_value(names[node], index) for index in range(made[node])]
            read = _inputs_of(graph, node, names, name)
            nodes.append(_node(operators[node], read, outputs, graph.nodes[node], names[node], name))
    results = [
        names[node]
        for node in order
        if operators[node] not in (INPUT, CONSTANT) and (graph.nodes[node].get("output") or not graph.out_degree(node))
    ]
    if not results:
        raise ModelError(f"{name}: nothing is computed: there is no node beside inputs and constants")
    return model_from_proto(_proto(nodes, inputs, constants, results, name), name)


def operator_of(attributes: Mapping[str, Any], node: str, name: str) -> str:
    """The ONNX operator of a node. ModelError with the nearest name for an unknown one."""
    given = attributes.get("op", attributes.get("op_type"))
    if given is None:
        raise ModelError(f"{name}: node {node!r} has no `op`; give an ONNX operator, Input or Constant")
    known = (*sorted(supported_operators()), INPUT, CONSTANT)
    by_lower = {each.lower(): each for each in known} | dict(ALIASES)
    if str(given) in known:
        return str(given)
    if str(given).lower() not in by_lower:
        near = nearest(str(given), known).rpartition("; ")[2]
        hint = near if near.startswith("did you mean") else "see https://onnx.ai/onnx/operators"
        raise ModelError(f"{name}: node {node!r} has an unknown operator {given!r}; {hint}")
    return by_lower[str(given).lower()]


def _ordered(graph: networkx.DiGraph, name: str) -> list[Hashable]:
    try:
        return list(networkx.topological_sort(graph))
    except networkx.NetworkXUnfeasible as error:
        cycle = " -> ".join(str(edge[0]) for edge in networkx.find_cycle(graph))
        raise ModelError(f"{name}: the graph has a cycle ({cycle} -> ...); a model has none") from error


def _names(order: list[Hashable]) -> dict[Hashable, str]:
    names = {node: str(node) for node in order}
    if len(set(names.values())) < len(names):
        names = {node: f"{node}_{number}" for number, node in enumerate(order)}
    return names


def _outputs_made(graph: networkx.DiGraph) -> dict[Hashable, int]:
    made: dict[Hashable, int] = defaultdict(lambda: 1)
    for node, _, edge in graph.edges(data=True):
        made[node] = max(made[node], int(edge.get("index", 0)) + 1)
    return made


def _inputs_of(graph: networkx.DiGraph, node: Hashable, names: Mapping[Hashable, str], name: str) -> list[str]:
    """Names of the values that a node reads; an optional input in between that is left out has none."""
    read: dict[int, str] = {}
    for source, _, edge in graph.in_edges(node, data=True):
        position = int(edge.get("position", len(read)))
        if position in read:
            raise ModelError(f"{name}: node {names[node]!r} has two inputs at position {position}")
        read[position] = _value(names[source], int(edge.get("index", 0)))
    return [read.get(position, "") for position in range(max(read, default=-1) + 1)]


def _value(node: str, index: int) -> str:
    return node if index == 0 else f"{node}:{index}"


def _input(attributes: Mapping[str, Any], node: str, name: str) -> onnx.ValueInfoProto:
    if "shape" not in attributes:
        raise ModelError(f"{name}: input {node!r} has no `shape`")
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(attributes.get("dtype", "float32")))
    return helper.make_tensor_value_info(node, dtype, [int(size) for size in attributes["shape"]])


def _constant(attributes: Mapping[str, Any], node: str, name: str) -> onnx.TensorProto:
    if "value" not in attributes:
        raise ModelError(f"{name}: constant {node!r} has no `value`")
    return numpy_helper.from_array(np.ascontiguousarray(attributes["value"]), node)


def _node(
    operator: str, inputs: list[str], outputs: list[str], attributes: Mapping[str, Any], node: str, name: str
) -> onnx.NodeProto:
    given = attributes.get("attributes") or {}
    try:
        return helper.make_node(operator, inputs, outputs, name=node, **given)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}: node {node!r} ({operator}): {error}") from error


def _proto(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
    results: list[str],
    name: str,
) -> onnx.ModelProto:
    outputs = [onnx.ValueInfoProto(name=result) for result in results]
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"{name}: {' '.join(str(error).split())}") from error
    del inferred.graph.value_info[:]
    return inferred
