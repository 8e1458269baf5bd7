"""`Slice` and `Split`: where ends lie is decided by the ranges of the sizes, or data decide how much is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flextune.importing.shapes.call import Call, UntrackedError, positive_axis
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Elements, Tracked
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr, ceil_div, maximum, minimum

_ZERO = DimExpr.of(0)
_ENDLESS = 2**31 - 1
"""From here on an end means that of the tensor, in either direction."""


@shape_rule("Slice")
def slice_of(call: Call) -> Tracked:
    source = list(call.shape(0))
    starts, ends = _ends(call, 1, "starts"), _ends(call, 2, "ends")
    axes = call.axes(3, tuple(range(len(starts)))) or ()
    steps = call.integers(4) if call.given(4) else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise UntrackedError("starts, ends, axes and steps are of different lengths")
    taken = [positive_axis(axis, len(source)) for axis in axes]
    for axis, start, end, step in zip(taken, starts, ends, steps, strict=True):
        source[axis] = _length(call, source[axis], start, end, step)
    return Tracked(call.input(0).dtype, tuple(source), _sliced(call, taken, starts, ends, steps))


def _ends(call: Call, position: int, name: str) -> list[DimExpr | None]:
    if not call.given(position):
        return [DimExpr.of(each) for each in call.attribute(name, ())]
    held = call.input(position)
    if held.elements is not None:
        return [None if each is None else each.size for each in held.elements.reshape(-1)]
    length = call.shape(position)[0].value if call.rank(position) == 1 else None
    if length is None:
        raise UntrackedError(f"how many dimensions {call.node.input[position]!r} cuts is not known")
    return [None] * length


def _length(call: Call, size: DimExpr, start: DimExpr | None, end: DimExpr | None, step: int) -> DimExpr:
    if step == 0:
        raise UntrackedError("a step is 0")
    lowest = _ZERO if step > 0 else DimExpr.of(-1)
    first = None if start is None else first_element(start, size, step, call.scope.dims)
    last = None if end is None else _clamped(end, size, (lowest, size if step > 0 else size - 1), call.scope.dims)
    if first is None or last is None:
        most = ceil_div(size, abs(step))
        return call.fresh(most, "the length of a slice whose ends data decide")
    length = ceil_div(last - first if step > 0 else first - last, abs(step))
    return call.largest(length, _ZERO)


def first_element(start: DimExpr, size: DimExpr, step: int, dims: Mapping[str, Dim]) -> DimExpr | None:
    """Where a slice of an axis begins, counted from the front; None where that depends on the sign of a size."""
    return _clamped(start, size, (_ZERO, size if step > 0 else size - 1), dims)


def _clamped(end: DimExpr, size: DimExpr, ends: tuple[DimExpr, DimExpr], dims: Mapping[str, Dim]) -> DimExpr | None:
    """An end counted from the front, inside the tensor; None where its sign depends on sizes."""
    value, (lo, hi) = end.value, ends
    if value is not None and abs(value) >= _ENDLESS:
        return hi if value > 0 else lo
    least, most = end.bounds(dims)
    if least < 0 <= most:
        return None
    from_front = end if least >= 0 else end + size
    inside = minimum(from_front, hi).simplified(dims)
    return maximum(lo, inside).simplified(dims)


def _sliced(
    call: Call,
    axes: Sequence[int],
    starts: Sequence[DimExpr | None],
    ends: Sequence[DimExpr | None],
    steps: Sequence[int],
) -> Elements | None:
    elements = call.input(0).elements
    if elements is None:
        return None
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if start is None or end is None or start.value is None or end.value is None:
            return None
        length = elements.shape[axis]
        lowest = 0 if step > 0 else -1
        highest = length if step > 0 else length - 1
        first, last = (max(lowest, min(at + length if at < 0 else at, highest)) for at in (start.value, end.value))
        elements = np.take(elements, range(max(first, 0) if step > 0 else first, last, step), axis)
    return elements


@shape_rule("Split")
def split(call: Call) -> list[Tracked]:
    """Without lengths: equal parts, the last one smaller where they do not divide it."""
    source, parts = call.shape(0), len(call.node.output)
    axis = positive_axis(call.attribute("axis", 0), len(source))
    size, elements = source[axis], call.input(0).elements
    lengths = _lengths(call, size, parts)
    results, start = [], 0
    for length in lengths:
        cut = None
        if elements is not None and length.value is not None:
            cut = np.take(elements, range(start, start + length.value), axis)
            start += length.value
        results.append(Tracked(call.input(0).dtype, (*source[:axis], length, *source[axis + 1 :]), cut))
    return results


def _lengths(call: Call, size: DimExpr, parts: int) -> list[DimExpr]:
    if call.given(1):
        lengths = list(call.sizes(1))
    elif call.has("split"):
        lengths = [DimExpr.of(each) for each in call.attribute("split", ())]
    else:
        each = ceil_div(size, parts)
        lengths = [each] * (parts - 1) + [(size - each * (parts - 1)).simplified(call.scope.dims)]
    if len(lengths) != parts:
        raise UntrackedError(f"it has {len(lengths)} lengths for {parts} parts")
    call.same(size, sum(lengths, _ZERO))
    return lengths
