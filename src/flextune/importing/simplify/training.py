"""Operators of training that draw no random numbers: norms over the batch at hand, and steps of optimizers.

before: y, m, v = BatchNormalization(x, scale, bias, mean, var, training_mode=1)
after:  now = ReduceMean(x); y = scale * (x - now) / Sqrt(spread + epsilon) + bias; m = .9 * mean + .1 * now

ONNX defines all of them by formulas.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.writer import FLOAT, INT64, Writer

TRAINING = "ai.onnx.preview.training"


def batch_norm(write: Writer) -> None:
    """The norm by mean and variance of what is given; the running ones move towards these. Others are as they are."""
    if not attribute(write.node, "training_mode", 0):
        write.copied(write.node)
        return
    source, scale, bias, mean, variance = (write.input(place) for place in range(5))
    rank = len(write.shape(source))
    axes = [axis for axis in range(rank) if axis != 1]
    kept = attribute(write.node, "momentum", 0.9)
    now = write.reduced("ReduceMean", source, axes)
    apart = write.emit("Sub", [source, now])
    spread = write.reduced("ReduceMean", write.emit("Mul", [apart, apart]), axes)
    steady = write.emit("Sqrt", [write.emit("Add", [spread, write.number(attribute(write.node, "epsilon", 1e-5))])])
    channels = (1, -1, *[1] * (rank - 2))
    normal = write.emit("Mul", [write.emit("Div", [apart, steady]), write.shaped(scale, channels)])
    write.emit("Add", [normal, write.shaped(bias, channels)], write.output(0))
    for place, running, found in ((1, mean, now), (2, variance, spread)):
        if result := write.output(place):
            old = write.emit("Mul", [running, write.number(kept, running)])
            flat = write.shaped(found, (-1,))
            new = write.emit("Mul", [flat, write.number(1 - kept)])
            write.emit("Add", [old, write.cast(new, write.kind(running))], result)


def dropout(write: Writer) -> None:
    """In training mode with a ratio of 0, nothing is dropped. Others are as they are."""
    ratio, mode = write.value(write.input(1)), write.value(write.input(2))
    if mode is None or not mode.any() or ratio is None or ratio.any():
        write.copied(write.node)
        return
    write.emit("Identity", [write.input(0)], write.output(0))
    if mask := write.output(1):
        write.emit("Identity", [write.constant(np.ones(write.shape(write.input(0)), bool), np.bool_)], mask)


def _tensors(write: Writer, kinds: int) -> int:
    """How many tensors are optimised, each given as `kinds` inputs behind the rate and the count of updates."""
    count, rest = divmod(len(write.node.input) - 2, kinds)
    return write.refuse(f"{len(write.node.input)} inputs do not fit") if rest or not count else count


def _gradient(write: Writer, value: str, gradient: str) -> str:
    """With the derivative of the squared norm of what is optimised."""
    factor = attribute(write.node, "norm_coefficient", 0.0)
    return write.emit("Add", [write.emit("Mul", [value, write.number(factor, value)]), gradient])


def _weighted(write: Writer, first: str, factor: float, second: str, other: str) -> str:
    """`factor * first + other * second`."""
    left = write.emit("Mul", [first, write.number(factor, first)])
    return write.emit("Add", [left, write.emit("Mul", [second, other])])


def _is_later(write: Writer) -> str:
    """Whether this is not the first update."""
    return write.emit("Greater", [write.cast(write.input(1), INT64), write.integers(0)])


def _momentum(write: Writer) -> None:
    count = _tensors(write, 3)
    alpha, beta = attribute(write.node, "alpha", 0.0), attribute(write.node, "beta", 0.0)
    for place in range(count):
        value, gradient, before = (write.input(2 + place + kind * count) for kind in range(3))
        slope = _gradient(write, value, gradient)
        weight = write.emit("Where", [_is_later(write), write.number(beta, value), write.number(1, value)])
        moved = _weighted(write, before, alpha, slope, weight)
        step = moved
        if attribute(write.node, "mode", "standard") == "nesterov":
            step = write.emit("Add", [slope, write.emit("Mul", [moved, write.number(alpha, value)])])
        write.emit("Sub", [value, write.emit("Mul", [write.input(0), step])], write.output(place))
        write.emit("Identity", [moved], write.node.output[count + place])


def _adagrad(write: Writer) -> None:
    count = _tensors(write, 3)
    updates = write.cast(write.input(1), FLOAT)
    decay = write.emit("Mul", [updates, write.constant(attribute(write.node, "decay_factor", 0.0))])
    slower = write.cast(write.emit("Add", [decay, write.constant(1.0)]), write.kind(write.input(0)))
    rate = write.emit("Div", [write.input(0), slower])
    for place in range(count):
        value, gradient, before = (write.input(2 + place + kind * count) for kind in range(3))
        slope = _gradient(write, value, gradient)
        total = write.emit("Add", [before, write.emit("Mul", [slope, slope])])
        least = write.number(attribute(write.node, "epsilon", 1e-6), value)
        size = write.emit("Add", [write.emit("Sqrt", [total]), least])
        step = write.emit("Div", [write.emit("Mul", [rate, slope]), size])
        write.emit("Sub", [value, step], write.output(place))
        write.emit("Identity", [total], write.node.output[count + place])


def _adam(write: Writer) -> None:
    count = _tensors(write, 4)
    alpha, beta = attribute(write.node, "alpha", 0.9), attribute(write.node, "beta", 0.999)
    rate = _adjusted_rate(write, alpha, beta)
    for place in range(count):
        value, gradient, mean, square = (write.input(2 + place + kind * count) for kind in range(4))
        slope = _gradient(write, value, gradient)
        mean = _weighted(write, mean, alpha, slope, write.number(1 - alpha, value))
        square = _weighted(write, square, beta, write.emit("Mul", [slope, slope]), write.number(1 - beta, value))
        least = write.number(attribute(write.node, "epsilon", 1e-6), value)
        size = write.emit("Add", [write.emit("Sqrt", [square]), least])
        step = write.emit("Div", [write.emit("Mul", [rate, mean]), size])
        moved = write.emit("Sub", [value, step])
        kept = 1 - attribute(write.node, "norm_coefficient_post", 0.0)
        write.emit("Mul", [moved, write.number(kept, value)], write.output(place))
        write.emit("Identity", [mean], write.node.output[count + place])
        write.emit("Identity", [square], write.node.output[2 * count + place])


def _adjusted_rate(write: Writer, alpha: float, beta: float) -> str:
    """The rate times `sqrt(1 - beta^t) / (1 - alpha^t)`; the rate itself at the first update."""
    updates = write.cast(write.input(1), write.kind(write.input(0)))
    one = write.number(1)
    rest = [write.emit("Sub", [one, write.emit("Pow", [write.number(each), updates])]) for each in (alpha, beta)]
    scaled = write.emit("Div", [write.emit("Mul", [write.input(0), write.emit("Sqrt", [rest[1]])]), rest[0]])
    return write.emit("Where", [_is_later(write), scaled, write.input(0)])


OPTIMIZERS: dict[tuple[str, str], Callable[[Writer], None]] = {
    (TRAINING, "Adagrad"): _adagrad,
    (TRAINING, "Adam"): _adam,
    (TRAINING, "Momentum"): _momentum,
}
"""Domain and operator -> what writes it by others."""
