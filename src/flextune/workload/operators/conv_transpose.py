"""Transposed convolution in two dimensions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.contraction import Contraction, Operand, contraction_parameters, is_exact
from flextune.workload.elements import multiply_matrices
from flextune.workload.operator_parameters import Choice, Params, PerDimension, Size
from flextune.workload.operators.conv import layouts, window_parameters
from flextune.workload.windows import Window, affine, channels_last, layout_shape, read_window, result_axes

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class TransposedConvolution2d(Contraction):
    """Each input element adds weight * element to a window of the output: the gradient of a convolution.

    The output has (h - 1) * stride - pads + dilation * (kh - 1) + 1 + output_padding rows. Weights are stored as
    [ci, co, kh, kw] for nchw (as ONNX does) and [kh, kw, ci, co] for nhwc. The program first spreads the input out
    with zeros between and around (block `dilate_pad`), then convolves with the flipped kernel. Multiply-adds are
    counted for the input's own elements only, not for the zeros between them.
    """

    name = "conv2d_transpose"
    parameters = contraction_parameters(
        Size("n", 1),
        *(Size(name) for name in ("h", "w", "ci", "co", "kh", "kw")),
        *window_parameters(2),
        PerDimension("output_padding", 0, dimensions=2, minimum=0),
        Choice("layout", "nchw", choices=layouts(2)),
    )

    def spatial(self, params: Params) -> tuple[int, ...]:
        """Height and width of the output."""
        window, extra = read_window(params, 2), params.per_dimension("output_padding", 2)
        return tuple(
            (extent - 1) * stride - before - after + span + more
            for extent, stride, before, after, span, more in zip(
                window.extents, window.stride, window.before, window.after, window.spans, extra, strict=True
            )
        )

    def check_shapes(self, params: Params) -> None:
        window, extra = read_window(params, 2), params.per_dimension("output_padding", 2)
        for more, stride, dilation in zip(extra, window.stride, window.dilation, strict=True):
            if more >= max(stride, dilation):
                raise params.error(f"output_padding={more} must be below the stride or the dilation")
        if min(self.spatial(params)) < 1:
            raise params.error(f"pad={params.text('pad')} leaves an output of {list(self.spatial(params))} elements")

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        n, ci, co = params.integers("n", "ci", "co")
        window, layout = read_window(params, 2), params.text("layout")
        weight = (*window.kernel, ci, co) if layout == "nhwc" else (ci, co, *window.kernel)
        return ("data", layout_shape(layout, n, window.extents, ci)), ("weight", weight)

    def result_shape(self, params: Params) -> tuple[int, ...]:
        n, co = params.integers("n", "co")
        return layout_shape(params.text("layout"), n, self.spatial(params), co)

    def channel_axis(self, params: Params) -> int:
        return 3 if params.text("layout") == "nhwc" else 1

    def reduction_length(self, params: Params) -> int:
        return params.integer("ci") * math.prod(read_window(params, 2).kernel)

    def multiply_adds(self, params: Params) -> int:
        return math.prod(params.integers("n", "h", "w", "ci", "co", "kh", "kw"))

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        window, last = read_window(params, 2), params.text("layout") == "nhwc"
        spread = _spread(build, data, window, self.spatial(params), last)
        rc = build.reduce_axis(params.integer("ci"), "rc")
        taps = [build.reduce_axis(extent, name) for extent, name in zip(window.kernel, ("rh", "rw"), strict=True)]

        def element(batch: Expression, *index: Expression) -> Expression:
            *points, channel = index if last else (*index[1:], index[0])
            source = [affine(p, 1, tap, d) for p, tap, d in zip(points, taps, window.dilation, strict=True)]
            flipped = [extent - 1 - tap for extent, tap in zip(window.kernel, taps, strict=True)]
            if last:
                term = build.product(spread[(batch, *source, rc)], weight[(*flipped, rc, channel)])
                return build.sum(term, [*taps, rc])
            term = build.product(spread[(batch, rc, *source)], weight[(rc, channel, *flipped)])
            return build.sum(term, [rc, *taps])

        axes = result_axes(params.text("layout"), "co")
        return build.compute(self.result_shape(params), element, self.name, axes)

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        layout, window, exact = params.text("layout"), read_window(params, 2), is_exact(params)
        kernel = weight if layout == "nhwc" else weight.transpose(2, 3, 0, 1)
        out = np.zeros(self.result_shape(params), dtype=self.output(params).dtype)
        for image, result in zip(channels_last(data, layout), channels_last(out, layout), strict=True):
            _scatter(image, kernel, window, result, exact)
        return out


def _spread(build: TensorBuilder, data: Tensor, window: Window, spatial: tuple[int, ...], last: bool) -> Tensor:
    """The data with stride - 1 zeros between neighbours, and zeros around (or elements cut off) for the kernel."""
    extents = tuple(size + span - 1 for size, span in zip(spatial, window.spans, strict=True))
    lows = tuple(span - 1 - before for span, before in zip(window.spans, window.before, strict=True))
    if extents == window.extents and not any(lows):
        return data
    shape = [int(extent) for extent in data.shape]
    first = 1 if last else 2
    shape[first : first + 2] = extents

    def element(*index: Expression) -> Expression:
        source, conditions = list(index), []
        for axis, (low, stride, total) in enumerate(zip(lows, window.stride, extents, strict=True), first):
            position = index[axis] - low if low else index[axis]
            reach = (window.extents[axis - first] - 1) * stride + 1
            conditions += [index[axis] >= low] if low > 0 else []
            conditions += [position < reach] if total - low > reach else []
            conditions += [build.remainder(position, stride) == 0] if stride > 1 else []
            source[axis] = build.divide_floor(position, stride)
        return build.where(conditions, data(*source), 0)

    return build.compute(shape, element, "dilate_pad", "nhwc" if last else "nchw")


def _scatter(image: np.ndarray, kernel: np.ndarray, window: Window, out: np.ndarray, exact: bool) -> None:
    """Adds every input element's window to `out` [h, w, co], by one matrix product per kernel position."""
    (height, width), channels = window.extents, kernel.shape[-1]
    room = [
        max((extent - 1) * stride + span, size + before)
        for extent, stride, span, size, before in zip(
            window.extents, window.stride, window.spans, out.shape[:2], window.before, strict=True
        )
    ]
    full = np.zeros((*room, channels), dtype=out.dtype)
    rows = image.reshape(height * width, -1)
    for row, column in np.ndindex(*window.kernel):
        product = multiply_matrices(rows, kernel[row, column], exact=exact).reshape(height, width, channels)
        top, left = row * window.dilation[0], column * window.dilation[1]
        down, across = window.stride
        full[
            top : top + (height - 1) * down + 1 : down,
            left : left + (width - 1) * across + 1 : across,
        ] += product
    (top, left), (height, width) = window.before, out.shape[:2]
    out[:] = full[top : top + height, left : left + width]


CONV2D_TRANSPOSE = TransposedConvolution2d()
