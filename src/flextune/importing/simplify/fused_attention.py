"""ONNX Runtime's attention operators: products, a softmax over what may be seen, and rotations, by plain operators.

before: y = com.microsoft.MultiHeadAttention(q, k, v, num_heads=8)
after:  y = heads joined (MatMul(Softmax(MatMul(q', k') * scale + mask), v')), q', k', v' split into heads
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.links import Shape
from flextune.importing.simplify.writer import MICROSOFT, Writer

FILTER = -10000.0
"""What is added to scores of places that a mask hides (`mask_filter_value`)."""

LOWEST = float(np.finfo(np.float32).min)
"""What is added to scores of later places, where only earlier ones may be seen."""


def _attention(write: Writer) -> None:
    """Queries, keys and values by one product, then attention among them and what is past."""
    node = write.node
    if attribute(node, "do_rotary", 0) or attribute(node, "past_present_share_buffer", 0):
        write.refuse("rotations and shared buffers are not supported")
    heads = attribute(node, "num_heads", 0)
    batch, steps, _ = write.shape(write.input(0))
    width = write.shape(write.input(1))[1]
    sizes = attribute(node, "qkv_hidden_sizes", ()) or (width // 3,) * 3
    total = write.emit("MatMul", [write.input(0), write.input(1)])
    if write.input(2):
        total = write.emit("Add", [total, write.input(2)])
    ends = np.cumsum(sizes)
    parts = [write.sliced(total, 2, int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True)]
    query, key, value = (
        _heads(write, part, (batch, steps, size), heads) for part, size in zip(parts, sizes, strict=True)
    )
    seen = steps
    if past := write.input(4):
        shape = write.shape(past)
        seen += shape[3]
        before = [write.shaped(write.sliced(past, 0, place, place + 1), shape[1:]) for place in (0, 1)]
        key = write.emit("Concat", [before[0], key], axis=2)
        value = write.emit("Concat", [before[1], value], axis=2)
    if write.output(1):
        if sizes[1] != sizes[2]:
            write.refuse("keys and values of different sizes in one tensor are not supported")
        whole = (1, batch, heads, seen, sizes[1] // heads)
        write.emit("Concat", [write.shaped(each, whole) for each in (key, value)], write.output(1), axis=0)
    masks = _masks(write, write.input(3), (batch, steps, seen))
    added = [write.input(5)] if write.input(5) else []
    _attended(write, (query, key, value), [*masks, *added], (batch, steps, seen, sizes[0] // heads))


def _multi_head_attention(write: Writer) -> None:
    """Attention of queries among keys and values, with a bias for all three and what is past."""
    node = write.node
    if any(write.input(place) for place in (8, 9)) or write.output(3):
        write.refuse("lengths of what is past and scores as a result are not supported")
    heads = attribute(node, "num_heads", 0)
    shapes = [write.shape(write.input(place)) if write.input(place) else () for place in range(3)]
    if len(shapes[0]) != 3 or len(shapes[1]) not in (3, 4) or len(shapes[1]) != len(shapes[2]):
        write.refuse("queries, keys and values packed into one tensor are not supported")
    batch, steps, width = shapes[0]
    values = [write.input(place) for place in range(3)]
    if bias := write.input(3):
        if len(shapes[1]) == 4:
            write.refuse("a bias with keys that are split into heads is not supported")
        ends = np.cumsum([shape[2] for shape in shapes])
        values = [
            write.emit("Add", [value, write.sliced(bias, 0, int(end) - shape[2], int(end))])
            for value, shape, end in zip(values, shapes, ends, strict=True)
        ]
    query, key, value = (
        _heads(write, each, shape, heads) if len(shape) == 3 else each
        for each, shape in zip(values, shapes, strict=True)
    )
    seen = shapes[1][1] if len(shapes[1]) == 3 else shapes[1][2]
    if write.input(6):
        seen += write.shape(write.input(6))[2]
        key = write.emit("Concat", [write.input(6), key], axis=2)
        value = write.emit("Concat", [write.input(7), value], axis=2)
    for place, each in ((1, key), (2, value)):
        if write.output(place):
            write.emit("Identity", [each], write.output(place))
    masks = _masks(write, write.input(4), (batch, steps, seen))
    added = [write.input(5)] if write.input(5) else []
    _attended(write, (query, key, value), [*masks, *added], (batch, steps, seen, width // heads))


def _heads(write: Writer, value: str, shape: Shape, heads: int) -> str:
    """[batch, steps, heads * size] as [batch, heads, steps, size]."""
    batch, steps, width = shape
    if not heads or width % heads:
        write.refuse(f"{width} channels cannot be split into {heads} heads")
    return write.transposed(write.shaped(value, (batch, steps, heads, width // heads)), (0, 2, 1, 3))


def _attended(
    write: Writer, operands: tuple[str, str, str], masks: list[str], sizes: tuple[int, int, int, int]
) -> None:
    """The node's first result: values weighted by the softmax of the scores of queries and keys; heads joined."""
    query, key, value = operands
    batch, steps, seen, width = sizes
    factor = attribute(write.node, "scale", 0.0) or 1 / math.sqrt(width)
    scores = write.emit("MatMul", [query, write.transposed(key, (0, 1, 3, 2))])
    scores = write.emit("Mul", [scores, write.number(factor)])
    if attribute(write.node, "unidirectional", 0):
        later = np.arange(seen)[None, :] > np.arange(steps)[:, None] + (seen - steps)
        masks = [*masks, write.number(np.where(later, LOWEST, 0.0))]
    for mask in masks:
        scores = write.emit("Add", [scores, mask])
    found = write.emit("MatMul", [write.emit("Softmax", [scores], axis=-1), value])
    write.shaped(write.transposed(found, (0, 2, 1, 3)), (batch, steps, -1), write.output(0))


def _masks(write: Writer, mask: str, sizes: tuple[int, int, int]) -> list[str]:
    """What is added to the scores [batch, heads, steps, seen] where a mask hides places."""
    if not mask:
        return []
    batch, steps, seen = sizes
    shape = write.shape(mask)
    places = write.constant(np.arange(seen).reshape(1, -1), write.dtype(mask))
    if shape in ((batch,), (2 * batch,)):
        ends = write.shaped(write.sliced(mask, 0, 0, batch), (batch, 1))
        visible = write.emit("Less", [places, ends])
        if len(shape) and shape[0] == 2 * batch:
            starts = write.shaped(write.sliced(mask, 0, batch, 2 * batch), (batch, 1))
            visible = write.emit("And", [visible, write.emit("Not", [write.emit("Less", [places, starts])])])
        spread = (batch, 1, 1, seen)
    elif shape in ((batch, seen), (batch, steps, seen)):
        visible = write.emit("Not", [write.emit("Equal", [mask, write.constant(0, write.dtype(mask))])])
        spread = (batch, 1, steps if len(shape) == 3 else 1, seen)
    else:
        write.refuse(f"a mask {list(shape)} is not supported")
    filled = write.number(attribute(write.node, "mask_filter_value", FILTER))
    return [write.shaped(write.emit("Where", [visible, write.number(0), filled]), spread)]


def _rotary_embedding(write: Writer) -> None:
    """Pairs of channels turned by an angle for each position, whose cosine and sine are given."""
    node = write.node
    if attribute(node, "scale", 1.0) != 1.0 or attribute(node, "is_packed_batching", 0):
        write.refuse("a scale and packed batches are not supported")
    source, positions, cosine, sine = (write.input(place) for place in range(4))
    shape, half = write.shape(source), write.shape(cosine)[1]
    heads = attribute(node, "num_heads", 0)
    if len(shape) == 4:
        batch, heads, steps, width = shape
        value = write.transposed(source, (0, 2, 1, 3))
    else:
        batch, steps, total = shape
        width = total // heads if heads else 2 * half
        heads = total // width
        value = write.shaped(source, (batch, steps, heads, width))
    angles = _angles(write, positions, (batch, steps), (cosine, sine))
    found = turned(write, value, (width, half), angles, bool(attribute(node, "interleaved", 0)))
    if len(shape) == 4:
        write.transposed(found, (0, 2, 1, 3), write.output(0))
    else:
        write.shaped(found, shape, write.output(0))


def _angles(write: Writer, positions: str, sizes: tuple[int, int], tables: tuple[str, str]) -> list[str]:
    """Cosine and sine for each step, as [batch or 1, steps, 1, half]."""
    batch, steps = sizes
    if write.shape(positions) == (1,):
        positions = write.shaped(write.emit("Add", [positions, write.integers(np.arange(steps))]), (1, steps))
        batch = 1
    half = write.shape(tables[0])[1]
    return [write.shaped(write.emit("Gather", [table, positions], axis=0), (batch, steps, 1, half)) for table in tables]


def turned(write: Writer, value: str, sizes: tuple[int, int], angles: list[str], interleaved: bool) -> str:
    """The first 2 * half of the last axis turned, the rest as it is."""
    width, half = sizes
    order = np.arange(2 * half).reshape(half, 2).T if interleaved else np.arange(2 * half).reshape(2, half)
    first, second = (write.emit("Gather", [value, write.integers(part)], axis=3) for part in order)
    cosine, sine = angles
    real = write.emit("Sub", [write.emit("Mul", [first, cosine]), write.emit("Mul", [second, sine])])
    imaginary = write.emit("Add", [write.emit("Mul", [second, cosine]), write.emit("Mul", [first, sine])])
    parts = [real, imaginary]
    if width > 2 * half:
        parts.append(write.sliced(value, 3, 2 * half, width))
    joined = write.emit("Concat", parts, axis=3)
    if not interleaved:
        return joined
    back = np.concatenate([np.arange(2 * half).reshape(2, half).T.reshape(-1), np.arange(2 * half, width)])
    return write.emit("Gather", [joined, write.integers(back)], axis=3)


ATTENTIONS: dict[tuple[str, str], Callable[[Writer], None]] = {
    (MICROSOFT, "Attention"): _attention,
    (MICROSOFT, "MultiHeadAttention"): _multi_head_attention,
    (MICROSOFT, "RotaryEmbedding"): _rotary_embedding,
}
"""Domain and operator -> what writes it by others."""
