"""Convolutions, pooling, and what else slides or samples over images."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from flextune.importing.shapes.call import Call, UntrackedError
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Tracked
from flextune.workload.dim_expr import DimExpr, ceil_div

_INT64 = onnx.TensorProto.INT64


@shape_rule("Conv")
def conv(call: Call) -> Tracked:
    return call.like(0, _convolved(call, 1))


@shape_rule("ConvInteger")
def conv_integer(call: Call) -> Tracked:
    return Tracked(onnx.TensorProto.INT32, _convolved(call, 1))


@shape_rule("QLinearConv")
def quantized_conv(call: Call) -> Tracked:
    return Tracked(call.input(7).dtype, _convolved(call, 3))


@shape_rule("DeformConv")
def deformable_conv(call: Call) -> Tracked:
    return call.like(0, _convolved(call, 1))


@shape_rule("CausalConvWithState")
def causal_conv(call: Call) -> list[Tracked]:
    n, c, _ = call.shape(0)
    state = (n, c, call.shape(1)[-1] - 1)
    return [call.like(0), call.like(0, state)]


def _convolved(call: Call, weights: int) -> tuple[DimExpr, ...]:
    n, c, *images = call.shape(0)
    out, per_group, *kernel = call.shape(weights)
    if len(images) != len(kernel):
        raise UntrackedError(f"its data have {len(images)} spatial dimensions, its weights {len(kernel)}")
    call.same(c, per_group * call.attribute("group", 1))
    return (n, out, *_slid(call, images, _taps(call, kernel)))


def _taps(call: Call, kernel: Sequence[DimExpr]) -> list[DimExpr]:
    declared: tuple[int, ...] = call.attribute("kernel_shape", ())
    return [DimExpr.of(each) for each in declared] or list(kernel)


def _slid(call: Call, images: Sequence[DimExpr], kernel: Sequence[DimExpr], ceil_mode: bool = False) -> list[DimExpr]:
    """How many windows there are along each spatial dimension."""
    dimensions = len(images)
    strides: tuple[int, ...] = call.attribute("strides", (1,) * dimensions)
    dilations: tuple[int, ...] = call.attribute("dilations", (1,) * dimensions)
    pads: tuple[int, ...] = call.attribute("pads", (0,) * (2 * dimensions))
    auto = call.attribute("auto_pad", "NOTSET")
    found = []
    for at, (size, taps, stride) in enumerate(zip(images, kernel, strides, strict=True)):
        span = (taps - 1) * dilations[at] + 1
        if auto.startswith("SAME"):
            found.append(ceil_div(size, stride))
            continue
        before, after = (0, 0) if auto == "VALID" else (pads[at], pads[at + dimensions])
        room = size + (before + after) - span
        windows = room // stride + 1
        if ceil_mode:  # the last one has to begin inside the data or the pad before it
            windows = call.smallest(ceil_div(room, stride) + 1, ceil_div(size + before, stride))
        found.append(windows)
    return found


@shape_rule("MaxPool")
def max_pool(call: Call) -> list[Tracked]:
    result = call.like(0, _pooled(call))
    return [result, result.of_type(_INT64)]


@shape_rule("AveragePool", "LpPool")
def pool(call: Call) -> Tracked:
    return call.like(0, _pooled(call))


def _pooled(call: Call) -> tuple[DimExpr, ...]:
    n, c, *images = call.shape(0)
    return (n, c, *_slid(call, images, _taps(call, ()), bool(call.attribute("ceil_mode", 0))))


@shape_rule("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")
def global_pool(call: Call) -> Tracked:
    n, c, *images = call.shape(0)
    return call.like(0, (n, c, *(DimExpr.of(1) for _ in images)))


@shape_rule("ConvTranspose")
def conv_transpose(call: Call) -> Tracked:
    n, _, *images = call.shape(0)
    _, per_group, *kernel = call.shape(1)
    dimensions = len(images)
    strides: tuple[int, ...] = call.attribute("strides", (1,) * dimensions)
    dilations: tuple[int, ...] = call.attribute("dilations", (1,) * dimensions)
    pads: tuple[int, ...] = call.attribute("pads", (0,) * (2 * dimensions))
    more: tuple[int, ...] = call.attribute("output_padding", (0,) * dimensions)
    declared: tuple[int, ...] = call.attribute("output_shape", ())
    auto, taps = call.attribute("auto_pad", "NOTSET"), _taps(call, kernel)
    result = []
    for at, size in enumerate(images):
        span = (taps[at] - 1) * dilations[at] + 1
        if declared:
            result.append(DimExpr.of(declared[len(declared) - dimensions + at]))
        elif auto.startswith("SAME"):
            result.append(size * strides[at])
        else:
            cut = 0 if auto == "VALID" else pads[at] + pads[at + dimensions]
            result.append((size - 1) * strides[at] + more[at] + span - cut)
    return call.like(0, (n, per_group * call.attribute("group", 1), *result))


@shape_rule("MaxUnpool")
def max_unpool(call: Call) -> Tracked:
    if call.given(2):
        return call.like(0, call.sizes(2))
    n, c, *images = call.shape(0)
    kernel = _taps(call, ())
    strides: tuple[int, ...] = call.attribute("strides", (1,) * len(images))
    pads: tuple[int, ...] = call.attribute("pads", (0,) * (2 * len(images)))
    sizes = [
        (size - 1) * stride + taps - (pads[at] + pads[at + len(images)])
        for at, (size, stride, taps) in enumerate(zip(images, strides, kernel, strict=True))
    ]
    return call.like(0, (n, c, *sizes))


@shape_rule("Col2Im")
def col_to_im(call: Call) -> Tracked:
    n, rows, _ = call.shape(0)
    taps = 1
    for each in call.integers(2):
        taps *= each
    return call.like(0, (n, rows // taps, *call.sizes(1)))


@shape_rule("GridSample")
def grid_sample(call: Call) -> Tracked:
    n, c, *_ = call.shape(0)
    return call.like(0, (n, c, *call.shape(1)[1:-1]))


@shape_rule("AffineGrid")
def affine_grid(call: Call) -> Tracked:
    n, _, *images = call.sizes(1)
    return call.like(0, (n, *images, DimExpr.of(len(images))))


@shape_rule("RoiAlign")
def roi_align(call: Call) -> Tracked:
    size = [DimExpr.of(call.attribute(name, 1)) for name in ("output_height", "output_width")]
    return call.like(0, (call.shape(1)[0], call.shape(0)[1], *size))


@shape_rule("MaxRoiPool")
def max_roi_pool(call: Call) -> Tracked:
    pooled: tuple[int, ...] = call.attribute("pooled_shape", ())
    return call.like(0, (call.shape(1)[0], call.shape(0)[1], *map(DimExpr.of, pooled)))
