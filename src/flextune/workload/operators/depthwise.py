"""Depthwise convolution: each input channel is convolved on its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.contraction import Contraction, Operand, contraction_parameters, is_exact
from flextune.workload.operator_parameters import Choice, Params, Size
from flextune.workload.operators.conv import layouts, window_parameters
from flextune.workload.windows import (
    affine,
    channels_last,
    check_window,
    layout_shape,
    pad_image,
    read_window,
    result_axes,
    window_slices,
)

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class Depthwise(Contraction):
    """out[n, o, y, x] = sum over r, s of data[n, o // multiplier, y * stride + r - pad, ...] * weight[o, 0, r, s].

    There are c * multiplier output channels o. Weights are stored as [o, 1, kh, kw] for nchw and [kh, kw, 1, o] for
    nhwc, as those of a convolution with as many groups as input channels.
    """

    name = "depthwise"
    parameters = contraction_parameters(
        Size("n", 1),
        *(Size(name) for name in ("h", "w", "c")),
        Size("multiplier", 1),
        Size("kh"),
        Size("kw"),
        *window_parameters(2),
        Choice("layout", "nchw", choices=layouts(2)),
    )

    def check_shapes(self, params: Params) -> None:
        check_window(params, read_window(params, 2))

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        n, c, multiplier = params.integers("n", "c", "multiplier")
        window, layout = read_window(params, 2), params.text("layout")
        channels = c * multiplier
        weight = (*window.kernel, 1, channels) if layout == "nhwc" else (channels, 1, *window.kernel)
        return ("data", layout_shape(layout, n, window.extents, c)), ("weight", weight)

    def result_shape(self, params: Params) -> tuple[int, ...]:
        n, c, multiplier = params.integers("n", "c", "multiplier")
        return layout_shape(params.text("layout"), n, read_window(params, 2).result, c * multiplier)

    def channel_axis(self, params: Params) -> int:
        return 3 if params.text("layout") == "nhwc" else 1

    def reduction_length(self, params: Params) -> int:
        return math.prod(read_window(params, 2).kernel)

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        window, multiplier = read_window(params, 2), params.integer("multiplier")
        last = params.text("layout") == "nhwc"
        padded = build.pad_spatial(data, window.before, window.after, layout=params.text("layout"))
        taps = [build.reduce_axis(extent, name) for extent, name in zip(window.kernel, ("rh", "rw"), strict=True)]

        def element(batch: Expression, *index: Expression) -> Expression:
            *points, channel = index if last else (*index[1:], index[0])
            source = [
                affine(point, stride, tap, dilation)
                for point, stride, tap, dilation in zip(points, window.stride, taps, window.dilation, strict=True)
            ]
            origin = build.divide_floor(channel, multiplier)
            if last:
                return build.sum(build.product(padded[(batch, *source, origin)], weight[(*taps, 0, channel)]), taps)
            return build.sum(build.product(padded[(batch, origin, *source)], weight[(channel, 0, *taps)]), taps)

        axes = result_axes(params.text("layout"), "co")
        return build.compute(self.result_shape(params), element, self.name, axes)

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        layout, window = params.text("layout"), read_window(params, 2)
        kernel = weight[:, :, 0] if layout == "nhwc" else np.moveaxis(weight[:, 0], 0, -1)
        wide = np.int32 if is_exact(params) else np.float32
        kernel = kernel.astype(wide, copy=False)
        out = np.zeros(self.result_shape(params), dtype=wide)
        for image, result in zip(channels_last(data, layout), channels_last(out, layout), strict=True):
            padded = pad_image(image.astype(wide, copy=False), window).repeat(params.integer("multiplier"), axis=-1)
            for position, slices in window_slices(window):
                result += padded[slices] * kernel[position]
        return out


DEPTHWISE = Depthwise()
