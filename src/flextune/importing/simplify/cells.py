"""One step of `LSTM`, `GRU` and `RNN` as ONNX nodes: from the products with its input and a state to the next state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.bodies import NodeWriter

State = tuple[str, ...]
"""What a step hands on: the output [batch, hidden], and for `LSTM` the cell."""

USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
"""The functions of one direction where a node names none."""

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

PARAMETERS: dict[str, dict[str, float]] = {
    "Affine": {"alpha": 1.0, "beta": 0.0},
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.01},
    "Relu": {},
    "ScaledTanh": {"alpha": 1.0, "beta": 1.0},
    "Sigmoid": {},
    "Softplus": {},
    "Softsign": {},
    "Tanh": {},
    "ThresholdedRelu": {"alpha": 1.0},
}
"""The functions that a step can use, with the parameters they take and what these are if nothing is said."""

_NAMES = {name.lower(): name for name in PARAMETERS}
"""Names are compared without regard to case."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function with its parameters."""

    name: str
    alpha: float
    beta: float


def unknown_activations(node: onnx.NodeProto) -> list[str]:
    """The functions that a recurrent node names and that are not here."""
    return [name for name in _named(node) if name.lower() not in _NAMES]


def activations_of(node: onnx.NodeProto, directions: int) -> list[tuple[Activation, ...]]:
    """The functions of each direction. Those that take a parameter take it from the node's list, in order."""
    names = [_NAMES[name.lower()] for name in _named(node)] or list(USUAL[node.op_type] * directions)
    lists = {name: iter(_floats(node, f"activation_{name}")) for name in ("alpha", "beta")}
    found = [
        Activation(name, *(_next(lists[each], PARAMETERS[name].get(each)) for each in ("alpha", "beta")))
        for name in names
    ]
    per_direction = len(USUAL[node.op_type])
    return [tuple(found[place : place + per_direction]) for place in range(0, len(found), per_direction)]


def _named(node: onnx.NodeProto) -> list[str]:
    return [each.decode() for entry in node.attribute if entry.name == "activations" for each in entry.strings]


def _floats(node: onnx.NodeProto, name: str) -> list[float]:
    return [each for entry in node.attribute if entry.name == name for each in entry.floats]


def _next(values: object, default: float | None) -> float:
    return 0.0 if default is None else float(next(values, default))  # type: ignore[call-overload]


@dataclass(slots=True, eq=False)
class Cell:
    """What one direction of a layer computes in every step, written into the body of its loop."""

    writer: NodeWriter
    """Where the nodes go."""
    functions: tuple[Activation, ...]
    """In the order of ONNX: f, g, h."""
    hidden: int
    """The width of the state."""
    dtype: np.dtype
    """Of all values."""
    state_weights: Sequence[str]
    """The matrices [hidden, gates * hidden] that states are multiplied by: one, or for a `GRU` that resets the state
    before it is multiplied, that of the gates and that of the candidate."""
    clip: float | None
    """The largest size of what functions are applied to."""
    peepholes: tuple[str, ...]
    """The weights [hidden] of the cell in the gates i, o and f of an `LSTM`, or nothing."""
    state_bias: str
    """What is added to the candidate's product with the state before that is reset."""
    forgets_input: bool
    """Whether an `LSTM` forgets what it does not take in."""

    def gates(self, source: str, count: int) -> list[str]:
        return self.writer.split(source, [self.hidden] * count, 1)

    def product(self, state: str, place: int = 0) -> str:
        return self.writer.node("MatMul", state, self.state_weights[place])

    def add(self, *values: str) -> str:
        total = values[0]
        for value in values[1:]:
            total = self.writer.node("Add", total, value)
        return total

    def multiply(self, left: str, right: str) -> str:
        return self.writer.node("Mul", left, right)

    def activated(self, place: int, value: str) -> str:
        """The function of that place of a value that is clipped before."""
        if self.clip is not None:
            value = self.writer.node("Clip", value, self.scalar(-self.clip), self.scalar(self.clip))
        return self.apply(place, value)

    def apply(self, place: int, value: str) -> str:
        """The function of that place of a value."""
        function, node = self.functions[place], self.writer.node
        match function.name:
            case "Affine":
                return self.add(self.multiply(value, self.scalar(function.alpha)), self.scalar(function.beta))
            case "ScaledTanh":
                inner = node("Tanh", self.multiply(value, self.scalar(function.beta)))
                return self.multiply(inner, self.scalar(function.alpha))
            case "ThresholdedRelu":
                above = node("Greater", value, self.scalar(function.alpha))
                return node("Where", above, value, self.scalar(0.0))
        given = {name: getattr(function, name) for name in PARAMETERS[function.name]}
        return node(function.name, value, **given)

    def scalar(self, value: float) -> str:
        return self.writer.constant(np.array(value, self.dtype))

    def rest(self, value: str) -> str:
        """One minus the value."""
        return self.writer.node("Sub", self.scalar(1.0), value)


def _lstm(cell: Cell, products: str, state: State) -> State:
    into, out, forget, fresh = cell.gates(cell.add(products, cell.product(state[0])), 4)
    if cell.peepholes:
        into = cell.add(into, cell.multiply(cell.peepholes[0], state[1]))
        forget = cell.add(forget, cell.multiply(cell.peepholes[2], state[1]))
    into = cell.activated(0, into)
    forget = cell.rest(into) if cell.forgets_input else cell.activated(0, forget)
    memory = cell.add(cell.multiply(forget, state[1]), cell.multiply(into, cell.activated(1, fresh)))
    if cell.peepholes:
        out = cell.add(out, cell.multiply(cell.peepholes[1], memory))
    return cell.multiply(cell.activated(0, out), cell.apply(2, memory)), memory


def _gru(cell: Cell, products: str, state: State) -> State:
    update, reset, candidate = cell.gates(products, 3)
    moved = cell.gates(cell.product(state[0]), 3 if cell.state_bias else 2)
    update = cell.activated(0, cell.add(update, moved[0]))
    reset = cell.activated(0, cell.add(reset, moved[1]))
    if cell.state_bias:
        remembered = cell.multiply(reset, cell.add(moved[2], cell.state_bias))
    else:
        remembered = cell.product(cell.multiply(reset, state[0]), 1)
    fresh = cell.activated(1, cell.add(candidate, remembered))
    return (cell.add(cell.multiply(cell.rest(update), fresh), cell.multiply(update, state[0])),)


def _rnn(cell: Cell, products: str, state: State) -> State:
    return (cell.activated(0, cell.add(products, cell.product(state[0]))),)


STEPS: dict[str, Callable[[Cell, str, State], State]] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def clip_of(node: onnx.NodeProto) -> float | None:
    """The node's clip threshold; None where nothing is clipped."""
    return attribute(node, "clip", 0.0) if any(entry.name == "clip" for entry in node.attribute) else None
