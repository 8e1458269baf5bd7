"""Operators that read or write at computed places, by gathers, comparisons and selections.

before: y = ReverseSequence(x[T,B,C], lengths[B])
after:  t' = Where(t < lengths, lengths - 1 - t, t); y = GatherND(x, [t', b])
"""

from __future__ import annotations

import numpy as np

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.writer import INT64, Writer


def reverse_sequence(write: Writer) -> None:
    """The beginning of each sequence of a batch in reverse, as many elements as its length says."""
    time, batch = attribute(write.node, "time_axis", 0), attribute(write.node, "batch_axis", 1)
    shape = write.shape(write.input(0))
    time, batch = time % len(shape), batch % len(shape)
    if {time, batch} != {0, 1}:
        write.refuse("time and batch must be the first two axes")
    steps = write.integers(_along(np.arange(shape[time]), time, 2))
    lengths = write.shaped(write.cast(write.input(1), INT64), (1, -1) if batch else (-1, 1))
    last = write.emit("Sub", [lengths, write.integers(1)])
    mirrored = write.emit("Sub", [last, steps])
    chosen = write.emit("Where", [write.emit("Less", [steps, lengths]), mirrored, steps])
    pairs = [write.shaped(chosen, (*shape[:2], 1))]
    numbers = np.broadcast_to(_along(np.arange(shape[batch]), batch, 2), shape[:2])[..., None]
    pairs.insert(batch, write.integers(numbers))
    write.emit("GatherND", [write.input(0), write.emit("Concat", pairs, axis=2)], write.output(0))


def cumulative_product(write: Writer) -> None:
    """Products of 1, 2, 4 and more neighbours, so that every element is reached in log2(size) steps."""
    axis = int(write.known(1, "the axis").reshape(()))
    shape = write.shape(write.input(0))
    axis, size = axis % len(shape), shape[axis % len(shape)]
    backward = bool(attribute(write.node, "reverse", 0))
    value, stride = write.input(0), 1
    if attribute(write.node, "exclusive", 0):
        one = write.number(np.ones([1 if place == axis else each for place, each in enumerate(shape)]))
        rest = write.sliced(value, axis, 1 if backward else 0, size if backward else size - 1)
        value = write.emit("Concat", [rest, one] if backward else [one, rest], axis=axis) if size > 1 else one
    while stride < size:
        first, last = write.sliced(value, axis, 0, size - stride), write.sliced(value, axis, stride, size)
        product = write.emit("Mul", [first, last])
        edge = write.sliced(value, axis, *((size - stride, size) if backward else (0, stride)))
        value = write.emit("Concat", [product, edge] if backward else [edge, product], axis=axis)
        stride *= 2
    write.emit("Identity", [value], write.output(0))


def tensor_scatter(write: Writer) -> None:
    """A cache with an update written along an axis, from an index on that each element of the batch has."""
    cache, update = write.input(0), write.input(1)
    shape, given = write.shape(cache), write.shape(update)
    axis = attribute(write.node, "axis", -2) % len(shape)
    if axis == 0:
        write.refuse("an update along the batch is not supported")
    if any(size != each for place, (size, each) in enumerate(zip(shape, given, strict=True)) if place != axis):
        write.refuse(f"an update {list(given)} does not fit a cache {list(shape)}")
    batch, size, count = shape[0], shape[axis], given[axis]
    places = write.integers(np.arange(size).reshape(1, -1))
    first = write.input(2) or write.integers(np.zeros(batch))
    source = write.emit("Sub", [places, write.shaped(write.cast(first, INT64), (-1, 1))])
    if attribute(write.node, "mode", "linear") == "circular":
        source = write.emit("Mod", [source, write.integers(size)])
    zero, end = write.integers(0), write.integers(count)
    before, beyond = write.emit("Less", [source, zero]), write.emit("Less", [source, end])
    is_new = write.emit("And", [write.emit("Not", [before]), beyond])
    safe = write.emit("Where", [is_new, source, zero])
    order = [0, axis, *(place for place in range(1, len(shape)) if place != axis)]
    rows = write.emit("GatherND", [write.transposed(update, order), write.shaped(safe, (batch, size, 1))], batch_dims=1)
    fresh = write.transposed(rows, np.argsort(order).tolist())
    mask = write.shaped(is_new, [each if place in (0, axis) else 1 for place, each in enumerate(shape)])
    write.emit("Where", [mask, fresh, cache], write.output(0))


def compress(write: Writer) -> None:
    """The slices that a constant condition chooses; another condition decides the shape, which has to be known."""
    condition = write.value(write.input(1))
    if condition is None:
        write.copied(write.node)
        return
    chosen = write.integers(np.flatnonzero(condition))
    if any(entry.name == "axis" for entry in write.node.attribute):
        write.emit("Gather", [write.input(0), chosen], write.output(0), axis=attribute(write.node, "axis", 0))
    else:
        write.emit("Gather", [write.shaped(write.input(0), (-1,)), chosen], write.output(0), axis=0)


def one_hot(write: Writer) -> None:
    """A comparison of indices with all classes; what is out of range is none of them."""
    indices = write.input(0)
    shape, depth = write.shape(indices), int(write.known(1, "the depth").reshape(()))
    axis = attribute(write.node, "axis", -1) % (len(shape) + 1)
    whole = write.cast(indices, INT64)
    below = write.emit("Less", [whole, write.integers(0)])
    positive = write.emit("Where", [below, write.emit("Add", [whole, write.integers(depth)]), whole])
    spread = write.shaped(positive, (*shape[:axis], 1, *shape[axis:]))
    classes = write.integers(_along(np.arange(depth), axis, len(shape) + 1))
    off, on = (write.emit("Gather", [write.input(2), write.integers(place)], axis=0) for place in (0, 1))
    write.emit("Where", [write.emit("Equal", [spread, classes]), on, off], write.output(0))


def _along(vector: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """The vector along one of so many axes."""
    return vector.reshape([-1 if place == axis else 1 for place in range(rank)])
