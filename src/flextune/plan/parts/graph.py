"""A model on its way to being cut: plain nodes, constants apart, and what is known of every value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import onnx
from onnx import numpy_helper

from flextune.importing.model import Model
from flextune.importing.onnx_graph import MIN_IR_VERSION, OnnxGraph, names_read
from flextune.importing.operators import is_procedure
from flextune.importing.order import sort_nodes
from flextune.importing.shapes.tracker import track_shapes
from flextune.importing.simplify.branches import take_branches
from flextune.importing.simplify.constants import fold_constants, fold_shapes
from flextune.importing.types import spec_of
from flextune.importing.values import UNKNOWN, ValueSpec
from flextune.plan.parts.known_sizes import KnownSizes, state_shape

Types = Mapping[str, onnx.TypeProto]
Inference = Callable[[onnx.ModelProto], Types]
"""The types of all values of a model whose large constants are inputs, as far as they can be known."""

LARGE_ELEMENTS = 1024
"""Constants of more elements decide no shapes."""

_ROUNDS = 16
"""Of folding: a chain of shapes takes two or three."""


@dataclass(frozen=True, slots=True, eq=False)
class PartedGraph:
    """A model as it is cut. Outputs are written by nodes; nothing that depends on constants alone is a node."""

    model: Model
    """What it was made of."""
    nodes: tuple[onnx.NodeProto, ...]
    """In topological order."""
    constants: Mapping[str, onnx.TensorProto]
    """Initializers, and what was computed from them."""
    types: Types
    """Of inputs, and of what nodes write, as far as they are known."""
    opsets: tuple[onnx.OperatorSetIdProto, ...]
    """Versions of the operator sets."""
    values: frozenset[str]
    """Names of the inputs and of what nodes write."""
    sizes: KnownSizes | None = None
    """Of a model with ranges of sizes, or with some that values decide, what is known of them."""
    arithmetic: tuple[onnx.NodeProto, ...] = ()
    """Nodes that compute nothing but sizes, in order: each part that reads such has them as its own."""
    _size_writers: Mapping[str, int] = field(init=False, repr=False)
    """By the names of what these write, their places among them."""

    def __post_init__(self) -> None:
        writers = {name: place for place, node in enumerate(self.arithmetic) for name in node.output if name}
        object.__setattr__(self, "_size_writers", writers)

    def spec(self, name: str) -> ValueSpec:
        """What is known of a value; one of which nothing is known has the type `unknown()`."""
        found = None if self.sizes is None else self.sizes.spec(name)
        return found or spec_of(name, self.types.get(name, onnx.TypeProto()))

    def inputs_of_node(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """What a node reads that is no constant, also inside of its own graphs, and for the sizes that it needs."""
        return tuple(name for name in dict.fromkeys(self._read_by([node])) if name in self.values)

    def _read_by(self, nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
        """What nodes read, and what the nodes read that compute their sizes."""
        for node in nodes:
            yield from names_read(node)
            for needed in self._arithmetic_for([node]):
                yield from names_read(needed)

    def _arithmetic_for(self, nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """The nodes that compute the sizes which nodes read, in order."""
        waiting = [name for node in nodes for name in names_read(node)]
        places: set[int] = set()
        while waiting:
            place = self._size_writers.get(waiting.pop())
            if place is not None and place not in places:
                places.add(place)
                waiting += names_read(self.arithmetic[place])
        return [self.arithmetic[place] for place in sorted(places)]

    @property
    def reads(self) -> list[set[int]]:
        """The nodes that each node reads from."""
        writers = {name: index for index, node in enumerate(self.nodes) for name in node.output if name}
        return [{writers[name] for name in self._read_by([node]) if name in writers} for node in self.nodes]

    def inputs_of(self, nodes: Collection[int]) -> tuple[str, ...]:
        """What these nodes read that is no constant and that none of them writes, in the order it is read."""
        written = {name for index in nodes for name in self.nodes[index].output}
        read = self._read_by(self.nodes[index] for index in sorted(nodes))
        return tuple(name for name in dict.fromkeys(read) if name in self.values and name not in written)

    def outputs_of(self, nodes: Collection[int]) -> tuple[str, ...]:
        """What these nodes write that the model gives or others read, in the order it is written."""
        others = (node for index, node in enumerate(self.nodes) if index not in nodes)
        needed = set(self._read_by(others)) | set(self.model.outputs)
        written = (name for index in sorted(nodes) for name in self.nodes[index].output)
        return tuple(name for name in written if name and name in needed)

    def part(self, nodes: Collection[int], name: str) -> Model:
        """These nodes as a model, with the constants that they read; all of them are the model itself, by its name."""
        chosen = [self.nodes[index] for index in sorted(nodes)]
        inputs, outputs = self.inputs_of(nodes), self.outputs_of(nodes)
        if len(chosen) == len(self.nodes):
            name, inputs, outputs = self.model.name, tuple(spec.name for spec in self.model.inputs), self.model.outputs
        chosen = _in_order([*self._arithmetic_for(chosen), *chosen])
        read = dict.fromkeys(name for node in chosen for name in names_read(node))
        constants = [self.constants[name] for name in read if name in self.constants]
        ports = [[self._value(name) for name in names] for names in (inputs, outputs)]
        graph = onnx.helper.make_graph(chosen, name, *ports, constants)
        proto = onnx.helper.make_model(graph, opset_imports=self.opsets, ir_version=self._ir_version)
        if self.sizes is None:
            return Model(name, proto, tuple(map(self.spec, inputs)), outputs)
        return self._with_own_sizes(Model(name, proto, tuple(map(self.spec, inputs)), outputs), self.sizes)

    @staticmethod
    def _with_own_sizes(model: Model, known: KnownSizes) -> Model:
        """A part whose sizes are named by the axes of its inputs."""
        if any(not spec.is_numeric or (UNKNOWN in spec.shape and not spec.sizes) for spec in model.inputs):
            return model  # for another runtime, which reads no names of sizes
        shapes, dims = known.own_sizes([spec.name for spec in model.inputs])
        for value in model.proto.graph.input:
            state_shape(value, shapes[value.name])
        inputs = tuple(ValueSpec.symbolic(spec.name, shapes[spec.name], spec.dtype) for spec in model.inputs)
        return replace(model, inputs=inputs, dims=dims)

    @property
    def _ir_version(self) -> int:
        return max(MIN_IR_VERSION, int(self.model.proto.ir_version))

    def _value(self, name: str) -> onnx.ValueInfoProto:
        value = onnx.ValueInfoProto(name=name)
        if name in self.types:
            value.type.CopyFrom(self.types[name])
        return value


def parted_graph(model: Model, inference: Inference) -> PartedGraph:
    """The model with its constants folded and the types of its values, as ONNX and `inference` find them."""
    graph = OnnxGraph.of(model.proto)
    _fold(graph)
    _write_constant_outputs(graph)
    given = {tensor.name: tensor for tensor in model.proto.graph.initializer}
    used = graph.use_counts()
    constants = {
        name: given.get(name) or numpy_helper.from_array(array, name)
        for name, array in graph.constants.items()
        if used[name]
    }
    known = _known_sizes(model, graph)
    plain = [known is None or not known.is_arithmetic(node, model.outputs) for node in graph.nodes]
    nodes = [node for node, computes in zip(graph.nodes, plain, strict=True) if computes]
    sizes = tuple(node for node, computes in zip(graph.nodes, plain, strict=True) if not computes)
    opsets = (onnx.helper.make_opsetid("", graph.opset), *graph.domains)
    values = {value.name for value in graph.inputs} | {name for node in nodes for name in node.output if name}
    types = _types(graph, inference)
    return PartedGraph(model, tuple(nodes), constants, types, opsets, frozenset(values), known, sizes)


def _known_sizes(model: Model, graph: OnnxGraph) -> KnownSizes | None:
    """Of a model in which sizes may be anything but numbers."""
    if not model.dims and not any(map(is_procedure, graph.nodes)):
        return None
    table = track_shapes(graph.skeleton(LARGE_ELEMENTS), {dim.name: dim for dim in model.dims})
    return KnownSizes(table) if model.dims or table.decided else None


def _in_order(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Each after what it reads: those that compute sizes are among the others."""
    graph = onnx.GraphProto(node=nodes)
    sort_nodes(graph, "a part")
    return list(graph.node)


def output_specs(model: Model, inference: Inference) -> tuple[ValueSpec, ...]:
    """What is known of a model's outputs."""
    graph = parted_graph(model, inference)
    return tuple(map(graph.spec, model.outputs))


def _fold(graph: OnnxGraph) -> None:
    """Compute what depends on constants and on known shapes alone."""
    for _ in range(_ROUNDS):
        before = len(graph.nodes)
        for change in (take_branches, fold_constants, fold_shapes):
            change(graph)
        if len(graph.nodes) == before:
            return


def _write_constant_outputs(graph: OnnxGraph) -> None:
    """Outputs that are constants become copies of them: an output is written by a node, or is an input."""
    for name in sorted(graph.output_names() & graph.constants.keys()):
        source = graph.fresh_name(name)
        graph.constants[source] = graph.constants.pop(name)
        graph.replace_uses(name, source)
        graph.nodes.append(onnx.helper.make_node("Identity", [source], [name], name=f"{name}_given"))


def _types(graph: OnnxGraph, inference: Inference) -> dict[str, onnx.TypeProto]:
    """What is found of shapes counts, not what the model declares of its outputs: memory is made for them."""
    proto = graph.skeleton(LARGE_ELEMENTS)
    for output in proto.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    found = [*inferred.value_info, *inferred.output]
    types = {value.name: value.type for value in found if value.type.WhichOneof("value")}
    types |= {value.name: value.type for value in graph.inputs}
    written = {name for node in graph.nodes for name in node.output if name}
    if all(name in types and spec_of(name, types[name]).is_static for name in written):
        return types
    static = {name: kind for name, kind in types.items() if spec_of(name, kind).is_static}
    return {**types, **inference(proto), **static, **{value.name: value.type for value in graph.inputs}}
