"""Loops and register tiles written out as statements, for kernels that are programs of their own.

What these functions return is plain TIR; indices are int32, and data are float32 unless they say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import tirx
from tvm.ir import StringImm

from flextune.tvm_types import Buffer, Expression, ForKind, Statement

SERIAL, PARALLEL = tirx.ForKind.SERIAL, tirx.ForKind.PARALLEL
VECTORIZED, UNROLLED = tirx.ForKind.VECTORIZED, tirx.ForKind.UNROLLED


def number(value: float) -> Expression:
    """A constant of the data's type."""
    return tirx.const(value, "float32")


def index(value: int) -> Expression:
    """A constant of the indices' type."""
    return tirx.const(value, "int32")


def line(name: str, extent: int, scope: str = "global", dtype: str = "float32") -> Buffer:
    """A buffer of one dimension; in scope `local` all places must be constants after unrolling."""
    return tirx.decl_buffer((extent,), dtype, name, scope=scope)


def sequence(statements: Sequence[Statement]) -> Statement:
    """One statement after the other."""
    flat = [each for each in statements if each is not None]
    return flat[0] if len(flat) == 1 else tirx.SeqStmt(flat)


def loop(extent: int, body: Callable[[Expression], Statement], name: str = "i", kind: ForKind = SERIAL) -> Statement:
    """A loop from 0; what runs once is no loop."""
    if extent == 1 and kind != PARALLEL:
        return body(index(0))
    variable = tirx.Var(name, "int32")
    return tirx.For(variable, 0, extent, kind, body(variable))


def each(extents: Sequence[int], body: Callable[..., Statement], kind: ForKind = UNROLLED) -> Statement:
    """Nested loops, outermost first."""
    if not extents:
        return body()
    return loop(extents[0], lambda place: each(extents[1:], lambda *rest: body(place, *rest), kind), kind=kind)


def lanes(width: int, body: Callable[[Expression], Statement]) -> Statement:
    """One vector."""
    return loop(width, body, "lane", VECTORIZED)


def vectors(extent: int, width: int, body: Callable[[Expression], Statement]) -> Statement:
    """All places below `extent` in whole vectors, and a shorter one for the rest."""
    whole, rest = divmod(extent, width)
    found = []
    if whole:
        found.append(loop(whole, lambda v: lanes(width, lambda lane: body(v * width + lane)), "vector"))
    if rest:
        found.append(lanes(rest, lambda lane: body(whole * width + lane)))
    return sequence(found)


def apart(name: str, body: Statement) -> Statement:
    """The statement as a function of its own: what LLVM would keep in registers around it does not take them from it.

    The constants of an exponential would be kept in half of all vector registers, also through products beside it.
    """
    return tirx.AttrStmt(StringImm(name), "compute_scope", StringImm(name), body)


def fold_lanes(buffer: Buffer, width: int, operation: Callable[..., Expression]) -> Statement:
    """Combine the `width` (a power of two) elements of a local buffer: each of them becomes the result.

    Whole vectors are exchanged: where shorter ones are read from a buffer, LLVM takes it apart into integers.
    """
    place = [ramp(index(0), width)]
    found, half = [], width
    while half > 1:
        half //= 2
        value = tirx.BufferLoad(buffer, place)
        exchanged = tirx.Shuffle([value], [index(lane ^ half) for lane in range(width)])
        found.append(tirx.BufferStore(buffer, operation(value, exchanged), place))
    return sequence(found)


def product_tile(
    accumulators: Buffer,
    shape: tuple[int, int, int],
    steps: int,
    add: Callable[[Expression, Expression, Expression], Statement],
    start: Callable[[Expression, Expression], Expression] | None = None,
    unroll: int = 1,
) -> Statement:
    """A register tile of a product: accumulators[i * width + c] = start(i, c), and to them add(i, v, k) for all k.

    `shape` is rows, columns (`width`, whole vectors), and the length of a vector; `add` is for vector v of row i, as
    `multiply_add` makes it. `accumulators` is in scope `local`.
    """
    rows, width, vector = shape

    def first(i: Expression, v: Expression) -> Statement:
        def set_lane(lane: Expression) -> Statement:
            value = number(0.0) if start is None else start(i, v * vector + lane)
            return tirx.BufferStore(accumulators, value, [i * width + v * vector + lane])

        return lanes(vector, set_lane)

    def step(k: Expression) -> Statement:
        return each((rows, width // vector), lambda i, v: add(i, v, k))

    times = unroll if steps % unroll == 0 else 1
    body = loop(steps // times, lambda k: loop(times, lambda u: step(k * times + u), "u", UNROLLED), "k")
    return sequence([each((rows, width // vector), first), body])


def multiply_add(
    accumulators: Buffer,
    shape: tuple[int, int, int],
    left: Callable[[Expression, Expression], Expression],
    right: Callable[[Expression, Expression], Expression],
) -> Callable[[Expression, Expression, Expression], Statement]:
    """For `product_tile`: left(i, k) * right(k, c) is added to every column c of a vector."""
    _, width, vector = shape

    def add(i: Expression, v: Expression, k: Expression) -> Statement:
        def add_lane(lane: Expression) -> Statement:
            place = i * width + v * vector + lane
            term = left(i, k) * right(k, v * vector + lane)
            return tirx.BufferStore(accumulators, tirx.BufferLoad(accumulators, [place]) + term, [place])

        return lanes(vector, add_lane)

    return add


def transposed_square(
    width: int,
    load: Callable[[int], Statement],
    store: Callable[[int, Expression], Statement],
    work: Sequence[Buffer],
) -> Statement:
    """Transpose a square of `width` (a power of two) vectors by shuffles of pairs of them.

    `load(i)` puts row i into `work[0]`, at i * width; `store(d, v)` takes column d as a vector. `work` are two local
    buffers of width * width elements.
    Each of the log2(width) steps exchanges halves of blocks with a partner at that distance (Eklundh 1972).
    """

    def place(i: int) -> list[Expression]:
        return [ramp(index(i * width), width)]

    found = [load(i) for i in range(width)]
    source, into, distance = *work, 1
    while distance < width:
        for i in range(width):
            if not i & distance:
                upper, lower = (tirx.BufferLoad(source, place(j)) for j in (i, i + distance))
                low = [c if not c & distance else width + c - distance for c in range(width)]
                high = [c + distance if not c & distance else width + c for c in range(width)]
                for j, mask in ((i, low), (i + distance, high)):
                    mixed = tirx.Shuffle([upper, lower], [index(c) for c in mask])
                    found.append(tirx.BufferStore(into, mixed, place(j)))
        source, into, distance = into, source, 2 * distance
    return sequence([*found, *(store(d, tirx.BufferLoad(source, place(d))) for d in range(width))])


def ramp(start: Expression, width: int) -> Expression:
    """The places of a vector."""
    return tirx.Ramp(start, index(1), width)
