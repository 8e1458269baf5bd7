"""The masked convolution of PixelCNN: a pixel is computed from those before it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.contraction import Contraction, Operand, contraction_parameters, is_exact
from flextune.workload.operator_parameters import Choice, Params, Size
from flextune.workload.operators.conv import convolve_image, layouts, window_parameters
from flextune.workload.windows import (
    affine,
    channels_last,
    check_window,
    layout_shape,
    pad_image,
    read_window,
    result_axes,
)

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class PixelCnn(Contraction):
    """A convolution whose kernel is zero from its centre on, in the order of reading (van den Oord et al., 2016).

    out[n, y, x, co] = sum over ci and the taps (r, s) that the mask leaves of
    data[n, y * stride + r * dilation - pad, ...] * weight[co, ci, r, s]. The centre is (kh // 2, kw // 2); mask=A
    leaves the taps before it, mask=B it as well. What the mask covers is not computed: the taps that are left come
    first in the order of reading, so they are one axis of the reduction (`tap`), for which block `masked` brings the
    weights into order.
    """

    name = "pixel_cnn"
    parameters = contraction_parameters(
        Size("n", 1),
        *(Size(name) for name in ("h", "w", "ci", "co", "kh", "kw")),
        Choice("mask", choices=("A", "B")),
        *window_parameters(2),
        Choice("layout", "nhwc", choices=layouts(2)),
    )

    def taps(self, params: Params) -> int:
        """How many taps the mask leaves."""
        kh, kw = params.integers("kh", "kw")
        return kh // 2 * kw + kw // 2 + (params.text("mask") == "B")

    def check_shapes(self, params: Params) -> None:
        check_window(params, read_window(params, 2))
        if self.taps(params) == 0:
            raise params.error("mask=A leaves nothing of a kernel of 1 x 1: use mask=B or a larger kernel")

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        n, ci, co = params.integers("n", "ci", "co")
        window, layout = read_window(params, 2), params.text("layout")
        return ("data", layout_shape(layout, n, window.extents, ci)), ("weight", (co, ci, *window.kernel))

    def result_shape(self, params: Params) -> tuple[int, ...]:
        n, co = params.integers("n", "co")
        return layout_shape(params.text("layout"), n, read_window(params, 2).result, co)

    def channel_axis(self, params: Params) -> int:
        return 3 if params.text("layout") == "nhwc" else 1

    def reduction_length(self, params: Params) -> int:
        return params.integer("ci") * self.taps(params)

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        window, layout, taps = read_window(params, 2), params.text("layout"), self.taps(params)
        last, (ci, co), kw = layout.endswith("c"), params.integers("ci", "co"), window.kernel[1]
        padded = build.pad_spatial(data, window.before, window.after, layout=layout)

        def left(tap: Expression, inner: Expression, outer: Expression) -> Expression:
            return weight[outer, inner, build.divide_floor(tap, kw), build.remainder(tap, kw)]

        masked = build.compute((taps, ci, co), left, "masked", ("tap", "ci", "co"))
        tap, rc = build.reduce_axis(taps, "tap"), build.reduce_axis(ci, "rc")

        def element(batch: Expression, *index: Expression) -> Expression:
            *points, channel = index if last else (*index[1:], index[0])
            row = build.divide_floor(tap, kw)
            place = zip(points, window.stride, (row, tap - row * kw), window.dilation, strict=True)
            source = [affine(*each) for each in place]
            value = padded[(batch, *source, rc)] if last else padded[(batch, rc, *source)]
            return build.sum(build.product(value, masked[tap, rc, channel]), [tap, rc])

        return build.compute(self.result_shape(params), element, self.name, result_axes(layout, "co"))

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        layout, window = params.text("layout"), read_window(params, 2)
        kernel = np.moveaxis(weight, (0, 1), (-1, -2)).copy()
        row, column = window.kernel[0] // 2, window.kernel[1] // 2
        kernel[row + 1 :] = 0
        kernel[row, column + (params.text("mask") == "B") :] = 0
        out = np.empty(self.result_shape(params), dtype=self.output(params).dtype)
        for image, result in zip(channels_last(data, layout), channels_last(out, layout), strict=True):
            convolve_image(pad_image(image, window), kernel, window, 1, result, is_exact(params))
        return out


PIXEL_CNN = PixelCnn()
