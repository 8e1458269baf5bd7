"""Operators on single elements, or rows of them, that the importer lacks or has for some attributes only."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.writer import INT64, Writer

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
WIDER = {
    **dict.fromkeys((TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16), TensorProto.INT32),
    TensorProto.UINT32: INT64,
}
"""Types that are sorted as others."""

_FEW = 256
"""Elements of a row of which all pairs are compared."""

TOP_BIT = 1 << 63
"""Of 64: what is between the order of unsigned and of signed numbers."""


def lp_normalization(write: Writer) -> None:
    """Divided by the norm along an axis; 0 where that is 0."""
    power, axis = attribute(write.node, "p", 2), attribute(write.node, "axis", -1)
    if power not in (1, 2):
        write.refuse(f"the norm of order {power} is not supported")
    norm = write.reduced(f"ReduceL{power}", write.input(0), [axis])
    zero = write.number(0)
    quotient = write.emit("Div", [write.input(0), norm])
    write.emit("Where", [write.emit("Equal", [norm, zero]), zero, quotient], write.output(0))


def mod(write: Writer) -> None:
    """The remainder of floats with the sign of the divisor: that with the sign of the dividend, moved by the divisor.

    NumPy's `mod`, which ONNX refers to.
    """
    if attribute(write.node, "fmod", 0) or write.kind(write.input(0)) not in FLOATS:
        write.copied(write.node)
        return
    dividend, divisor = write.input(0), write.input(1)
    zero = write.number(0)
    rest = write.emit("Mod", [dividend, divisor], fmod=1)
    negative = write.emit("Less", [divisor, zero])
    differs = write.emit("Xor", [write.emit("Less", [rest, zero]), negative])
    is_zero = write.emit("Equal", [rest, zero])
    moves = write.emit("And", [differs, write.emit("Not", [is_zero])])
    write.emit("Where", [moves, write.emit("Add", [rest, divisor]), rest], write.output(0))


def is_inf(write: Writer) -> None:
    """Infinities of one sign, or of none."""
    negative, positive = (attribute(write.node, f"detect_{sign}", 1) for sign in ("negative", "positive"))
    if negative and positive:
        write.copied(write.node)
        return
    number = write.input(0)
    of_sign = write.emit(
        "Greater" if positive else "Less", [number, write.number(0) if negative or positive else number]
    )
    write.emit("And", [write.emit("IsInf", [number]), of_sign], write.output(0))


def bit_cast(write: Writer) -> None:
    """The bits of one type as those of another of the same size; of whole numbers a cast keeps them."""
    kind, source = attribute(write.node, "to", 0), write.input(0)
    before, after = write.dtype(source), np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    if before.itemsize != after.itemsize or TensorProto.BFLOAT16 in (kind, write.kind(source)):
        write.refuse(f"the bits of {before} as {after} are not supported")
    if before.kind in "iub" and after.kind in "iu":
        write.emit("Cast", [source], write.output(0), to=kind)
        return
    write.kernel("bit_cast", [source], kind, write.shape(source), write.output(0))


def determinant(write: Writer) -> None:
    """Of square matrices: the kernel leaves what elimination makes of each, and behind it the determinant."""
    *batch, size, _ = write.shape(write.input(0))
    kind = write.kind(write.input(0))
    count = math.prod(batch)
    matrices = write.shaped(write.input(0), (count, size * size))
    found = write.kernel("determinant", [matrices], kind, (count, size * size + 2))
    write.shaped(write.sliced(found, 1, size * size, size * size + 1), batch, write.output(0))


def eye_like(write: Writer) -> None:
    """A constant: only the shape of the input counts."""
    kind = attribute(write.node, "dtype", 0) or write.kind(write.input(0))
    rows, columns = write.shape(write.input(0))
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    matrix = np.eye(rows, columns, attribute(write.node, "k", 0)).astype(dtype)
    write.emit("Identity", [write.constant(matrix, dtype)], write.output(0))


def top_k(write: Writer) -> None:
    """The largest of few elements by counting which are larger.

    Of types that TVM does not sort as those of a wider one, of uint64 as int64 with the top bit turned over: both have
    the same order.
    """
    if _are_few(write):
        _top_by_ranks(write)
        return
    kind = write.kind(write.input(0))
    wide = WIDER.get(kind, INT64 if kind == TensorProto.UINT64 else kind)
    if wide == kind:
        write.copied(write.node)
        return
    top = write.constant(np.array(TOP_BIT, np.uint64), np.uint64)

    def turned(name: str, result: str = "") -> str:
        return write.emit("BitwiseXor", [name, top], result)

    signed = write.cast(turned(write.input(0)) if kind == TensorProto.UINT64 else write.input(0), wide)
    node = write.copied(write.node)
    node.input[0] = signed
    if values := write.output(0):
        node.output[0] = write.fresh()
        if kind == TensorProto.UINT64:
            turned(write.cast(node.output[0], kind), values)
        else:
            write.emit("Cast", [node.output[0]], values, to=kind)


def _are_few(write: Writer) -> bool:
    shape, count = write.partial_shape(write.input(0)), write.value(write.input(1))
    if shape is None or count is None or not shape or write.value(write.input(0)) is not None:
        return False
    if write.kind(write.input(0)) == TensorProto.UINT32:  # TVM mixes indices of 32 and 64 bits in its kernel
        return False
    size = shape[attribute(write.node, "axis", -1)]
    return size is not None and 0 < int(count.ravel()[0]) <= size <= _FEW


def _top_by_ranks(write: Writer) -> None:
    """Each element has the rank of how many are larger, or as large and before it; the k-th result has the rank k."""
    number, axis = write.input(0), attribute(write.node, "axis", -1)
    shape, count = write.partial_shape(number) or (), int(write.known(1, "numbers of elements").ravel()[0])
    last, size = len(shape) - 1, shape[axis] or 0  # which is known
    order = list(range(len(shape)))
    order[axis], order[last] = order[last], order[axis]
    moved = number if axis in (-1, last) else write.transposed(number, order)
    kind = write.kind(number)
    compared = write.cast(moved, WIDER[kind]) if kind in WIDER else moved
    lead = tuple(known for place in order[:-1] if (known := shape[place]) is not None)
    if len(lead) == last:
        this, other = write.shaped(compared, (*lead, size, 1)), write.shaped(compared, (*lead, 1, size))
    else:
        this, other = (write.emit("Unsqueeze", [compared, write.integers([place])]) for place in (last + 1, last))
    wins = write.emit("Greater" if attribute(write.node, "largest", 1) else "Less", [other, this])
    before = write.constant(np.tril(np.ones((size, size), bool), -1), np.bool_)
    ties = write.emit("And", [write.emit("Equal", [other, this]), before])
    better = write.cast(write.emit("Or", [wins, ties]), TensorProto.INT32)
    counted = write.reduced("ReduceSum", better, [len(shape)])
    if len(lead) == last:
        ranks = write.shaped(counted, (*lead, 1, size))
    else:
        ranks = write.transposed(counted, [*range(last), last + 1, last])
    wanted = write.constant(np.arange(count).reshape(count, 1), np.int32)
    hits = write.emit("Equal", [ranks, wanted])
    places = write.emit("Where", [hits, write.integers(np.arange(size)), write.integers(0)])
    found = write.reduced("ReduceSum", places, [len(shape)], keepdims=0)
    zero = write.constant(
        0, write.dtype(number) if kind not in WIDER else np.dtype(onnx.helper.tensor_dtype_to_np_dtype(WIDER[kind]))
    )
    values = write.reduced("ReduceSum", write.emit("Where", [hits, other, zero]), [len(shape)], keepdims=0)
    values = write.cast(values, kind) if kind in WIDER else values
    for result, made in zip((write.output(0), write.output(1)), (values, found), strict=True):
        if result:
            write.transposed(made, order, result)


def space_to_depth(write: Writer) -> None:
    """Blocks of an image as channels, in either order of the two."""
    if attribute(write.node, "mode", "DCR") == "DCR":
        write.copied(write.node)
        return
    block = attribute(write.node, "blocksize", 1)
    batch, channels, height, width = write.shape(write.input(0))
    blocks = write.shaped(write.input(0), (batch, channels, height // block, block, width // block, block))
    moved = write.transposed(blocks, (0, 1, 3, 5, 2, 4))
    write.shaped(moved, (batch, channels * block * block, height // block, width // block), write.output(0))
