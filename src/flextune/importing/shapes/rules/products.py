"""Matrix products and sums over indices."""

from __future__ import annotations

import onnx

from flextune.importing.shapes.call import Call, UntrackedError, broadcast
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Shape, Tracked
from flextune.workload.dim_expr import DimExpr


@shape_rule("MatMul")
def matmul(call: Call) -> Tracked:
    return call.like(0, _product(call, call.shape(0), call.shape(1)))


@shape_rule("MatMulInteger")
def integer_matmul(call: Call) -> Tracked:
    return Tracked(onnx.TensorProto.INT32, _product(call, call.shape(0), call.shape(1)))


@shape_rule("QLinearMatMul")
def quantized_matmul(call: Call) -> Tracked:
    return Tracked(call.input(7).dtype, _product(call, call.shape(0), call.shape(3)))


@shape_rule("MatMulNBits", domain="com.microsoft")
def stored_matmul(call: Call) -> Tracked:
    return call.like(0, (*call.shape(0)[:-1], DimExpr.of(call.attribute("N", 0))))


@shape_rule("FusedMatMul", domain="com.microsoft")
def fused_matmul(call: Call) -> Tracked:
    shapes = [call.shape(0), call.shape(1)]
    for position, name in enumerate(("transA", "transB")):
        if call.attribute(name, 0) and len(shapes[position]) > 1:
            *batch, rows, columns = shapes[position]
            shapes[position] = (*batch, columns, rows)
    return call.like(0, _product(call, *shapes))


def _product(call: Call, left: Shape, right: Shape) -> Shape:
    """As NumPy's matmul: vectors are a row on the left and a column on the right."""
    if not left or not right:
        raise UntrackedError("a factor has no dimensions")
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else ()
    call.same(left[-1], right[-2] if len(right) > 1 else right[0])
    return (*broadcast(call, left[:-2], right[:-2]), *rows, *columns)


@shape_rule("Gemm")
def gemm(call: Call) -> Tracked:
    rows, inner = call.shape(0) if not call.attribute("transA", 0) else call.shape(0)[::-1]
    other, columns = call.shape(1) if not call.attribute("transB", 0) else call.shape(1)[::-1]
    call.same(inner, other)
    return call.like(0, (rows, columns))


@shape_rule("Einsum")
def einsum(call: Call) -> Tracked:
    text = call.attribute("equation", "").replace(" ", "")
    left, arrow, right = text.partition("->")
    sizes: dict[str, DimExpr] = {}
    batches: list[Shape] = []
    terms = left.split(",")
    for position, term in enumerate(terms):
        shape = call.shape(position)
        before, dots, after = term.partition("...")
        if not dots and len(term) != len(shape):
            raise UntrackedError(f"its term {term!r} is for {len(term)} dimensions, not {len(shape)}")
        middle = len(shape) - len(before) - len(after)
        batches.append(shape[len(before) : len(before) + middle] if dots else ())
        for letter, size in zip(before + after, (*shape[: len(before)], *shape[len(before) + middle :]), strict=True):
            sizes[letter] = broadcast(call, (sizes[letter],), (size,))[0] if letter in sizes else size
    if not arrow:
        letters = "".join(terms).replace("...", "")
        right = ("..." if "..." in left else "") + "".join(sorted(each for each in sizes if letters.count(each) == 1))
    before, dots, after = right.partition("...")
    batch = broadcast(call, *batches) if dots else ()
    return call.like(0, (*(sizes[each] for each in before), *batch, *(sizes[each] for each in after)))


@shape_rule("Det")
def determinant(call: Call) -> Tracked:
    return call.like(0, call.shape(0)[:-2])
