"""Random windows, samples and regions of images."""

from __future__ import annotations

import numpy as np

from tests.differential.draw import Draw

Generators = dict[str, object]


def _window(case: Draw, sizes: tuple[int, ...]) -> dict[str, object]:
    kernel = [1 + case.below(min(3, size)) for size in sizes]
    return {"kernel_shape": kernel, **_moves(case, kernel, sizes)}


def _moves(case: Draw, kernel: list[int], sizes: tuple[int, ...]) -> dict[str, object]:
    """Strides, dilations and pads, some of them left out."""
    found: dict[str, object] = {}
    if case.chance():
        found["strides"] = [1 + case.below(3) for _ in sizes]
    dilations = [1 + case.below(2) if (width - 1) * 2 < size else 1 for width, size in zip(kernel, sizes, strict=True)]
    if case.chance():
        found["dilations"] = dilations
    form = case.below(3)
    if form == 0:
        found["pads"] = [case.below(min(2, width)) for width in (*kernel, *kernel)]
    elif form == 1 and "dilations" not in found:
        found["auto_pad"] = str(case.one_of("SAME_UPPER", "SAME_LOWER", "VALID"))
    return found


def conv(case: Draw) -> None:
    channels, sizes = case.shape[1], case.shape[2:]
    group = int(case.one_of(1, *(each for each in (2, channels) if channels and channels % each == 0)))
    kernel = [1 + case.below(min(3, size)) for size in sizes]
    weight = case.normal(group * (1 + case.below(3)), channels // group, *kernel)
    bias = [case.operand(case.normal(weight.shape[0]))] if case.chance() else []
    case.apply("Conv", case.operand(weight), *bias, group=group, **_moves(case, kernel, sizes))


def conv_transpose(case: Draw) -> None:
    channels, sizes = case.shape[1], case.shape[2:]
    group = int(case.one_of(1, *(each for each in (2, channels) if channels and channels % each == 0)))
    kernel = [1 + case.below(3) for _ in sizes]
    weight = case.normal(channels, 1 + case.below(3), *kernel)
    strides = [1 + case.below(3) for _ in sizes]
    more: dict[str, object] = {"strides": strides}
    form = case.below(4)
    if form == 0:
        more["pads"] = [case.below(width) for width in (*kernel, *kernel)]
        more["output_padding"] = [case.below(stride) for stride in strides]
    elif form == 1:
        more["auto_pad"] = str(case.one_of("SAME_UPPER", "SAME_LOWER", "VALID"))
    elif form == 2:
        more["output_shape"] = [
            stride * (size - 1) + case.below(2) + 1 for stride, size in zip(strides, sizes, strict=True)
        ]
    else:
        more["dilations"] = [1 + case.below(2) for _ in sizes]
    bias = [case.operand(case.normal(weight.shape[1] * group))] if case.chance() else []
    case.apply("ConvTranspose", case.operand(weight), *bias, group=group, **more)


def lp_pool(case: Draw) -> None:
    case.apply("LpPool", p=1 + case.below(3), ceil_mode=case.below(2), **_window(case, case.shape[2:]))


def global_lp_pool(case: Draw) -> None:
    case.apply("GlobalLpPool", p=1 + case.below(3))


def max_pool_indices(case: Draw) -> None:
    more = {"storage_order": case.below(2)} if case.chance() else {}
    case.apply("MaxPool", outputs=2, ceil_mode=case.below(2), **_window(case, case.shape[2:]), **more)


def average_pool(case: Draw) -> None:
    more = {"count_include_pad": case.below(2), "ceil_mode": case.below(2)}
    case.apply("AveragePool", **_window(case, case.shape[2:]), **more)


def max_roi_pool(case: Draw) -> None:
    batch, _, height, width = case.shape
    corners = np.sort(case.rng.integers(0, 2 * max(height, width), (3, 2, 2)), 1).reshape(3, 4)
    boxes = np.concatenate([case.rng.integers(0, batch, (3, 1)), corners], 1).astype(case.dtype)
    pooled = [1 + case.below(3), 1 + case.below(3)]
    case.apply("MaxRoiPool", case.operand(boxes), pooled_shape=pooled, spatial_scale=float(case.one_of(0.25, 0.5, 1.0)))


def roi_align_max(case: Draw) -> None:
    batch, _, height, width = case.shape
    boxes = np.sort(case.rng.uniform(0, max(height, width), (3, 2, 2)), 1).reshape(3, 4).astype(case.dtype)
    mode = str(case.one_of("max", "avg"))
    more = {"output_height": 1 + case.below(3), "output_width": 1 + case.below(3), "sampling_ratio": 1 + case.below(2)}
    indices = case.operand(case.rng.integers(0, batch, 3))
    case.apply("RoiAlign", case.operand(boxes), indices, mode=mode, **more)


def affine_grid(case: Draw) -> None:
    count = case.shape[0]
    dims = 2 + case.below(2)
    theta = case.operand(case.normal(count, dims, dims + 1))
    sizes = [count, 2, *(1 + case.below(4) for _ in range(dims))]
    case.node("AffineGrid", theta, case.constant(sizes), align_corners=case.below(2))


def grid_sample(case: Draw) -> None:
    batch, _, *sizes = case.shape
    places = case.rng.uniform(-1.3, 1.3, (batch, *(1 + case.below(4) for _ in sizes), len(sizes))).astype(case.dtype)
    mode = str(case.one_of("linear", "nearest", *(["cubic"] if len(sizes) == 2 else [])))
    padding = str(case.one_of("zeros", "border", "reflection"))
    case.apply("GridSample", case.operand(places), mode=mode, padding_mode=padding, align_corners=case.below(2))


def center_crop_pad(case: Draw) -> None:
    if case.chance():
        axes = case.axes()
        sizes = [1 + case.below(8) for _ in axes]
        case.apply("CenterCropPad", case.constant(sizes), axes=axes)
    else:
        case.apply("CenterCropPad", case.constant([1 + case.below(8) for _ in case.shape]))


def depth_and_space(case: Draw) -> None:
    case.apply("SpaceToDepth", blocksize=case.shape[2] if case.shape[2] == case.shape[3] else 1)


def col2im(case: Draw) -> None:
    block = [1 + case.below(2), 1 + case.below(2)]
    image = [3 + case.below(3), 3 + case.below(3)]
    count = (image[0] - block[0] + 1) * (image[1] - block[1] + 1)
    columns = case.operand(case.normal(2, 3 * block[0] * block[1], count))
    case.node("Col2Im", columns, case.constant(image), case.constant(block))


def wrapping_pad(case: Draw) -> None:
    mode = str(case.one_of("wrap", "reflect", "edge", "constant"))
    axes = case.axes()
    pads = [case.below(2) - (case.below(2) if mode in ("constant", "edge") else 0) for _ in (*axes, *axes)]
    case.apply("Pad", case.constant(pads), "", case.constant(axes), mode=mode)


def resize_antialiased(case: Draw) -> None:
    scales = [1.0] * (case.rank - 2) + [float(case.one_of(0.5, 0.4, 2.0)), float(case.one_of(0.3, 1.0, 1.5))]
    scales = [max(scale, 1.0 / max(size, 1)) for scale, size in zip(scales, case.shape, strict=True)]
    mode = str(case.one_of("linear", "cubic"))
    case.apply("Resize", "", case.constant(np.array(scales, np.float32)), mode=mode, antialias=1)


def resize_cropped(case: Draw) -> None:
    low, high = case.rng.uniform(0, 0.4, case.rank), case.rng.uniform(0.6, 1.0, case.rank)
    low[:-2], high[:-2] = 0, 1
    roi = case.constant(np.concatenate([low, high]).astype(np.float32))
    sizes = case.constant([*case.shape[:-2], 1 + case.below(6), 1 + case.below(6)])
    coordinates = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.0}
    case.apply("Resize", roi, "", sizes, mode=str(case.one_of("linear", "nearest")), **coordinates)


def deformable(case: Draw) -> None:
    batch, channels, height, width = case.shape
    kernel = [1 + case.below(min(3, height)), 1 + case.below(min(3, width))]
    rows, columns = height - kernel[0] + 1, width - kernel[1] + 1
    weight = case.operand(case.normal(2, channels, *kernel))
    offsets = case.operand(case.normal(batch, 2 * kernel[0] * kernel[1], rows, columns))
    bias = case.operand(case.normal(2)) if case.chance() else ""
    mask = [case.operand(case.normal(batch, kernel[0] * kernel[1], rows, columns))] if case.chance() else []
    case.apply("DeformConv", weight, offsets, bias, *mask, kernel_shape=kernel)


IMAGES = {
    "AffineGrid": affine_grid,
    "AveragePool.windows": average_pool,
    "CenterCropPad": center_crop_pad,
    "Col2Im": col2im,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DeformConv": deformable,
    "GlobalLpPool": global_lp_pool,
    "GridSample": grid_sample,
    "LpPool": lp_pool,
    "MaxPool.indices": max_pool_indices,
    "MaxRoiPool": max_roi_pool,
    "Pad.axes": wrapping_pad,
    "Resize.antialias": resize_antialiased,
    "Resize.crop": resize_cropped,
    "RoiAlign.max": roi_align_max,
    "SpaceToDepth": depth_and_space,
}
"""Operator, and after a point the form of it where there are several."""
