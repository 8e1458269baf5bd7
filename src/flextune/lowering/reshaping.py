"""Reshapes of tensors of symbolic sizes, as loops that compute with no more sizes than they have to.

TVM writes every reshape as a division of the whole tensor's elements. Of numbers little is left of that; of symbols,
what moves and reshapes has divisions of divisions that its passes work on for minutes.

before: y = reshape(x[b, 27, h, w], [b, 3, 9, h, w]);   y[i, j, k, u, v] = x[...((i*27 + j*9 + k)*h + u)*w + v...]
after:                                                  y[i, j, k, u, v] = x[i, j*9 + k, u, v]
"""

from __future__ import annotations

from collections.abc import Sequence

import tvm_ffi
from tvm import te, tirx, topi

from flextune.tvm_types import Expression, RelaxBuilder, RelaxCall, RelaxExpr, Tensor

Sizes = Sequence[Expression]


def legalize_reshape(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """TVM's own where all sizes are numbers, or where no axis at either end stays as it is."""
    source, result = (getattr(kind, "shape", None) for kind in (call.args[0].ty, call.ty))
    if source is None or result is None or all(isinstance(size, tirx.IntImm) for size in (*source, *result)):
        return call.op.get_attr("FLegalize")(builder, call)
    lead = _alike(source, result)
    tail = _alike([*source][lead:][::-1], [*result][lead:][::-1])
    if not lead + tail:
        return call.op.get_attr("FLegalize")(builder, call)

    def compute(tensor: Tensor, target: Sizes) -> Tensor:
        old, new = list(tensor.shape), list(target)

        def element(*index: Expression) -> Expression:
            end = len(new) - tail
            changed = _split(_joined(index[lead:end], new[lead:end]), old[lead : len(old) - tail])
            return tensor(*index[:lead], *changed, *index[end:])

        return te.compute(tuple(new), element, name="T_reshape", tag=topi.tag.INJECTIVE)

    return builder.call_te(compute, call.args[0], call.ty.shape, primfunc_name_hint="reshape")


def _alike(source: Sizes, result: Sizes) -> int:
    """How many sizes are the same from the front on."""
    pairs = zip(source, result, strict=False)
    return next(
        (count for count, pair in enumerate(pairs) if not tvm_ffi.structural_equal(*pair)),
        min(len(source), len(result)),
    )


def _joined(index: Sizes, sizes: Sizes) -> Expression:
    """The number of an element among those of these axes."""
    position: Expression = tirx.IntImm("int64", 0)
    for place, size in zip(index, sizes, strict=True):
        position = position * size + place
    return position


def _split(position: Expression, sizes: Sizes) -> list[Expression]:
    """The index of an element of these axes, from its number."""
    index: list[Expression] = []
    for size in reversed(sizes[1:]):
        index.insert(0, tirx.floormod(position, size))
        position = tirx.floordiv(position, size)
    return [position, *index] if sizes else []
