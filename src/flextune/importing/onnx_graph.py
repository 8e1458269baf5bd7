"""A working form of an ONNX graph that rewriting is easy on: plain nodes plus constants as arrays.

ONNX keeps constants in four places (initializers, `Constant`, `ConstantOfShape`, default-valued inputs); here they
are one dictionary. Rules in `flextune.importing.simplify` change an `OnnxGraph` in place and never change its outputs'
names or what they compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np
import onnx
from onnx import numpy_helper

from flextune.importing.regions import Region
from flextune.importing.tensors import tensor_array

Value = TypeVar("Value", int, float, str, tuple[int, ...])

MIN_IR_VERSION = 8
"""From IR version 4 on initializers need not be listed among the inputs; 8 is what every current runtime reads."""


@dataclass(slots=True)
class OnnxGraph:
    """A graph as the simplification's passes change it, in place."""

    nodes: list[onnx.NodeProto]
    """In topological order."""
    constants: dict[str, np.ndarray]
    """By the name of their value, from wherever ONNX keeps them."""
    inputs: list[onnx.ValueInfoProto]
    """The model's inputs, without constants."""
    outputs: list[onnx.ValueInfoProto]
    """The model's outputs: their names must stay."""
    opset: int
    """The version of the default operator set."""
    name: str
    """The graph's name."""
    inner_opset: int = 0
    """That of graphs inside nodes, which stay as they were read; 0 for `opset`."""
    regions: dict[str, Region] = field(default_factory=dict)
    """Loops and branches, by the names that nodes refer to them by (`flextune.importing.regions`)."""
    known: dict[str, onnx.ValueInfoProto] = field(default_factory=dict)
    """Types of values that ONNX's inference cannot find: the results of regions."""
    domains: tuple[onnx.OperatorSetIdProto, ...] = ()
    """Versions of other operator sets than the default one."""
    _numbers: dict[str, int] = field(default_factory=dict, repr=False)
    _written: tuple[tuple[int, int], frozenset[str]] = field(default=((0, -1), frozenset()), repr=False)

    @classmethod
    def of(cls, proto: onnx.ModelProto) -> OnnxGraph:
        """Read a checked model, which stays as it is; initializers become constants and leave the inputs."""
        constants = {tensor.name: tensor_array(tensor) for tensor in proto.graph.initializer}
        return cls(
            nodes=[_copy(node) for node in proto.graph.node],
            constants=constants,
            inputs=[value for value in proto.graph.input if value.name not in constants],
            outputs=list(proto.graph.output),
            opset=opset_version(proto),
            inner_opset=opset_version(proto),
            name=proto.graph.name or "model",
            domains=tuple(entry for entry in proto.opset_import if entry.domain not in ("", "ai.onnx")),
        )

    def to_proto(self) -> onnx.ModelProto:
        """A model with every constant as an initializer; unused constants are left out."""
        used = self.use_counts()
        initializers = [numpy_helper.from_array(array, name) for name, array in self.constants.items() if used[name]]
        return self._proto(self.inputs, initializers)

    def skeleton(self, largest: int = 1024) -> onnx.ModelProto:
        """The model with constants of more than `largest` elements as typed inputs: small whatever the weights."""
        used = self.use_counts()
        small, typed = [], []
        for name, array in self.constants.items():
            if not used[name]:
                continue
            if array.size <= largest:
                small.append(numpy_helper.from_array(array, name))
            else:
                dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
                typed.append(onnx.helper.make_tensor_value_info(name, dtype, array.shape))
        return self._proto([*self.inputs, *typed], small)

    def _proto(self, inputs: Iterable[onnx.ValueInfoProto], initializers: list[onnx.TensorProto]) -> onnx.ModelProto:
        outputs = [self.known.get(value.name, value) for value in self.outputs]
        known = [value for name, value in self.known.items() if name not in self.output_names()]
        graph = onnx.helper.make_graph(self.nodes, self.name, list(inputs), outputs, initializers, value_info=known)
        others = sorted({node.domain for node in self.nodes} - {"", "ai.onnx"})
        opsets = [onnx.helper.make_opsetid("", self.opset), *(onnx.helper.make_opsetid(name, 1) for name in others)]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=MIN_IR_VERSION)

    def use_counts(self) -> Counter[str]:
        """How often each value is read: by nodes, by graphs nested in nodes, and as an output of the model."""
        counts = Counter(name for node in self.nodes for name in names_read(node))
        counts.update(value.name for value in self.outputs)
        return counts

    def output_names(self) -> frozenset[str]:
        """The names that must survive any rewrite."""
        return frozenset(value.name for value in self.outputs)

    def fresh_name(self, stem: str) -> str:
        """A value name nothing uses yet."""
        written, number = self._names_written(), self._numbers.get(stem, 0)
        while f"{stem}_{number}" in written or f"{stem}_{number}" in self.constants:
            number += 1
        self._numbers[stem] = number + 1
        return f"{stem}_{number}"

    def _names_written(self) -> frozenset[str]:
        """Inputs and results of nodes, collected anew where a pass has put other nodes in place."""
        state = (id(self.nodes), len(self.nodes))
        if state != self._written[0]:
            names = frozenset(name for node in self.nodes for name in node.output)
            self._written = (state, names | {value.name for value in self.inputs})
        return self._written[1]

    def replace_uses(self, old: str, new: str) -> None:
        """Let every node that reads `old` read `new` (nested graphs included)."""
        for node in self.nodes:
            rename_reads(node, {old: new})


def opset_version(proto: onnx.ModelProto) -> int:
    """The version of the default operator set (1 when the file does not say)."""
    return max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def attribute(node: onnx.NodeProto, name: str, default: Value) -> Value:
    """The value of a node's attribute, or `default`, whose type it has; lists come as tuples."""
    for entry in node.attribute:
        if entry.name == name:
            value = onnx.helper.get_attribute_value(entry)
            plain = value.decode() if isinstance(value, bytes) else value
            return cast(Value, tuple(plain) if isinstance(default, tuple) else plain)
    return default


def names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Every value a node reads, also from inside nested graphs (`If`, `Loop`, `Scan`)."""
    yield from (name for name in node.input if name)
    for graph in nested_graphs(node):
        for inner in graph.node:
            yield from names_read(inner)
        yield from (value.name for value in graph.output)


def nested_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs a control-flow node holds in its attributes."""
    for entry in node.attribute:
        if entry.type == onnx.AttributeProto.GRAPH:
            yield entry.g
        elif entry.type == onnx.AttributeProto.GRAPHS:
            yield from entry.graphs


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


def rename_reads(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Let a node, and the graphs inside it, read the values that others are called now."""
    for position, name in enumerate(node.input):
        if name in names:
            node.input[position] = names[name]
    for graph in nested_graphs(node):
        for inner in graph.node:
            rename_reads(inner, names)
        for value in graph.output:
            value.name = names.get(value.name, value.name)
