"""`LSTM`, `GRU` and `RNN` as loops: the products with the inputs of all steps are one, and one body does every step.

A step is a product with the state before it, and gates (ONNX operators, "LSTM", "GRU", "RNN"). Sequences that are
shorter than others leave the state as it is in the steps that they do not have: in the reverse direction these are the
first ones, so that nothing has to be turned around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.regions import LoopForm, Region
from flextune.importing.simplify.bodies import NodeWriter, Simplifier, add_region, tensor_value
from flextune.importing.simplify.cells import (
    GATES,
    STEPS,
    Activation,
    Cell,
    activations_of,
    clip_of,
    unknown_activations,
)
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.links import Shape
from flextune.importing.sized.nodes import sizes_of
from flextune.workload.dim_expr import Size

OLDEST_OPSET = 13
"""The sizes of `Split` are an input from here on."""

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Whether each of the directions runs from the last step to the first."""


def recurrent_loops(graph: OnnxGraph, simplify: Simplifier) -> None:
    """Replace recurrent nodes that have all that is needed; bodies are simplified by the function that is given."""
    if graph.opset < OLDEST_OPSET:
        return
    nodes = graph.nodes
    for node in [each for each in nodes if each.op_type in STEPS]:
        shape = static_shapes(graph).get(node.input[0], ())
        if not why_no_loop(node, graph, shape):
            written = _Layer.of(node, graph, *_steps_and_batch(node, shape)).written(simplify)
            place = graph.nodes.index(node)
            graph.nodes = [*graph.nodes[:place], *written, *graph.nodes[place + 1 :]]


def why_no_loop(node: onnx.NodeProto, graph: OnnxGraph, shape: Shape) -> str:
    """What is not supported about a recurrent node whose input has this shape; empty if nothing."""
    if graph.opset < OLDEST_OPSET:
        return f"is not supported in operator set {graph.opset}; convert the model to a newer one"
    if (len(shape) != 3 or 0 in shape) and not sizes_of(node):
        return "is not supported here: the shape of its input is not known, or is empty"
    if unknown := unknown_activations(node):
        return f"with the activation {unknown[0]} is not supported"
    return ""


def _steps_and_batch(node: onnx.NodeProto, shape: Shape) -> tuple[Size, Size]:
    """Of the input; sizes that are no numbers are written on the node."""
    if stated := sizes_of(node):
        steps, batch = (size if size.value is None else size.value for size in stated)
        return steps, batch
    return (shape[1], shape[0]) if attribute(node, "layout", 0) else (shape[0], shape[1])


@dataclass(slots=True, eq=False)
class _Layer:
    """A recurrent node, and what is written in its place."""

    node: onnx.NodeProto
    """The node."""
    graph: OnnxGraph
    """It is part of."""
    writer: NodeWriter
    """Of what takes its place."""
    inputs: Mapping[int, str]
    """Those that are there, by their positions."""
    steps: Size
    """Of the sequence."""
    batch: Size
    """Sequences."""
    hidden: int
    """Units."""
    kind: int
    """The element type of all values (`TensorProto.DataType`)."""
    batch_first: bool
    """Whether the first axis is the batch (ONNX: `layout`)."""

    @classmethod
    def of(cls, node: onnx.NodeProto, graph: OnnxGraph, steps: Size, batch: Size) -> _Layer:
        inputs = {place: name for place, name in enumerate(node.input) if name}
        batch_first = bool(attribute(node, "layout", 0))
        hidden = static_shapes(graph)[inputs[2]][2]
        kind = element_types(graph)[inputs[0]]
        stem = graph.fresh_name(next(filter(None, node.output)))
        return cls(node, graph, NodeWriter(graph, stem), inputs, steps, batch, hidden, kind, batch_first)

    def written(self, simplify: Simplifier) -> list[onnx.NodeProto]:
        """The nodes of all directions, and of the results put together: Y, Y_h and Y_c."""
        reverses = DIRECTIONS[attribute(self.node, "direction", "forward")]
        functions = activations_of(self.node, len(reverses))
        mask = self._mask()
        source = self.inputs[0]
        if self.batch_first:
            source = self.writer.node("Transpose", source, perm=[1, 0, 2])
        flat = source if self.is_symbolic else self.shaped(source, [self.steps * self.batch, -1])
        found = [
            self._direction(place, reverse, flat, mask, functions[place], simplify)
            for place, reverse in enumerate(reverses)
        ]
        for place, name in enumerate(self.node.output):
            if name:
                self._put_together([results[place] for results in found], place, name)
        return self.writer.nodes

    @property
    def is_symbolic(self) -> bool:
        """Whether steps or sequences are no number."""
        return not (isinstance(self.steps, int) and isinstance(self.batch, int))

    def shaped(self, name: str, sizes: Sequence[Size], result: str = "", kind: int | None = None) -> str:
        """The same elements in another shape."""
        numbers = [size for size in sizes if isinstance(size, int)]
        if len(numbers) == len(sizes):
            return self.writer.reshape(name, numbers, result)
        return self.writer.sized("ReshapeTo", [name], sizes, self.kind if kind is None else kind, result)

    @property
    def _dtype(self) -> np.dtype:
        dtype: np.dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.kind))
        return dtype

    def _mask(self) -> str:
        """Whether each sequence has each step [steps, batch, 1]; nothing where all of them have all."""
        lengths = self.graph.constants.get(self.inputs.get(4, ""))
        if 4 not in self.inputs or (lengths is not None and np.all(lengths == self.steps)):
            return ""
        present = self.writer.node("Less", self._numbers_of_steps(), self.inputs[4])
        return self.shaped(present, [self.steps, self.batch, 1], kind=onnx.TensorProto.BOOL)

    def _numbers_of_steps(self) -> str:
        """0, 1, 2, ... [steps, 1]."""
        if isinstance(self.steps, int):
            return self.writer.constant(np.arange(self.steps, dtype=np.int32)[:, None])
        numbers = self.writer.sized("Iota", [], [self.steps], onnx.TensorProto.INT64)
        column = self.shaped(numbers, [self.steps, 1], kind=onnx.TensorProto.INT64)
        return self.writer.node("Cast", column, to=onnx.TensorProto.INT32)

    def _of_direction(self, position: int, place: int, shape: Sequence[Size]) -> str:
        """The part of an input that is one direction's, in this shape."""
        name = self.inputs[position]
        constant = self.graph.constants.get(name)
        axis = 1 if self.batch_first and position in (5, 6) else 0
        if constant is not None:
            numbers = [int(size) for size in shape if isinstance(size, int)]  # all of them are, of a constant
            return self.writer.constant(np.ascontiguousarray(constant.take(place, axis)).reshape(numbers))
        if all(isinstance(size, int) for size in shape):
            index = self.writer.constant(np.array(place, np.int64))
            return self.shaped(self.writer.node("Gather", name, index, axis=axis), shape)
        index = self.writer.constant(np.array([place], np.int64))
        taken = self.writer.sized("TakeAt", [name, index], [*shape[:axis], 1, *shape[axis:]], self.kind, axis=axis)
        return self.shaped(taken, shape)

    def _transposed(self, name: str) -> str:
        if name in self.graph.constants:
            return self.writer.constant(np.ascontiguousarray(self.graph.constants[name].T))
        return self.writer.node("Transpose", name, perm=[1, 0])

    def _direction(
        self,
        place: int,
        reverse: bool,
        flat: str,
        mask: str,
        functions: tuple[Activation, ...],
        simplify: Simplifier,
    ) -> tuple[str, ...]:
        """All outputs [steps, batch, hidden] in order of time, and the last state."""
        loop = _Loop(self, mask, place)
        width = GATES[self.node.op_type] * self.hidden
        resets_product = self.node.op_type == "GRU" and bool(attribute(self.node, "linear_before_reset", 0))
        bias, state_bias = self._biases(place, width, resets_product)
        weights = self._transposed(self._of_direction(1, place, [width, -1]))
        products = self.writer.node("MatMul", flat, weights)
        products = self.writer.node("Add", products, bias) if bias else products
        scanned = products if self.is_symbolic else self.shaped(products, [self.steps, self.batch, width])
        state_weights = self._of_direction(2, place, [width, self.hidden])
        parts = [state_weights]
        if self.node.op_type == "GRU" and not resets_product:
            sizes = [2 * self.hidden, self.hidden]
            parts = self._rows(state_weights, sizes)
        cell = Cell(
            loop.writer,
            functions,
            self.hidden,
            self._dtype,
            [loop.read(self._transposed(part), [self.hidden, size]) for part, size in self._sizes(parts, width)],
            clip_of(self.node),
            self._peepholes(place, loop),
            loop.read(state_bias, [self.hidden]) if state_bias else "",
            bool(attribute(self.node, "input_forget", 0)),
        )
        return loop.written(cell, place, reverse, scanned, width, simplify)

    def _sizes(self, parts: list[str], width: int) -> list[tuple[str, int]]:
        sizes = [width] if len(parts) == 1 else [2 * self.hidden, self.hidden]
        return list(zip(parts, sizes, strict=True))

    def _rows(self, name: str, sizes: list[int]) -> list[str]:
        constant = self.graph.constants.get(name)
        if constant is None:
            return self.writer.split(name, sizes, 0)
        return [self.writer.constant(np.ascontiguousarray(part)) for part in np.split(constant, np.cumsum(sizes)[:-1])]

    def _biases(self, place: int, width: int, resets_product: bool) -> tuple[str, str]:
        """What is added to the products with inputs, and what to the candidate's product with the state.

        Both biases of ONNX are one, but for a candidate whose product with the state is reset.
        """
        if 3 not in self.inputs:
            return "", self.writer.constant(np.zeros(self.hidden, self._dtype)) if resets_product else ""
        of_input, of_state = self.writer.split(self._of_direction(3, place, [2 * width]), [width, width], 0)
        if not resets_product:
            return self.writer.node("Add", of_input, of_state), ""
        gates, candidate = self.writer.split(of_state, [2 * self.hidden, self.hidden], 0)
        nothing = self.writer.constant(np.zeros(self.hidden, self._dtype))
        added = self.writer.node("Concat", gates, nothing, axis=0)
        return self.writer.node("Add", of_input, added), candidate

    def _peepholes(self, place: int, loop: _Loop) -> tuple[str, ...]:
        if 7 not in self.inputs:
            return ()
        parts = self.writer.split(self._of_direction(7, place, [3 * self.hidden]), [self.hidden] * 3, 0)
        return tuple(loop.read(part, [self.hidden]) for part in parts)

    def first_state(self, place: int) -> list[str]:
        """The state before the first step: zeros where none is given."""
        shape = [self.batch, self.hidden]
        positions = (5, 6) if self.node.op_type == "LSTM" else (5,)
        return [
            self._of_direction(position, place, shape) if position in self.inputs else self._zeros(shape)
            for position in positions
        ]

    def _zeros(self, shape: Sequence[Size]) -> str:
        if isinstance(self.batch, int):
            return self.writer.constant(np.zeros((self.batch, self.hidden), self._dtype))
        return self.writer.sized("ExpandTo", [self.writer.constant(np.zeros((1, 1), self._dtype))], shape, self.kind)

    def _put_together(self, parts: list[str], place: int, result: str) -> None:
        """One output of all directions side by side, the batch where it belongs."""
        state: list[Size] = [self.batch, self.hidden]
        shape: list[Size]
        if place:
            axis, shape = (1, [self.batch, 1, self.hidden]) if self.batch_first else (0, [1, *state])
        elif self.batch_first:
            axis, shape = 2, [self.batch, self.steps, 1, self.hidden]
            parts = [self.writer.node("Transpose", part, perm=[1, 0, 2]) for part in parts]
        else:
            axis, shape = 1, [self.steps, 1, *state]
        if len(parts) == 1:
            self.shaped(parts[0], shape, result)
        else:
            self.writer.node("Concat", *(self.shaped(part, shape) for part in parts), output=result, axis=axis)


class _Loop:
    """The loop of one direction while its body is written."""

    def __init__(self, layer: _Layer, mask: str, place: int) -> None:
        self._layer, self._mask = layer, mask
        graph = layer.graph
        self._body = OnnxGraph([], {}, [], [], graph.opset, f"{layer.writer.stem}_body")
        self.writer = NodeWriter(self._body, f"{layer.writer.stem}_step_{place}")
        self._alike: list[onnx.ValueInfoProto] = []

    def read(self, name: str, shape: list[int]) -> str:
        """A value of the graph around, for the body: every step reads the same."""
        constants = self._layer.graph.constants
        if name in constants:
            self._body.constants[name] = constants[name]
        else:
            self._alike.append(tensor_value(name, self._layer.kind, shape))
        return name

    def written(
        self, cell: Cell, place: int, reverse: bool, scanned: str, width: int, simplify: Simplifier
    ) -> tuple[str, ...]:
        """Put the loop into the graph; returns the outputs of all steps and the last state."""
        layer, writer = self._layer, self.writer
        shape = [layer.batch, layer.hidden]
        first = layer.first_state(place)
        state = tuple(f"{writer.stem}_state_{number}" for number in range(len(first)))
        products, present = f"{writer.stem}_products", f"{writer.stem}_present"
        after = STEPS[layer.node.op_type](cell, products, state)
        output = after[0]
        if self._mask:
            output = writer.node("Where", present, after[0], cell.scalar(0.0))
            after = tuple(writer.node("Where", present, new, old) for new, old in zip(after, state, strict=True))
        wants_all = bool(layer.node.output[0])
        results = [*after, *([output] if wants_all else [])]
        if layer.steps == 1:
            given = [*first, self._only(scanned, [layer.batch, width])]
            given += [self._only(self._mask, [layer.batch, 1], onnx.TensorProto.BOOL)] if self._mask else []
            return self._without_loop(dict(zip((*state, products, present), given, strict=False)), after, output)
        results = [writer.node("Identity", result) if result in state else result for result in results]
        self._body.nodes = writer.nodes
        self._body.inputs = [
            *(tensor_value(name, layer.kind, shape) for name in state),
            tensor_value(products, layer.kind, [layer.batch, width]),
            *([tensor_value(present, onnx.TensorProto.BOOL, [layer.batch, 1])] if self._mask else []),
            *self._alike,
        ]
        self._body.outputs = [tensor_value(name, layer.kind, shape) for name in results]
        simplify(self._body)
        scans = [scanned, *([self._mask] if self._mask else [])]
        form = LoopForm(
            layer.steps,
            carried=len(state),
            scanned=(reverse,) * len(scans),
            collected=(reverse,) if wants_all else (),
        )
        stem = layer.writer.stem
        finals = [f"{stem}_last_{place}_{number}" for number in range(len(state))]
        collected = f"{stem}_outputs_{place}"
        kinds = [tensor_value(name, layer.kind, shape) for name in finals]
        kinds += [tensor_value(collected, layer.kind, [layer.steps, *shape])] if wants_all else []
        inputs = [*first, *scans, *(value.name for value in self._alike)]
        layer.writer.nodes.append(add_region(layer.graph, "loop", Region(form, (self._body,)), inputs, kinds))
        return (collected, *finals)

    def _only(self, scanned: str, shape: list[Size], kind: int | None = None) -> str:
        """The one slice of what a loop would read in slices."""
        return self._layer.shaped(scanned, shape, kind=kind)

    def _without_loop(self, given: Mapping[str, str], state: Sequence[str], output: str) -> tuple[str, ...]:
        """One step is no loop: what it computes from a state that is known is folded like any other nodes."""
        layer = self._layer
        layer.graph.constants |= self._body.constants
        for name, source in given.items():
            layer.writer.node("Identity", source, output=name)
        layer.writer.nodes += self.writer.nodes
        return layer.shaped(output, [1, layer.batch, layer.hidden]), *state
