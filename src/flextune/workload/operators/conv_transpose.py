"""Transposed convolutions in one, two and three dimensions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.contraction import Contraction, Operand, is_exact
from flextune.workload.elements import multiply_matrices
from flextune.workload.operator_parameters import Parameter, Params, PerDimension
from flextune.workload.operators.conv import check_groups, convolution_parameters
from flextune.workload.roles import LOWS, ROLE, SPREAD, STRIDES
from flextune.workload.windows import (
    Window,
    affine,
    channels_last,
    layout_shape,
    read_window,
    result_axes,
    spatial_names,
)

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class TransposedConvolution(Contraction):
    """Each input element adds weight * element to a window of the output: the gradient of a convolution.

    The output has (h - 1) * stride - pads + dilation * (kh - 1) + 1 + output_padding rows. Weights are stored as
    [ci, co / groups, kernel] for channels-first layouts (as ONNX does) and as [kernel, ci / groups, co] for
    channels-last ones. The program first spreads the input out with zeros between and around (block `dilate_pad`), then
    convolves with the flipped kernel; a schedule can do without those between (`flextune.schedule.phases`).
    Multiply-adds are counted for the input's own elements only, not for the zeros.
    """

    dimensions: ClassVar[int]

    def window(self, params: Params) -> Window:
        return read_window(params, self.dimensions)

    def spatial(self, params: Params) -> tuple[int, ...]:
        """The spatial extents of the output."""
        window, extra = self.window(params), params.per_dimension("output_padding", self.dimensions)
        return tuple(
            (extent - 1) * stride - before - after + span + more
            for extent, stride, before, after, span, more in zip(
                window.extents, window.stride, window.before, window.after, window.spans, extra, strict=True
            )
        )

    def check_shapes(self, params: Params) -> None:
        check_groups(params)
        window, extra = self.window(params), params.per_dimension("output_padding", self.dimensions)
        for more, stride, dilation in zip(extra, window.stride, window.dilation, strict=True):
            if more >= max(stride, dilation):
                raise params.error(f"output_padding={more} must be below the stride or the dilation")
        if min(self.spatial(params)) < 1:
            raise params.error(f"pad={params.text('pad')} leaves an output of {list(self.spatial(params))} elements")

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        n, ci, co, groups = params.integers("n", "ci", "co", "groups")
        window, layout = self.window(params), params.text("layout")
        last = layout.endswith("c")
        weight = (*window.kernel, ci // groups, co) if last else (ci, co // groups, *window.kernel)
        return ("data", layout_shape(layout, n, window.extents, ci)), ("weight", weight)

    def result_shape(self, params: Params) -> tuple[int, ...]:
        n, co = params.integers("n", "co")
        return layout_shape(params.text("layout"), n, self.spatial(params), co)

    def channel_axis(self, params: Params) -> int:
        return self.dimensions + 1 if params.text("layout").endswith("c") else 1

    def reduction_length(self, params: Params) -> int:
        ci, groups = params.integers("ci", "groups")
        return ci // groups * math.prod(self.window(params).kernel)

    def multiply_adds(self, params: Params) -> int:
        n, co = params.integers("n", "co")
        return n * co * math.prod(self.window(params).extents) * self.reduction_length(params)

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        window, last = self.window(params), params.text("layout").endswith("c")
        (ci, co, groups), names = params.integers("ci", "co", "groups"), spatial_names(self.dimensions)
        spread = _spread(build, data, window, self.spatial(params), params.text("layout"))
        rc = build.reduce_axis(ci // groups, "rc")
        taps = [build.reduce_axis(extent, f"r{name}") for name, extent in zip(names, window.kernel, strict=True)]

        def element(batch: Expression, *index: Expression) -> Expression:
            *points, channel = index if last else (*index[1:], index[0])
            source = [affine(p, 1, tap, d) for p, tap, d in zip(points, taps, window.dilation, strict=True)]
            flipped = [extent - 1 - tap for extent, tap in zip(window.kernel, taps, strict=True)]
            group = build.divide_floor(channel, co // groups) if groups > 1 else 0
            input_channel = rc if groups == 1 else group * (ci // groups) + rc
            if last:
                term = build.product(spread[(batch, *source, input_channel)], weight[(*flipped, rc, channel)])
                return build.sum(term, [*taps, rc])
            inside = channel if groups == 1 else channel - group * (co // groups)
            term = build.product(spread[(batch, input_channel, *source)], weight[(input_channel, inside, *flipped)])
            return build.sum(term, [rc, *taps])

        axes = result_axes(params.text("layout"), "co")
        return build.compute(self.result_shape(params), element, self.name, axes)

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        layout, window, groups = params.text("layout"), self.window(params), params.integer("groups")
        images = channels_last(data, layout)
        out = np.zeros(self.result_shape(params), dtype=self.output(params).dtype)
        results = channels_last(out, layout)
        inputs, outputs = images.shape[-1] // groups, results.shape[-1] // groups
        for group in range(groups):
            of_data, of_out = (slice(group * each, (group + 1) * each) for each in (inputs, outputs))
            kernel = weight[..., of_out] if layout.endswith("c") else np.moveaxis(weight[of_data], (0, 1), (-2, -1))
            for image, result in zip(images[..., of_data], results[..., of_out], strict=True):
                _scatter(image, kernel, window, result, is_exact(params))
        return out


def _spread(build: TensorBuilder, data: Tensor, window: Window, spatial: tuple[int, ...], layout: str) -> Tensor:
    """The data with stride - 1 zeros between neighbours, and zeros around (or elements cut off) for the kernel."""
    extents = tuple(size + span - 1 for size, span in zip(spatial, window.spans, strict=True))
    lows = tuple(span - 1 - before for span, before in zip(window.spans, window.before, strict=True))
    strided = any(stride > 1 and size != 1 for stride, size in zip(window.stride, window.extents, strict=True))
    if extents == window.extents and not any(lows) and not strided:
        return data
    shape = build.shape(data)
    first = 1 if layout.endswith("c") else 2
    shape[first : first + window.dimensions] = extents

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

    before, behind = ((0,), (0,)) if layout.endswith("c") else ((0, 0), ())
    annotations = {
        ROLE: SPREAD,
        STRIDES: [*(1 for _ in before), *window.stride, *(1 for _ in behind)],
        LOWS: [*before, *lows, *behind],
    }
    return build.compute(shape, element, "dilate_pad", layout, annotations if max(window.stride) > 1 else None)


def _scatter(image: np.ndarray, kernel: np.ndarray, window: Window, out: np.ndarray, exact: bool) -> None:
    """Adds every input element's window to `out` [spatial, co], by one matrix product per kernel position."""
    channels = kernel.shape[-1]
    room = [
        max((extent - 1) * stride + span, size + before)
        for extent, stride, span, size, before in zip(
            window.extents, window.stride, window.spans, out.shape[:-1], window.before, strict=True
        )
    ]
    full = np.zeros((*room, channels), dtype=out.dtype)
    rows = image.reshape(math.prod(window.extents), -1)
    for position in np.ndindex(*window.kernel):
        product = multiply_matrices(rows, kernel[position], exact=exact).reshape(*window.extents, channels)
        starts = [place * step for place, step in zip(position, window.dilation, strict=True)]
        full[
            tuple(
                slice(start, start + (extent - 1) * stride + 1, stride)
                for start, extent, stride in zip(starts, window.extents, window.stride, strict=True)
            )
        ] += product
    kept = zip(window.before, out.shape[:-1], strict=True)
    out[:] = full[tuple(slice(before, before + size) for before, size in kept)]


def _parameters(dimensions: int) -> tuple[Parameter, ...]:
    return convolution_parameters(dimensions, PerDimension("output_padding", 0, dimensions=dimensions, minimum=0))


class TransposedConvolution1d(TransposedConvolution):
    name = "conv1d_transpose"
    dimensions = 1
    parameters = _parameters(1)


class TransposedConvolution2d(TransposedConvolution):
    name = "conv2d_transpose"
    dimensions = 2
    parameters = _parameters(2)


class TransposedConvolution3d(TransposedConvolution):
    name = "conv3d_transpose"
    dimensions = 3
    parameters = _parameters(3)


CONV1D_TRANSPOSE = TransposedConvolution1d()
CONV2D_TRANSPOSE = TransposedConvolution2d()
CONV3D_TRANSPOSE = TransposedConvolution3d()
