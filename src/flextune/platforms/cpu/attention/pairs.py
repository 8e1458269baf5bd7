"""Products of bfloat16: pairs of neighbours along a sum, one to a lane, brought into order and multiplied.

A pair is an int32, the element of the lower place in its lower half; a place that is not there is zero. Products are
called by name: the code that the trace imports (`CODE`) defines their function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvm import tirx

from flextune.platforms.cpu.attention.attention_tiles import holding
from flextune.platforms.cpu.attention.statements import index, lanes, line, ramp, sequence
from flextune.tvm_types import Buffer, Expression, Statement
from flextune.workload.rounding import STORAGE, bfloat16_of

DOT_FUNCTION = "flextune_dpbf16ps"
"""sums, one pair, a vector of pairs -> sums + products of the pair with each."""

CODE = "bf16_pairs"
"""The name under which a platform registers the LLVM text that defines it."""

LANES = 16
"""Of the vectors that it takes."""

Read = Callable[[Expression], Expression]
"""The element at a place: stored, or a float32 to be rounded."""

PairAt = Callable[[Expression, Expression], Expression]
"""The load of a pair of a row or column at a step."""


def add_products(sums: Buffer, place: Expression, pair: Expression, pairs: Expression) -> Statement:
    """sums[place + lane] += the two products of `pair` with lane of `pairs`."""
    at = [ramp(place, LANES)]
    total = tirx.call_pure_extern(f"float32x{LANES}", DOT_FUNCTION, tirx.BufferLoad(sums, at), pair, pairs)
    return tirx.BufferStore(sums, total, at)


def pair_products(accumulators: Buffer, width: int, left: PairAt, right: PairAt) -> Callable[..., Statement]:
    """For `product_tile`: the pair left(i, k) times the pairs right(k, c) is added to every column c of a vector."""

    def add(i: Expression, v: Expression, k: Expression) -> Statement:
        pairs = right(k, v * LANES)
        vector = tirx.BufferLoad(pairs.source, [ramp(pairs.indices[0], LANES)])
        return add_products(accumulators, i * width + v * LANES, left(i, k), vector)

    return add


def line_of_pairs(name: str, extent: int, scope: str = "global") -> Buffer:
    """A buffer of pairs."""
    return line(name, extent, scope, "int32")


def pairs_along(read: Read, count: int, into: Callable[[Expression], Statement]) -> Statement:
    """A vector of pairs of neighbours: elements at the places below `count`, at most twice the lanes."""
    row = _Row.of(read, count, 2 * LANES)
    return holding([row.buffer], sequence([*row.filling, into(tirx.reinterpret(f"int32x{LANES}", row.stored()))]))


def pairs_across(rows: Sequence[Read], count: int, into: Callable[[Expression], Statement]) -> Statement:
    """A vector of pairs from two rows, places below `count` of both; of a single row the upper half is zero."""
    found = [_Row.of(read, count, LANES) for read in rows]
    blank = tirx.Broadcast(tirx.const(0, STORAGE), LANES)
    vectors = [*(row.stored() for row in found), blank][:2]
    places = [index(lane // 2 + lane % 2 * LANES) for lane in range(2 * LANES)]
    pairs = tirx.reinterpret(f"int32x{LANES}", tirx.Shuffle(vectors, places))
    return holding([row.buffer for row in found], sequence([*(s for row in found for s in row.filling), into(pairs)]))


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A local line of `width` elements, stored ones or float32, and the statements that fill it."""

    buffer: Buffer
    width: int
    filling: tuple[Statement | None, ...]

    @classmethod
    def of(cls, read: Read, count: int, width: int) -> _Row:
        """The elements at the places below `count`, and zeros."""
        row = line("row", width, "local", str(read(index(0)).ty.dtype))
        return cls(row, width, (_copied(read, count, row), _zeros(row, count, width)))

    def stored(self) -> Expression:
        """The row as a vector of stored elements.

        Halves are rounded and joined in registers: two stores of half a vector would stall the load of a whole one.
        """
        if str(self.buffer.ty.dtype) == STORAGE:
            return tirx.BufferLoad(self.buffer, [ramp(index(0), self.width)])
        starts = range(0, self.width, LANES)
        halves = [bfloat16_of(tirx.BufferLoad(self.buffer, [ramp(index(start), LANES)])) for start in starts]
        return halves[0] if len(halves) == 1 else tirx.Shuffle(halves, [index(lane) for lane in range(self.width)])


def _copied(read: Read, count: int, row: Buffer) -> Statement:
    return lanes(count, lambda lane: tirx.BufferStore(row, read(lane), [lane]))


def _zeros(row: Buffer, first: int, width: int) -> Statement | None:
    if first == width:
        return None
    zero = tirx.const(0, str(row.ty.dtype))
    return lanes(width - first, lambda lane: tirx.BufferStore(row, zero, [first + lane]))
