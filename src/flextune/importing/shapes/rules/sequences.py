"""Lists of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from flextune.importing.shapes.call import Call, UntrackedError, positive_axis
from flextune.importing.shapes.ratio import Ratio
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Tracked, TrackedSequence
from flextune.workload.dim_expr import DimExpr, ceil_div


def of_items(items: Sequence[Tracked], dtype: int = onnx.TensorProto.FLOAT) -> TrackedSequence:
    """A list of which every item is known."""
    length = DimExpr.of(len(items))
    return TrackedSequence(length, common(items) if items else Tracked(dtype, None), tuple(items))


def common(items: Sequence[Tracked]) -> Tracked:
    """What holds for all: the shape, where they have the same."""
    first, *others = items
    same = all(each.shape == first.shape for each in others)
    return first.with_shape(first.shape if same else None)


@shape_rule("SequenceConstruct")
def construct(call: Call) -> TrackedSequence:
    return of_items([call.input(position) for position in range(len(call.inputs))])


@shape_rule("SequenceEmpty")
def empty(call: Call) -> TrackedSequence:
    return of_items([], call.attribute("dtype", onnx.TensorProto.FLOAT))


@shape_rule("SequenceInsert")
def insert(call: Call) -> TrackedSequence:
    held, new = call.sequence(0), call.input(1)
    position = _position(call, 2)
    if held.items is not None and (position is not None or not call.given(2)):
        items = list(held.items)
        items.insert(len(items) if position is None else position, new)
        return of_items(items)
    return TrackedSequence(held.length + 1, common([held.element, new]))


@shape_rule("SequenceErase")
def erase(call: Call) -> TrackedSequence:
    held, position = call.sequence(0), _position(call, 1)
    if held.items and (position is not None or not call.given(1)):
        items = list(held.items)
        del items[-1 if position is None else position]
        return of_items(items, held.element.dtype)
    return TrackedSequence(held.length - 1, held.element)


@shape_rule("SequenceAt")
def at(call: Call) -> Tracked:
    held, position = call.sequence(0), _position(call, 1)
    if held.items is not None and position is not None and -len(held.items) <= position < len(held.items):
        return held.items[position]
    if held.element.shape is None:
        raise UntrackedError("its tensors have different shapes, and which one is taken is not known")
    return held.element


def _position(call: Call, number: int) -> int | None:
    known = call.input(number).elements if call.given(number) else None
    element = None if known is None else known.reshape(-1)[0]
    return None if element is None else element.numerator.value


@shape_rule("SequenceLength")
def length(call: Call) -> Tracked:
    elements = np.empty((), object)
    elements[()] = Ratio(call.sequence(0).length)
    return Tracked(onnx.TensorProto.INT64, (), elements)


@shape_rule("ConcatFromSequence")
def concat_from_sequence(call: Call) -> Tracked:
    held, stacks = call.sequence(0), call.attribute("new_axis", 0)
    if held.element.shape is None and (stacks or held.items is None):
        raise UntrackedError("its tensors have different shapes")
    shapes = [held.element.shape] if held.items is None else [each.shape for each in held.items]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not known:
        raise UntrackedError("it joins tensors of which one has no known shape, or none")
    rank = len(known[0]) + bool(stacks)
    axis = positive_axis(call.attribute("axis", 0), rank)
    if stacks:
        return held.element.with_shape((*known[0][:axis], held.length, *known[0][axis:]))
    total = held.length * known[0][axis] if held.items is None else sum((each[axis] for each in known), DimExpr.of(0))
    return held.element.with_shape((*known[0][:axis], total, *known[0][axis + 1 :]))


@shape_rule("SplitToSequence")
def split_to_sequence(call: Call) -> TrackedSequence:
    source = call.shape(0)
    axis = positive_axis(call.attribute("axis", 0), len(source))
    before, size, after = source[:axis], source[axis], source[axis + 1 :]
    if call.given(1) and call.rank(1):
        return of_items([call.like(0, (*before, each, *after)) for each in call.sizes(1)], call.input(0).dtype)
    part = call.size(1) if call.given(1) else DimExpr.of(1)
    middle = (part,) if call.given(1) or call.attribute("keepdims", 1) else ()
    number = ceil_div(size, part)
    exact = (size % part).simplified(call.scope.dims).value == 0
    return TrackedSequence(
        number, call.like(0, (*before, *middle, *after)) if exact else Tracked(call.input(0).dtype, None)
    )
