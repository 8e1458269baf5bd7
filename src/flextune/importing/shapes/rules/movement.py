"""Operators that move elements: followed elements are moved as NumPy moves them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flextune.importing.shapes.call import Call, UntrackedError, broadcast, positive_axis
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.rules.sizes import target_sizes
from flextune.importing.shapes.tracked import MOST_ELEMENTS, Elements, Shape, Tracked, count, is_small
from flextune.workload.dim_expr import DimExpr

_ONE = DimExpr.of(1)


def moved(call: Call, shape: Sequence[DimExpr], elements: Elements | None, position: int = 0) -> Tracked:
    """Of an input's element type, with elements in their new places."""
    if elements is not None and elements.size > MOST_ELEMENTS:
        elements = None
    return Tracked(call.input(position).dtype, tuple(shape), elements)


@shape_rule("Reshape")
def reshape(call: Call) -> Tracked:
    """0 copies a size, -1 is what is left. One size that is not known is what is left, too."""
    source, elements = call.shape(0), call.input(0).elements
    if not call.given(1):
        wanted: list[DimExpr | None] = [DimExpr.of(each) for each in call.attribute("shape", ())]
    else:
        wanted = _wanted(call)
    if not call.attribute("allowzero", 0):
        wanted = [
            _copied(source, axis) if size is not None and size.value == 0 else size for axis, size in enumerate(wanted)
        ]
    open_axes = [axis for axis, size in enumerate(wanted) if size is None or size.value == -1]
    shape = _completed(call, source, wanted, open_axes)
    static = [size.value for size in shape]
    if elements is None or None in static:
        return moved(call, shape, None)
    return moved(call, shape, elements.reshape([size or 0 for size in static]))


def _wanted(call: Call) -> list[DimExpr | None]:
    held = call.input(1).elements
    if held is not None:
        return [None if each is None else each.size for each in held.reshape(-1)]
    length = call.shape(1)[0].value if call.rank(1) == 1 else None
    if length is None:
        raise UntrackedError(f"the rank of its result is not known: that is the length of {call.node.input[1]!r}")
    return [None] * length


def _copied(source: Shape, axis: int) -> DimExpr:
    if axis >= len(source):
        raise UntrackedError(f"it copies dimension {axis} of a tensor with {len(source)}")
    return source[axis]


def _completed(call: Call, source: Shape, wanted: list[DimExpr | None], open_axes: list[int]) -> Shape:
    total = count(source)
    if len(open_axes) == 1:
        others = count(size for axis, size in enumerate(wanted) if size is not None and axis not in open_axes)
        if others.value != 0:
            wanted[open_axes[0]] = (total // others).simplified(call.scope.dims)
            return tuple(size for size in wanted if size is not None)
    return tuple(
        call.fresh(total, f"dimension {axis} of a shape that data decide")
        if axis in open_axes or size is None
        else size
        for axis, size in enumerate(wanted)
    )


@shape_rule("Flatten")
def flatten(call: Call) -> Tracked:
    source, axis = call.shape(0), call.attribute("axis", 1)
    axis = axis + len(source) if axis < 0 else axis
    return call.like(0, (count(source[:axis]), count(source[axis:])))


@shape_rule("Squeeze")
def squeeze(call: Call) -> Tracked:
    source, elements = call.shape(0), call.input(0).elements
    axes = call.axes(1)
    if axes is None:
        unclear = [size for size in source if size.value is None and call.bounds(size)[0] <= 1]
        if unclear:
            raise UntrackedError(f"it removes dimensions of size 1, and {unclear[0]} may be 1: name the axes")
        axes = tuple(axis for axis, size in enumerate(source) if size.value == 1)
    gone = {positive_axis(axis, len(source)) for axis in axes}
    shape = [size for axis, size in enumerate(source) if axis not in gone]
    return moved(call, shape, None if elements is None else elements.reshape([size.value or 0 for size in shape]))


@shape_rule("Unsqueeze")
def unsqueeze(call: Call) -> Tracked:
    source, elements = call.shape(0), call.input(0).elements
    axes = call.axes(1) or ()
    rank = len(source) + len(axes)
    new, left = {positive_axis(axis, rank) for axis in axes}, list(source)
    shape = [_ONE if axis in new else left.pop(0) for axis in range(rank)]
    return moved(call, shape, None if elements is None else elements.reshape([size.value or 0 for size in shape]))


@shape_rule("Transpose")
def transpose(call: Call) -> Tracked:
    source, elements = call.shape(0), call.input(0).elements
    order: tuple[int, ...] = call.attribute("perm", tuple(reversed(range(len(source)))))
    if sorted(order) != list(range(len(source))):
        raise UntrackedError(f"the order {order} is none of {len(source)} dimensions")
    return moved(call, [source[axis] for axis in order], None if elements is None else elements.transpose(order))


@shape_rule("Concat")
def concat(call: Call) -> Tracked:
    shapes = [call.shape(position) for position in range(len(call.inputs))]
    axis = positive_axis(call.attribute("axis", 1), len(shapes[0]))
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        raise UntrackedError("its inputs have different numbers of dimensions")
    shape = list(shapes[0])
    for other in shapes[1:]:
        shape = [each if at == axis else call.same(each, other[at]) for at, each in enumerate(shape)]
    shape[axis] = sum((each[axis] for each in shapes), DimExpr.of(0))
    return moved(call, shape, _joined(call, axis))


def _joined(call: Call, axis: int) -> Elements | None:
    """The elements; those of an input of which nothing is known are None."""
    parts = []
    for position in range(len(call.inputs)):
        each = call.input(position)
        static = each.static
        if static is None or not is_small(static):
            return None
        parts.append(np.full(static, None, object) if each.elements is None else each.elements)
    return np.concatenate(parts, axis)


@shape_rule("Expand")
def expand(call: Call) -> Tracked:
    shape = broadcast(call, call.shape(0), target_sizes(call, 1))
    return moved(call, shape, _expanded(call, shape))


def _expanded(call: Call, shape: Shape) -> Elements | None:
    elements, static = call.input(0).elements, [size.value for size in shape]
    sizes = [size for size in static if size is not None]
    if elements is None or len(sizes) < len(static) or not is_small(sizes):
        return None
    return np.broadcast_to(elements, sizes)


@shape_rule("Tile")
def tile(call: Call) -> Tracked:
    source, elements = call.shape(0), call.input(0).elements
    repeats = call.sizes(1)
    if len(repeats) != len(source):
        raise UntrackedError(f"it repeats {len(repeats)} of {len(source)} dimensions")
    shape = [size * times for size, times in zip(source, repeats, strict=True)]
    static = [size.value for size in shape]
    if elements is None or None in static or not is_small(size or 0 for size in static):
        return moved(call, shape, None)
    return moved(call, shape, np.tile(elements, [times.value or 0 for times in repeats]))


@shape_rule("Gather")
def gather(call: Call) -> Tracked:
    source, indices = call.shape(0), call.shape(1)
    axis = positive_axis(call.attribute("axis", 0), len(source))
    shape = (*source[:axis], *indices, *source[axis + 1 :])
    elements, chosen = call.input(0).elements, call.input(1).elements
    if elements is None or chosen is None:
        return moved(call, shape, None)
    positions = [None if each is None or each.size is None else each.size.value for each in chosen.reshape(-1)]
    if any(each is None or not -elements.shape[axis] <= each < elements.shape[axis] for each in positions):
        return moved(call, shape, None)
    picked = np.take(elements, np.array(positions, np.int64).reshape(chosen.shape), axis)
    return moved(call, shape, np.asarray(picked, object))


@shape_rule("GatherElements")
def gather_elements(call: Call) -> Tracked:
    return call.like(0, call.shape(1))


@shape_rule("GatherND")
def gather_nd(call: Call) -> Tracked:
    source, indices, batch = call.shape(0), call.shape(1), call.attribute("batch_dims", 0)
    depth = indices[-1].value
    if depth is None:
        raise UntrackedError("how many axes its indices name depends on sizes")
    return call.like(0, (*indices[:-1], *source[batch + depth :]))


@shape_rule("Scatter", "ScatterElements", "ScatterND", "ReverseSequence")
def scatter(call: Call) -> Tracked:
    return call.like(0)


@shape_rule("DepthToSpace")
def depth_to_space(call: Call) -> Tracked:
    n, c, h, w = _image(call)
    block = call.attribute("blocksize", 1)
    return call.like(0, (n, c // (block * block), h * block, w * block))


@shape_rule("SpaceToDepth")
def space_to_depth(call: Call) -> Tracked:
    n, c, h, w = _image(call)
    block = call.attribute("blocksize", 1)
    return call.like(0, (n, c * (block * block), h // block, w // block))


def _image(call: Call) -> tuple[DimExpr, DimExpr, DimExpr, DimExpr]:
    found = call.shape(0)
    if len(found) != 4:
        raise UntrackedError(f"it takes images of 4 dimensions, not {len(found)}")
    return found[0], found[1], found[2], found[3]


@shape_rule("Pad")
def pad(call: Call) -> Tracked:
    source = list(call.shape(0))
    axes = call.axes(3, tuple(range(len(source)))) or ()
    pads = _pads(call, 2 * len(axes))
    for place, axis in enumerate(axes):
        at = positive_axis(axis, len(source))
        before, after = pads[place], pads[place + len(axes)]
        if before is None or after is None:
            source[at] = call.fresh(None, f"dimension {at} with a pad that data decide")
        else:
            source[at] = source[at] + before + after
    return call.like(0, source)


def _pads(call: Call, expected: int) -> list[DimExpr | None]:
    if not call.given(1):
        pads: list[DimExpr | None] = [
            DimExpr.of(each) for each in call.attribute("pads", call.attribute("paddings", ()))
        ]
    else:
        held = call.input(1).elements
        pads = [None] * expected if held is None else [None if each is None else each.size for each in held.reshape(-1)]
    if len(pads) != expected:
        raise UntrackedError(f"it has {len(pads)} pads, where {expected} are expected")
    return pads


@shape_rule("CenterCropPad")
def center_crop_pad(call: Call) -> Tracked:
    source, sizes = list(call.shape(0)), call.sizes(1)
    axes: tuple[int, ...] = call.attribute("axes", tuple(range(len(source))))
    for axis, size in zip(axes, sizes, strict=True):
        source[positive_axis(axis, len(source))] = size
    return call.like(0, source)
