"""`Loop`, `Scan` and `If` as regions: their graphs become graphs of their own that say what they read from outside.

A body is simplified by itself, as a model of the operator set that it was written in. What is carried from one
iteration to the next keeps its shape, and what is collected has a known number of slices: shapes are static.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph, attribute, nested_graphs
from flextune.importing.regions import UNLIMITED, LoopForm, Region
from flextune.importing.simplify.bodies import NodeWriter, Simplifier, add_region, tensor_value
from flextune.importing.simplify.constants import fold_constants, fold_shapes, static_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.tensors import tensor_array
from flextune.workload.dim_expr import Size

CONTROL = ("If", "Loop", "Scan")
OLDEST_SCAN = 9
"""Before, `Scan` had a batch and lengths of sequences."""


def separate_control_flow(graph: OnnxGraph, simplify: Simplifier) -> None:
    """Replace every `Loop`, `Scan` and `If` by a region. ModelError, which names it, for one that cannot be."""
    for node in [each for each in graph.nodes if each.op_type in CONTROL]:
        _fold(graph)
        written = _Control.of(node, graph, simplify).written()
        place = next(index for index, each in enumerate(graph.nodes) if each.output == node.output)
        graph.nodes = [*graph.nodes[:place], *written, *graph.nodes[place + 1 :]]


def _fold(graph: OnnxGraph) -> None:
    """Compute what depends on constants and shapes alone, until nothing is left of that."""
    before = len(graph.nodes) + 1
    while len(graph.nodes) < before:
        before = len(graph.nodes)
        for fold in (fold_constants, fold_shapes, fold_constants):
            fold(graph)


def free_names(graph: onnx.GraphProto) -> Iterator[str]:
    """What a graph inside a node reads from outside, also for the graphs inside it."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    for node in graph.node:
        yield from (name for name in node.input if name and name not in own)
        for inner in nested_graphs(node):
            yield from (name for name in free_names(inner) if name not in own)
    yield from (value.name for value in graph.output if value.name not in own)


@dataclass(frozen=True, slots=True)
class _Body:
    """A simplified body, and the types of its results."""

    graph: OnnxGraph
    results: tuple[onnx.ValueInfoProto, ...]


@dataclass(slots=True, eq=False)
class _Control:
    """A node of control flow, and what is written in its place."""

    node: onnx.NodeProto
    """The node."""
    graph: OnnxGraph
    """It is part of."""
    simplify: Simplifier
    """For the graphs inside of it."""
    shapes: dict[str, tuple[int, ...]]
    """Of values, by name."""
    types: dict[str, int]
    """Element types of values, by name (`TensorProto.DataType`)."""
    writer: NodeWriter
    """Of what takes its place."""

    @classmethod
    def of(cls, node: onnx.NodeProto, graph: OnnxGraph, simplify: Simplifier) -> _Control:
        stem = graph.fresh_name(next(filter(None, node.output)))
        return cls(node, graph, simplify, static_shapes(graph), element_types(graph), NodeWriter(graph, stem))

    def written(self) -> list[onnx.NodeProto]:
        """The nodes that stand for it."""
        {"If": self._branch, "Loop": self._loop, "Scan": self._scan}[self.node.op_type]()
        return self.writer.nodes

    def _branch(self) -> None:
        graphs = [self._attribute("then_branch"), self._attribute("else_branch")]
        read = self._read(graphs)
        then, otherwise = (self._body(each, [], read) for each in graphs)
        for one, other in zip(then.results, otherwise.results, strict=True):
            if one.type != other.type:
                raise self._refusal(f"gives {_text(one)} or {_text(other)}, and shapes are static")
        kinds = [tensor_value(name, *_kind(each)) for name, each in zip(self._names(), then.results, strict=True)]
        region = Region(None, (then.graph, otherwise.graph))
        self._add("branch", region, [self.node.input[0], *read], kinds)

    def _loop(self) -> None:
        body = self._attribute("body")
        count, enter, *initial = [*self.node.input, "", ""][: max(len(self.node.input), 2)]
        read = self._read([body])
        number, condition, *carried = [value.name for value in body.input]
        given = [tensor_value(number, onnx.TensorProto.INT64, []), *self._values(initial, carried)]
        found = self._body(body, given, read, {condition: np.array(True)})
        again = found.graph.constants.get(found.graph.outputs[0].name)
        limit, counted = self._limit(count)
        known = self.graph.constants.get(enter)
        if enter and known is not None and not known.all():
            limit = 0
        elif again is not None and not again.all():
            limit = min(limit, 1)
        guarded = again is None or bool(enter and known is None)
        numbered = any(number in node.input for node in found.graph.nodes) or number in found.graph.output_names()
        if not numbered:
            found.graph.inputs = [value for value in found.graph.inputs if value.name != number]
        if not guarded:
            found.graph.outputs = found.graph.outputs[1:]
        collected = found.results[1 + len(initial) :]
        if collected and (counted or guarded or not 0 < limit < UNLIMITED):
            raise self._refusal("collects slices whose number is not known when the model is built")
        self._check_carried(initial, found.results[1 : 1 + len(initial)])
        form = LoopForm(limit, counted, guarded, numbered, len(initial), collected=(False,) * len(collected))
        inputs = [count] if counted else []
        if guarded:
            inputs.append(enter or self.writer.constant(np.array(True)))
        self._finish_loop(form, found, [*inputs, *initial, *read], collected)

    def _scan(self) -> None:
        if self.graph.opset < OLDEST_SCAN:
            raise self._refusal(f"of operator set {self.graph.opset} is not supported")
        body = self._attribute("body")
        scans = attribute(self.node, "num_scan_inputs", 0)
        states = len(self.node.input) - scans
        initial, scanned = list(self.node.input[:states]), list(self.node.input[states:])
        axes = attribute(self.node, "scan_input_axes", (0,) * scans)
        scanned = [self._first_axis(name, axis) for name, axis in zip(scanned, axes, strict=True)]
        shapes = [self._shape(name, axis) for name, axis in zip(self.node.input[states:], axes, strict=True)]
        lengths = {shape[0] for shape in shapes}
        if len(lengths) != 1 or 0 in lengths:
            raise self._refusal("scans tensors of different lengths, or empty ones")
        read = self._read([body])
        names = [value.name for value in body.input]
        slices = [
            tensor_value(name, self._type(whole), shape[1:])
            for name, whole, shape in zip(names[states:], self.node.input[states:], shapes, strict=True)
        ]
        found = self._body(body, [*self._values(initial, names[:states]), *slices], read)
        self._check_carried(initial, found.results[:states])
        collected = found.results[states:]
        directions = attribute(self.node, "scan_input_directions", (0,) * scans)
        out_directions = attribute(self.node, "scan_output_directions", (0,) * len(collected))
        form = LoopForm(
            lengths.pop(),
            carried=states,
            scanned=tuple(map(bool, directions)),
            collected=tuple(map(bool, out_directions)),
        )
        axes = attribute(self.node, "scan_output_axes", (0,) * len(collected))
        self._finish_loop(form, found, [*initial, *scanned, *read], collected, axes)

    def _finish_loop(
        self,
        form: LoopForm,
        body: _Body,
        inputs: Sequence[str],
        collected: Sequence[onnx.ValueInfoProto],
        axes: Sequence[int] = (),
    ) -> None:
        """Write the loop's node, and transposes behind it where slices are not along the first axis."""
        carried: list[tuple[int, Sequence[Size]]] = [
            _kind(each) for each in body.results[self._first_carried :][: form.carried]
        ]
        wholes: list[tuple[int, Sequence[Size]]] = [
            (kind, [form.limit, *shape]) for kind, shape in map(_kind, collected)
        ]
        results, behind = [], []
        for place, (name, kind) in enumerate(zip(self._names(), [*carried, *wholes], strict=True)):
            axis = axes[place - form.carried] if axes and place >= form.carried else 0
            axis %= max(len(kind[1]), 1)
            given = f"{self.writer.stem}_whole_{place}" if axis else name
            results.append(tensor_value(given, *kind))
            if axis:
                order = list(range(1, len(kind[1])))
                order.insert(axis, 0)
                behind.append((given, order, name))
        self._add("loop", Region(form, (body.graph,)), inputs, results)
        for given, order, name in behind:
            self.writer.node("Transpose", given, output=name, perm=order)

    @property
    def _first_carried(self) -> int:
        """Where what is carried begins among a body's results; the condition of a `Loop` is before it."""
        return int(self.node.op_type == "Loop")

    def _add(self, stem: str, region: Region, inputs: Sequence[str], results: Sequence[onnx.ValueInfoProto]) -> None:
        self.writer.nodes.append(add_region(self.graph, stem, region, inputs, results))

    def _names(self) -> list[str]:
        """Of the node's outputs; those that are left out get one."""
        return [name or f"{self.writer.stem}_unused_{place}" for place, name in enumerate(self.node.output)]

    def _attribute(self, name: str) -> onnx.GraphProto:
        return next(entry.g for entry in self.node.attribute if entry.name == name)

    def _limit(self, count: str) -> tuple[int, bool]:
        """The most iterations, and whether the number is computed."""
        if not count:
            return UNLIMITED, False
        known = self.graph.constants.get(count)
        return (UNLIMITED, True) if known is None else (max(int(known.reshape(-1)[0]), 0), False)

    def _read(self, graphs: Sequence[onnx.GraphProto]) -> list[str]:
        """What the graphs read from outside that is no constant, each once."""
        names = dict.fromkeys(name for graph in graphs for name in free_names(graph))
        return [name for name in names if name not in self.graph.constants]

    def _body(
        self,
        proto: onnx.GraphProto,
        given: Sequence[onnx.ValueInfoProto],
        read: Sequence[str],
        constants: dict[str, np.ndarray] | None = None,
    ) -> _Body:
        """A graph inside the node as one of its own, simplified: it takes what is given, then what is read."""
        own = {tensor.name: tensor_array(tensor) for tensor in proto.initializer}
        around = {name: array for name in free_names(proto) if (array := self.graph.constants.get(name)) is not None}
        nodes = []
        for node in proto.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            nodes.append(copied)
        body = OnnxGraph(
            nodes,
            own | around | (constants or {}),
            [*given, *self._values(read, read)],
            [_without_shape(value) for value in proto.output],
            self.graph.opset,
            proto.name or self.node.op_type,
        )
        self.simplify(body)
        shapes, types = static_shapes(body), element_types(body)
        results = []
        for value in body.outputs:
            if value.name not in shapes or value.name not in types:
                raise self._refusal(f"gives {value.name!r}, whose shape is not known when the model is built")
            results.append(tensor_value(value.name, types[value.name], shapes[value.name]))
        body.outputs = list(results)
        return _Body(body, tuple(results))

    def _values(self, names: Sequence[str], inside: Sequence[str]) -> list[onnx.ValueInfoProto]:
        """Values of the graph with the names that they have inside."""
        return [
            tensor_value(inner, self._type(name), self._shape(name)) for name, inner in zip(names, inside, strict=True)
        ]

    def _shape(self, name: str, axis: int = 0) -> tuple[int, ...]:
        """The shape of a value, with one of its axes first."""
        if name not in self.shapes:
            raise self._refusal(f"reads {name!r}, whose shape is not known when the model is built")
        shape = list(self.shapes[name])
        return (shape.pop(axis), *shape) if axis else tuple(shape)

    def _type(self, name: str) -> int:
        if name not in self.types:
            raise self._refusal(f"reads {name!r}, which is no tensor")
        return self.types[name]

    def _first_axis(self, name: str, axis: int) -> str:
        """The value with an axis brought to the front."""
        axis %= len(self._shape(name))
        if axis == 0:
            return name
        rank = len(self._shape(name))
        return self.writer.node("Transpose", name, perm=[axis, *(each for each in range(rank) if each != axis)])

    def _check_carried(self, initial: Sequence[str], results: Sequence[onnx.ValueInfoProto]) -> None:
        for name, result in zip(initial, results, strict=True):
            before = tensor_value(result.name, self._type(name), self._shape(name))
            if before.type != result.type:
                raise self._refusal(f"carries {_text(before)} on as {_text(result)}, and shapes are static")

    def _refusal(self, what: str) -> ModelError:
        name = self.node.name or next(filter(None, self.node.output))
        return ModelError(f"model {self.graph.name!r} cannot be run as it is: {self.node.op_type} {name!r} {what}")


def _without_shape(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The value with the element type that it says it has; its shape follows from the nodes."""
    kind = onnx.TypeProto()
    if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type:
        kind.tensor_type.elem_type = value.type.tensor_type.elem_type
    return onnx.helper.make_value_info(value.name, kind)


def _kind(value: onnx.ValueInfoProto) -> tuple[int, list[int]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [dim.dim_value for dim in tensor.shape.dim]


def _text(value: onnx.ValueInfoProto) -> str:
    kind, shape = _kind(value)
    return f"{value.name}: {str(onnx.TensorProto.DataType.Name(kind)).lower()}[{', '.join(map(str, shape))}]"
