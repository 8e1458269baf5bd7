"""Poolings that give or take places, and `Col2Im`: reads at places that are known when a model is built.

before: y, i = MaxPool(x)
after:  y = MaxPool(x); k = ArgMax(Gather(x', windows)); i = Gather(places, k)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.links import Shape
from flextune.importing.simplify.padding import windows_of
from flextune.importing.simplify.writer import Writer

MOST_PLACES = 2**26
"""Of a table of places: 512 MiB."""


def max_pool(write: Writer) -> None:
    """`MaxPool` whose second result is read: for each window, the place of its largest element in the tensor."""
    values, places = write.output(0), write.output(1)
    if not places:
        write.copied(write.node)
        return
    if values:
        del write.copied(write.node).output[1:]
    shape = write.shape(write.input(0))
    windows = windows_of(write.node, dict(write.shapes))
    if windows is None:
        write.refuse("windows of another rank than its input")
    widths = attribute(write.node, "kernel_shape", ())
    dilations = attribute(write.node, "dilations", (1,) * len(widths))
    read = []
    for window, width, dilation in zip(windows, widths, dilations, strict=True):
        padded = window.size + window.before + window.after + window.beyond
        first = np.arange((padded - window.extent) // window.stride + 1) * window.stride - window.before
        read.append(first[:, None] + np.arange(width) * dilation)
    counts = tuple(len(each) for each in read)
    inside, grid = _windows(read, shape[2:], write)
    rows, stored = _flat(grid, shape[2:]), grid[::-1] if attribute(write.node, "storage_order", 0) else grid
    stored_sizes = shape[2:][::-1] if attribute(write.node, "storage_order", 0) else shape[2:]
    table = _flat(stored, stored_sizes)
    first_inside = inside.argmax(1)[:, None]
    rows, table = (np.where(inside, each, np.take_along_axis(each, first_inside, 1)) for each in (rows, table))
    flat = write.shaped(write.input(0), (*shape[:2], math.prod(shape[2:])))
    window_values = write.emit("Gather", [flat, write.integers(rows)], axis=2)
    largest = write.emit("ArgMax", [window_values], axis=3, keepdims=0)
    entry = write.emit("Add", [largest, write.integers(np.arange(len(table)) * table.shape[1])])
    place = write.emit("Gather", [write.integers(table.reshape(-1)), entry], axis=0)
    images = np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1) * math.prod(shape[2:])
    write.shaped(write.emit("Add", [place, write.integers(images)]), (*shape[:2], *counts), places)


def _windows(read: Sequence[np.ndarray], sizes: Shape, write: Writer) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Which elements of all windows [windows, elements] are inside the image, and their coordinates."""
    rank = len(read)
    if math.prod(each.size for each in read) > MOST_PLACES:
        write.refuse(f"windows of more than {MOST_PLACES} elements together are not supported")
    spread = [
        each.reshape(
            [each.shape[0] if other == axis else 1 for other in range(rank)]
            + [1] * axis
            + [-1]
            + [1] * (rank - axis - 1)
        )
        for axis, each in enumerate(read)
    ]
    shape = np.broadcast_shapes(*(each.shape for each in spread))
    grid = tuple(np.broadcast_to(each, shape).reshape(math.prod(shape[:rank]), -1) for each in spread)
    inside = np.logical_and.reduce([(each >= 0) & (each < size) for each, size in zip(grid, sizes, strict=True)])
    if not inside.any(1).all():
        write.refuse("a window that is wholly in the padding is not supported")
    return inside, grid


def _flat(grid: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """Coordinates as one number; what is outside comes out as the nearest inside."""
    clipped = tuple(np.clip(each, 0, size - 1) for each, size in zip(grid, sizes, strict=True))
    return np.asarray(np.ravel_multi_index(clipped, tuple(sizes)), np.int64)


def max_unpool(write: Writer) -> None:
    """Values at their places, zeros elsewhere; a larger output shape than the windows give has zeros at the ends."""
    shape = write.shape(write.input(0))
    widths = attribute(write.node, "kernel_shape", ())
    strides = attribute(write.node, "strides", (1,) * len(widths))
    pads = attribute(write.node, "pads", (0,) * (2 * len(widths)))
    sizes = [
        (size - 1) * stride + width - before - after
        for size, stride, width, before, after in zip(
            shape[2:], strides, widths, pads[: len(widths)], pads[len(widths) :], strict=True
        )
    ]
    full = (*shape[:2], *sizes)
    zeros = write.number(np.zeros(math.prod(full)))
    flat = [write.shaped(write.input(place), (-1,)) for place in (1, 0)]
    scattered = write.emit("ScatterElements", [zeros, *flat], axis=0)
    asked = tuple(int(size) for size in write.known(2, "sizes of its output")) if write.input(2) else full
    if len(asked) != len(full) or any(size < given for size, given in zip(asked, full, strict=False)):
        write.refuse(f"the output shape {list(asked)} is smaller than {list(full)}, which its windows give")
    more = [size - given for size, given in zip(asked, full, strict=True)]
    result = write.shaped(scattered, full, "" if any(more) else write.output(0))
    if any(more):
        write.emit("Pad", [result, write.integers([0] * len(full) + more)], write.output(0))


def col2im(write: Writer) -> None:
    """Each element of the image as the sum of what the blocks have for it."""
    image, block = (tuple(map(int, write.known(place, "sizes of image and block"))) for place in (1, 2))
    rank = len(image)
    strides, dilations = (attribute(write.node, name, (1,) * rank) for name in ("strides", "dilations"))
    pads = attribute(write.node, "pads", (0,) * (2 * rank))
    read = []
    for axis in range(rank):
        extent = (block[axis] - 1) * dilations[axis] + 1
        count = (image[axis] + pads[axis] + pads[axis + rank] - extent) // strides[axis] + 1
        first = np.arange(count) * strides[axis] - pads[axis]
        read.append(first[:, None] + np.arange(block[axis]) * dilations[axis])
    batch, rows, blocks = write.shape(write.input(0))
    elements = math.prod(block)
    if blocks != math.prod(map(len, read)) or rows % elements:
        write.refuse(f"{rows} rows of {blocks} blocks do not make an image {list(image)} of blocks {list(block)}")
    table = _sources(read, image, write)
    flat = write.shaped(write.input(0), (batch, rows // elements, elements * blocks))
    padded = write.emit("Concat", [flat, write.number(np.zeros((batch, rows // elements, 1)))], axis=2)
    parts = write.emit("Gather", [padded, write.integers(table)], axis=2)
    total = write.reduced("ReduceSum", parts, [3], keepdims=0)
    write.shaped(total, (batch, rows // elements, *image), write.output(0))


def _sources(read: Sequence[np.ndarray], image: Shape, write: Writer) -> np.ndarray:
    """For each element of the image where its parts are in [elements of a block, blocks]; one behind the last is 0."""
    rank = len(read)
    spread = [
        each.T.reshape(
            [each.shape[1] if other == axis else 1 for other in range(rank)]
            + [each.shape[0] if other == axis else 1 for other in range(rank)]
        )
        for axis, each in enumerate(read)
    ]
    shape = np.broadcast_shapes(*(each.shape for each in spread))
    if math.prod(shape) > MOST_PLACES:
        write.refuse(f"blocks of more than {MOST_PLACES} elements together are not supported")
    grid = [np.broadcast_to(each, shape).reshape(-1) for each in spread]
    inside = np.logical_and.reduce([(each >= 0) & (each < size) for each, size in zip(grid, image, strict=True)])
    places, sources = _flat(grid, image)[inside], np.flatnonzero(inside)
    order = np.argsort(places, kind="stable")
    places, sources = places[order], sources[order]
    counts = np.bincount(places, minlength=math.prod(image))
    rank_in_place = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((math.prod(image), max(int(counts.max(initial=0)), 1)), math.prod(shape), np.int64)
    table[places, rank_in_place] = sources
    return table


def conv_transpose_pads(write: Writer) -> None:
    """A transposed convolution with the pads that make its output as large as asked (ONNX operators, "ConvTranspose").

    before: y = ConvTranspose(x, w, output_shape=[10, 8])   -->   after: y = ConvTranspose(x, w, pads=[...])
    """
    node = write.node
    asked, automatic = attribute(node, "output_shape", (0,) * 0), attribute(node, "auto_pad", "NOTSET")
    if not asked:
        write.copied(node)
        return
    data, weight = write.shape(write.input(0)), write.shape(write.input(1))
    rank = len(data) - 2
    strides, dilations = (attribute(node, name, (1,) * rank) for name in ("strides", "dilations"))
    more = attribute(node, "output_padding", (0,) * rank)
    before, after, extra = [], [], []
    for axis in range(rank):
        extent = (weight[axis + 2] - 1) * dilations[axis] + 1
        total = strides[axis] * (data[axis + 2] - 1) + more[axis] + extent - asked[axis - rank]
        small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
        before.append(small if automatic == "SAME_UPPER" else large)
        after.append(large if automatic == "SAME_UPPER" else small)
        extra.append(more[axis] + max(-total, 0))
    changed = write.copied(node)
    kept = [
        entry for entry in node.attribute if entry.name not in ("output_shape", "auto_pad", "pads", "output_padding")
    ]
    del changed.attribute[:]
    changed.attribute.extend(kept)
    changed.attribute.append(onnx.helper.make_attribute("pads", [*before, *after]))
    if any(extra):
        changed.attribute.append(onnx.helper.make_attribute("output_padding", extra))
