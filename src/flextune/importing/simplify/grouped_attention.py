"""`GroupQueryAttention` of ONNX Runtime, by plain operators: several heads share keys and values, which are kept.

before: y, k, v = com.microsoft.GroupQueryAttention(q, k', v', past_k, past_v, lengths, total)
after:  k = Where(place is new, Gather(k', place - start), Where(place < start, past_k, 0)), and v alike;
        y = heads joined (MatMul(Softmax(Where(place <= position, MatMul(q, k) * scale, lowest)), v))

`start` is what each element of the batch has in its past; it is 0 for all where what is given is all there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.fused_attention import LOWEST, turned
from flextune.importing.simplify.writer import INT64, Writer


@dataclass(frozen=True, slots=True)
class _Sizes:
    batch: int
    steps: int
    """Of the queries, and of the keys that come with them."""
    heads: int
    groups: int
    """Heads of keys and values."""
    width: int
    """Channels of a head."""
    past: int
    """Places that are kept from before."""
    kept: int
    """Places that are kept afterwards."""
    is_first: bool
    """Whether there is nothing before."""


def group_query_attention(write: Writer) -> None:
    """Attention to what is kept and to what comes now, up to each query's own place, or the last there is."""
    _check(write)
    sizes, (query, key, value) = _operands(write)
    starts = _starts(write, sizes)
    steps = write.integers(np.arange(sizes.steps).reshape(1, -1))
    positions = write.emit("Add", [starts, steps])
    if attribute(write.node, "do_rotary", 0):
        query, key = (_rotated(write, each, positions, sizes) for each in (query, key))
    query, key, value = (write.transposed(each, (0, 2, 1, 3)) for each in (query, key, value))
    key = _kept(write, key, 3, starts, sizes)
    value = _kept(write, value, 4, starts, sizes)
    for place, each in ((1, key), (2, value)):
        if result := write.output(place):
            write.emit("Identity", [each], result)
    lasts = write.shaped(write.cast(write.input(5), INT64), (sizes.batch, 1))
    _attended(write, (query, key, value), write.emit("Min", [positions, lasts]), sizes)


def _check(write: Writer) -> None:
    node = write.node
    if attribute(node, "local_window_size", -1) != -1 or attribute(node, "smooth_softmax", 0) > 0:
        write.refuse("local windows and smooth softmax are not supported")
    if any(attribute(node, f"{each}_quant_type", "NONE") != "NONE" for each in "kv"):
        write.refuse("quantised keys and values are not supported")
    if any(node.input[11:]) or write.output(3) or attribute(node, "qk_output", 0):
        write.refuse("sinks, scales of what is kept, and scores as a result are not supported")


def _operands(write: Writer) -> tuple[_Sizes, tuple[str, str, str]]:
    """Queries, keys and values as [batch, steps, heads, width], which may come in one tensor."""
    heads, groups = attribute(write.node, "num_heads", 0), attribute(write.node, "kv_num_heads", 0)
    batch, steps, channels = write.shape(write.input(0))
    if not groups or heads % groups:
        write.refuse(f"{heads} heads cannot share keys of {groups}")
    given = [write.input(place) for place in range(3)]
    width = channels // (heads if given[1] else heads + 2 * groups)
    if not given[1]:
        ends = np.cumsum([heads * width, groups * width, groups * width])
        starts = [0, *ends[:-1]]
        given = [write.sliced(given[0], 2, int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
    total = int(write.known(6, "the total number of steps").reshape(-1)[0])
    past = write.shape(write.input(3))[2] if write.input(3) else 0
    sizes = _Sizes(batch, steps, heads, groups, width, past, max(past, total), steps == total)
    query, key, value = (
        write.shaped(each, (batch, steps, count, width))
        for each, count in zip(given, (heads, groups, groups), strict=True)
    )
    return sizes, (query, key, value)


def _starts(write: Writer, sizes: _Sizes) -> str:
    """[batch, 1]: how many places each element of the batch has before what is given."""
    if sizes.is_first:
        return write.integers(np.zeros((sizes.batch, 1)))
    lasts = write.shaped(write.cast(write.input(5), INT64), (sizes.batch, 1))
    return write.emit("Add", [lasts, write.integers(1 - sizes.steps)])


def _rotated(write: Writer, value: str, positions: str, sizes: _Sizes) -> str:
    chosen = write.input(9) or positions
    tables = (write.input(7), write.input(8))
    half = write.shape(tables[0])[1]
    angles = [
        write.shaped(write.emit("Gather", [table, chosen], axis=0), (sizes.batch, sizes.steps, 1, half))
        for table in tables
    ]
    return turned(write, value, (sizes.width, half), angles, bool(attribute(write.node, "rotary_interleaved", 0)))


def _kept(write: Writer, new: str, place: int, starts: str, sizes: _Sizes) -> str:
    """[batch, groups, kept, width]: what was kept, with what is new behind it, and 0 behind that."""
    shape = (sizes.batch, sizes.groups, sizes.kept, sizes.width)
    if sizes.is_first:
        return _padded(write, new, sizes.steps, shape)
    places = write.integers(np.arange(sizes.kept).reshape(1, -1))
    source = write.emit("Sub", [places, starts])
    is_old = write.emit("Less", [source, write.integers(0)])
    is_there = write.emit("Less", [source, write.integers(sizes.steps)])
    is_new = write.emit("And", [write.emit("Not", [is_old]), is_there])
    safe = write.emit("Where", [is_new, source, write.integers(0)])
    rows = write.transposed(new, (0, 2, 1, 3))
    index = write.shaped(safe, (sizes.batch, sizes.kept, 1))
    moved = write.transposed(write.emit("GatherND", [rows, index], batch_dims=1), (0, 2, 1, 3))
    spread = (sizes.batch, 1, sizes.kept, 1)
    zero = write.number(0)
    old = _padded(write, write.input(place), sizes.past, shape) if write.input(place) else zero
    old = write.emit("Where", [write.shaped(is_old, spread), old, zero])
    return write.emit("Where", [write.shaped(is_new, spread), moved, old])


def _padded(write: Writer, value: str, steps: int, shape: tuple[int, int, int, int]) -> str:
    if steps == shape[2]:
        return value
    rest = write.number(np.zeros((*shape[:2], shape[2] - steps, shape[3])))
    return write.emit("Concat", [value, rest], axis=2)


def _attended(write: Writer, operands: tuple[str, str, str], lasts: str, sizes: _Sizes) -> None:
    """The node's first result; `lasts` [batch, steps] are the last places that queries see."""
    query, key, value = operands
    shared = sizes.heads // sizes.groups
    grouped = (sizes.batch, sizes.groups, shared * sizes.steps, sizes.width)
    factor = attribute(write.node, "scale", 0.0) or 1 / math.sqrt(sizes.width)
    scores = write.emit("MatMul", [write.shaped(query, grouped), write.transposed(key, (0, 1, 3, 2))])
    scores = write.emit("Mul", [scores, write.number(factor)])
    scores = write.shaped(scores, (sizes.batch, sizes.heads, sizes.steps, sizes.kept))
    if cap := attribute(write.node, "softcap", 0.0):
        scores = write.emit(
            "Mul", [write.emit("Tanh", [write.emit("Div", [scores, write.number(cap)])]), write.number(cap)]
        )
    if bias := write.input(10):
        if write.shape(bias)[-1] != sizes.kept:
            write.refuse("a bias for fewer places than are kept is not supported")
        scores = write.emit("Add", [scores, bias])
    places = write.integers(np.arange(sizes.kept))
    own = write.shaped(lasts, (sizes.batch, 1, sizes.steps, 1))
    is_later = write.emit("Greater", [places, own])
    scores = write.emit("Where", [is_later, write.number(LOWEST), scores])
    seen = write.emit("Softmax", [scores], axis=-1)
    found = write.emit("MatMul", [write.shaped(seen, (*grouped[:3], sizes.kept)), value])
    joined = write.shaped(found, (sizes.batch, sizes.heads, sizes.steps, sizes.width))
    whole = (sizes.batch, sizes.steps, sizes.heads * sizes.width)
    write.shaped(write.transposed(joined, (0, 2, 1, 3)), whole, write.output(0))
