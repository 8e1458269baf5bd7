"""`Resize` and `Upsample`: sizes, or scales times sizes rounded down."""

from __future__ import annotations

import numpy as np

from flextune.importing.shapes.arithmetic import Arithmetic
from flextune.importing.shapes.call import Call, UntrackedError, positive_axis
from flextune.importing.shapes.ratio import Ratio
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Tracked, of_numbers
from flextune.workload.dim_expr import DimExpr


@shape_rule("Resize")
def resize(call: Call) -> Tracked:
    """Version 10 has the scales as input 1, later ones regions there, scales as input 2 and sizes as input 3."""
    source = list(call.shape(0))
    axes: tuple[int, ...] = call.attribute("axes", tuple(range(len(source))))
    taken = [positive_axis(axis, len(source)) for axis in axes]
    old = call.opset < 11
    if not old and call.given(3):
        sizes = call.sizes(3)
        for axis, size in zip(taken, _kept_ratio(call, [source[axis] for axis in taken], sizes), strict=True):
            source[axis] = size
        return call.like(0, source)
    if call.attribute("coordinate_transformation_mode", "") == "tf_crop_and_resize":
        raise UntrackedError("what is cut out before it is resized depends on values")
    return call.like(0, _scaled(call, source, taken, 1 if old else 2))


@shape_rule("Upsample")
def upsample(call: Call) -> Tracked:
    source = list(call.shape(0))
    if call.has("scales"):
        scales = of_numbers(np.array(call.raw("scales"), np.float32))
        return call.like(0, [_times(call, size, scale) for size, scale in zip(source, scales, strict=True)])
    return call.like(0, _scaled(call, source, list(range(len(source))), 1))


def _scaled(call: Call, source: list[DimExpr], axes: list[int], position: int) -> list[DimExpr]:
    scales = call.elements(position).reshape(-1)
    if len(scales) != len(axes):
        raise UntrackedError(f"it has {len(scales)} scales for {len(axes)} dimensions")
    for axis, scale in zip(axes, scales, strict=True):
        source[axis] = _times(call, source[axis], scale)
    return source


def _times(call: Call, size: DimExpr, scale: Ratio | None) -> DimExpr:
    """As the model computes it, in the scales' type, and rounded down."""
    factor = None if scale is None else scale.constant
    if factor is None or scale is None:
        raise UntrackedError("a scale is not known before the model runs: use sizes instead of scales")
    if size.value is not None:
        return DimExpr.of(int(np.float32(size.value) * np.float32(float(factor))))
    found = Arithmetic(1, call.scope.dims).multiply(Ratio(size), scale)
    if found is None:
        raise UntrackedError(
            f"{float(factor):g} times {size} is rounded to a float before it is rounded down, so the size is not sure: "
            "use sizes instead of scales"
        )
    return found.floor()


def _kept_ratio(call: Call, source: list[DimExpr], sizes: tuple[DimExpr, ...]) -> list[DimExpr]:
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return list(sizes)
    old, new = [size.value for size in source], [size.value for size in sizes]
    if None in old or None in new:
        raise UntrackedError(f"keep_aspect_ratio_policy={policy} rounds what depends on sizes")
    choose = min if policy == "not_larger" else max
    scale = choose(np.float32(b or 0) / np.float32(a or 1) for a, b in zip(old, new, strict=True))
    return [DimExpr.of(int(np.floor(np.float32(scale * np.float32(a or 0)) + np.float32(0.5)))) for a in old]
