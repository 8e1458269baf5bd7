"""`LSTM`, `GRU` and `RNN` written out step by step: the number of steps is known when a model is built.

The products with the inputs of all steps are one; each step is one product with the state before, and gates (ONNX
operators, "LSTM", "GRU", "RNN"). What is not written out here, `refusals` names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.links import Shape, int64

MAX_STEPS = 256
"""A step is some kernel calls; models of more steps would take minutes to build."""

OLDEST_OPSET = 13
"""The sizes of `Split` are an input from here on."""

USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Whether each of the directions runs from the last step to the first."""

Step = Callable[["_Direction", str, "State"], "State"]
"""From the products with a step's input and the state before it to the state behind it."""


def written_out_steps(graph: OnnxGraph) -> None:
    """Replace recurrent nodes with constant weights by the nodes of their steps.

    before: y = RNN(x[2,1,8], W, R, initial_h=h)
    after:  p, q = Split(MatMul(x, W')); h1 = Tanh(p + MatMul(h, R')); h2 = Tanh(q + MatMul(h1, R')); y = Concat(h1, h2)
    """
    if graph.opset < OLDEST_OPSET or not any(node.op_type in USUAL for node in graph.nodes):
        return
    shapes = static_shapes(graph)
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        shape = shapes.get(node.input[0], ())
        if node.op_type in USUAL and not why_not_written_out(node, graph, shape):
            rewritten.extend(_layer(node, shape, graph))
        else:
            rewritten.append(node)
    graph.nodes = rewritten


def why_not_written_out(node: onnx.NodeProto, graph: OnnxGraph, shape: Shape) -> str:
    """What is not supported about a recurrent node whose input has this shape; empty if nothing."""
    names = dict(enumerate(node.input))
    usual = USUAL[node.op_type] * len(DIRECTIONS[attribute(node, "direction", "forward")])
    named = tuple(each.decode() for entry in node.attribute if entry.name == "activations" for each in entry.strings)
    lengths = graph.constants.get(names.get(4, ""))
    if graph.opset < OLDEST_OPSET or len(shape) != 3 or 0 in shape:
        return "is not supported here: the shape of its input is not known"
    if shape[0] > MAX_STEPS:
        return f"of {shape[0]} steps is not supported; at most {MAX_STEPS} are: cut the sequence"
    if any(names[place] not in graph.constants for place in (1, 2, 3) if names.get(place)):
        return "with weights that are no constants is not supported"
    if names.get(4) and (lengths is None or np.any(lengths != shape[0])):
        return "with lengths of sequences is not supported; pad them outside of the model"
    if attribute(node, "layout", 0) or attribute(node, "input_forget", 0) or names.get(7):
        return "with layout, input_forget or peepholes is not supported"
    if (named and named != usual) or any(entry.name == "clip" for entry in node.attribute):
        return "with other activations than the usual ones, or clip, is not supported"
    return ""


State = tuple[str, ...]
"""The values that a step hands on: the output [batch, hidden], and for `LSTM` the cell."""


@dataclass(slots=True)
class _Direction:
    """One direction of a layer, written out node by node. Weights are transposed to [from, gates * hidden]."""

    graph: OnnxGraph
    """Where constants go."""
    nodes: list[onnx.NodeProto]
    """What is written so far."""
    stem: str
    """What names of its values begin with."""
    hidden: int
    """The width of the state."""
    before_reset: bool
    """Whether a `GRU` multiplies the state by its weights before it is reset (ONNX: `linear_before_reset`)"""
    weights: str
    """Name of the constant by which inputs are multiplied."""
    state_weights: str
    """Name of the constant by which the state is multiplied."""
    candidate_weights: str
    """Name of the part of `state_weights` that is the last gate's: a `GRU`'s candidate."""
    bias: str
    """Name of what is added to the products with inputs: both biases of ONNX, where these can be added up."""
    state_bias: str
    """Name of the candidate's bias that is added to the product with the state."""

    def node(self, operator: str, *inputs: str, **attributes: int) -> str:
        name = f"{self.stem}_{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def parts(self, source: str, size: int, count: int, axis: int) -> list[str]:
        """Equal parts along an axis."""
        if count == 1:
            return [source]
        names = [f"{source}_part_{place}" for place in range(count)]
        sizes = int64(self.graph, f"{source}_sizes", [size] * count)
        self.nodes.append(onnx.helper.make_node("Split", [source, sizes], names, name=names[0], axis=axis))
        return names

    def gates(self, source: str, count: int) -> list[str]:
        return self.parts(source, self.hidden, count, 1)

    def with_state(self, products: str, state: State) -> str:
        """What the gates of a step are functions of: products with input and state, and biases."""
        return self.node("Add", products, self.node("MatMul", state[0], self.state_weights))


def _lstm(layer: _Direction, products: str, state: State) -> State:
    into, out, forget, cell = layer.gates(layer.with_state(products, state), 4)
    fresh = layer.node("Mul", layer.node("Sigmoid", into), layer.node("Tanh", cell))
    memory = layer.node("Add", layer.node("Mul", layer.node("Sigmoid", forget), state[1]), fresh)
    return layer.node("Mul", layer.node("Sigmoid", out), layer.node("Tanh", memory)), memory


def _gru(layer: _Direction, products: str, state: State) -> State:
    update, reset, candidate = layer.gates(products, 3)
    moved = layer.node("MatMul", state[0], layer.state_weights)
    update_state, reset_state, candidate_state = layer.gates(moved, 3)
    update = layer.node("Sigmoid", layer.node("Add", update, update_state))
    reset = layer.node("Sigmoid", layer.node("Add", reset, reset_state))
    if layer.before_reset:
        remembered = layer.node("Mul", reset, layer.node("Add", candidate_state, layer.state_bias))
    else:
        remembered = layer.node("MatMul", layer.node("Mul", reset, state[0]), layer.candidate_weights)
    fresh = layer.node("Tanh", layer.node("Add", candidate, remembered))
    return (layer.node("Add", fresh, layer.node("Mul", update, layer.node("Sub", state[0], fresh))),)


def _rnn(layer: _Direction, products: str, state: State) -> State:
    return (layer.node("Tanh", layer.with_state(products, state)),)


STEPS: dict[str, Step] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def _layer(node: onnx.NodeProto, shape: Shape, graph: OnnxGraph) -> list[onnx.NodeProto]:
    """All directions of a layer, and its results put together: Y, Y_h and Y_c."""
    steps, batch, _ = shape
    outputs = [*node.output, "", "", ""][:3]
    nodes: list[onnx.NodeProto] = []
    found: list[tuple[str, State]] = []
    for place, is_reverse in enumerate(DIRECTIONS[attribute(node, "direction", "forward")]):
        direction = _direction(node, place, graph)
        found.append(_run(direction, node, place, is_reverse, (steps, batch), graph))
        nodes += direction.nodes
    if outputs[0]:
        nodes += _put_together([each for each, _ in found], [steps, 1, batch, -1], 1, outputs[0], graph)
    for place, name in enumerate(outputs[1:]):
        if name:
            nodes += _put_together([state[place] for _, state in found], [1, batch, -1], 0, name, graph)
    return nodes


def _direction(node: onnx.NodeProto, place: int, graph: OnnxGraph) -> _Direction:
    weights, state_weights = (graph.constants[node.input[position]][place] for position in (1, 2))
    width, hidden = state_weights.shape
    names = [*node.input, "", "", "", ""]
    biases = graph.constants[names[3]][place] if names[3] else np.zeros(2 * width, weights.dtype)
    of_input, of_state = biases[:width].copy(), biases[width:]
    before_reset = node.op_type == "GRU" and bool(attribute(node, "linear_before_reset", 0))
    added = width - hidden if before_reset else width  # the candidate's is added before it is reset
    of_input[:added] += of_state[:added]
    stem = graph.fresh_name(f"{next(filter(None, node.output))}_direction{place}")
    constants = {
        "weights": weights.T,
        "state_weights": state_weights.T,
        "candidate_weights": state_weights[width - hidden :].T,
        "bias": of_input,
        "state_bias": of_state[width - hidden :],
    }
    graph.constants |= {f"{stem}_{role}": np.ascontiguousarray(array) for role, array in constants.items()}
    return _Direction(graph, [], stem, hidden, before_reset, *(f"{stem}_{role}" for role in constants))


def _run(
    layer: _Direction, node: onnx.NodeProto, place: int, is_reverse: bool, sizes: tuple[int, int], graph: OnnxGraph
) -> tuple[str, State]:
    """All outputs [steps * batch, hidden] in order of time, and the last state."""
    steps, batch = sizes
    rows = int64(graph, f"{layer.stem}_rows", [steps * batch, -1])
    flat = layer.node("Reshape", node.input[0], rows)
    products = layer.node("Add", layer.node("MatMul", flat, layer.weights), layer.bias)
    of_steps = layer.parts(products, batch, steps, 0)
    state = tuple(_first(layer, node, position, place, batch) for position in (5, 6)[: 1 + (node.op_type == "LSTM")])
    outputs = []
    for part in reversed(of_steps) if is_reverse else of_steps:
        state = STEPS[node.op_type](layer, part, state)
        outputs.append(state[0])
    in_order = outputs[::-1] if is_reverse else outputs
    return layer.node("Concat", *in_order, axis=0) if steps > 1 else in_order[0], state


def _first(layer: _Direction, node: onnx.NodeProto, position: int, place: int, batch: int) -> str:
    """The state before the first step: zeros where none is given."""
    if position >= len(node.input) or not node.input[position]:
        name = f"{layer.stem}_zeros"
        layer.graph.constants[name] = np.zeros((batch, layer.hidden), layer.graph.constants[layer.weights].dtype)
        return name
    return layer.node("Gather", node.input[position], _index(layer, place), axis=0)


def _index(layer: _Direction, place: int) -> str:
    name = f"{layer.stem}_place"
    layer.graph.constants[name] = np.array(place, np.int64)
    return name


def _put_together(parts: list[str], shape: list[int], axis: int, result: str, graph: OnnxGraph) -> list[onnx.NodeProto]:
    """Each part in this shape, side by side along an axis."""
    target = int64(graph, f"{result}_shape", shape)
    names = [f"{result}_direction_{place}" for place in range(len(parts))] if len(parts) > 1 else [result]
    nodes = [onnx.helper.make_node("Reshape", [part, target], [name]) for part, name in zip(parts, names, strict=True)]
    return nodes if len(parts) == 1 else [*nodes, onnx.helper.make_node("Concat", names, [result], axis=axis)]
