"""Shift convolution: every channel of an image is moved by its own offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import INT32, element_type
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Params, Size
from flextune.workload.operators.conv import layouts, window_parameters
from flextune.workload.tensor import TensorSpec
from flextune.workload.windows import (
    Window,
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


class ShiftConvolution2d(Operator):
    """A depthwise convolution whose kernels are all zero but for a single one: it moves data and computes nothing.

    `position[c]` = r * kw + s says where that one is in the kernel of channel c:
    out[n, y, x, c] = data[n, y * stride + r * dilation - pad, x * stride + s * dilation - pad, c]
    (Wu et al., "Shift: A Zero FLOP, Zero Parameter Alternative to Spatial Convolutions", CVPR 2018). Positions outside
    the kernel are taken for the nearest one in it.
    """

    name = "shift_conv2d"
    parameters = (
        Size("n", 1),
        *(Size(name) for name in ("h", "w", "c", "kh", "kw")),
        *window_parameters(2),
        Choice("layout", "nhwc", choices=layouts(2)),
        Choice("dtype", "float32", choices=("float32", "bfloat16", "uint8"), printed=True),
    )

    def check(self, params: Params) -> None:
        check_window(params, read_window(params, 2))

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        (n, c), window, layout = params.integers("n", "c"), read_window(params, 2), params.text("layout")
        data = TensorSpec("data", layout_shape(layout, n, window.extents, c), element_type(params.text("dtype")))
        return data, TensorSpec("position", (c,), INT32)

    def output(self, params: Params) -> TensorSpec:
        n, c = params.integers("n", "c")
        shape = layout_shape(params.text("layout"), n, read_window(params, 2).result, c)
        return TensorSpec("out", shape, element_type(params.text("dtype")))

    def flops(self, params: Params) -> int:
        del params
        return 0

    def random_inputs(self, params: Params, rng: np.random.Generator) -> list[np.ndarray]:
        data, position = self.inputs(params)
        kh, kw = read_window(params, 2).kernel
        return [data.element.random(data.shape, rng), rng.integers(0, kh * kw, position.shape, dtype=np.int32)]

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        (data, position), window, layout = tensors, read_window(params, 2), params.text("layout")
        last = layout.endswith("c")
        padded = build.pad_spatial(data, window.before, window.after, layout=layout)
        taps, kw = window.kernel[0] * window.kernel[1], window.kernel[1]

        def element(batch: Expression, *index: Expression) -> Expression:
            *points, channel = index if last else (*index[1:], index[0])
            place = build.minimum(build.maximum(position[channel], 0), taps - 1)
            row = build.divide_floor(place, kw)
            tap = (row, place - row * kw)
            source = [affine(*each) for each in zip(points, window.stride, tap, window.dilation, strict=True)]
            return padded[(batch, *source, channel)] if last else padded[(batch, channel, *source)]

        return build.compute(self.output(params).shape, element, self.name, result_axes(layout, "c"))

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        layout, window = params.text("layout"), read_window(params, 2)
        data, position = self.output(params).element.decode(arrays[0]), arrays[1]
        taps = window.kernel[0] * window.kernel[1]
        out = np.zeros(self.output(params).shape, dtype=data.dtype)
        for image, result in zip(channels_last(data, layout), channels_last(out, layout), strict=True):
            _move(image, np.clip(position, 0, taps - 1), window, result)
        return out


def _move(image: np.ndarray, position: np.ndarray, window: Window, out: np.ndarray) -> None:
    padded = pad_image(image, window)
    for (row, column), slices in window_slices(window):
        chosen = position == row * window.kernel[1] + column
        out[..., chosen] = padded[slices][..., chosen]


SHIFT_CONV2D = ShiftConvolution2d()
