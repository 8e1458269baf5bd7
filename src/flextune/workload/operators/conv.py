"""Convolutions in one, two and three dimensions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.contraction import Contraction, Operand, contraction_parameters, is_exact
from flextune.workload.elements import multiply_matrices
from flextune.workload.operator_parameters import Choice, Count, Parameter, Params, PerDimension, Size
from flextune.workload.windows import (
    Window,
    affine,
    channels_last,
    check_window,
    gather_windows,
    layout_shape,
    pad_image,
    read_window,
    result_axes,
    spatial_names,
)

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

_GATHERED_ELEMENTS = 1 << 23  # windows held at a time by the reference: 32 MB


def window_parameters(dimensions: int) -> tuple[Parameter, ...]:
    return (
        PerDimension("stride", 1, dimensions=dimensions),
        PerDimension("pad", 0, dimensions=dimensions, minimum=0, ends=True),
        PerDimension("dilation", 1, dimensions=dimensions),
    )


def convolution_parameters(dimensions: int, *more: Parameter) -> tuple[Parameter, ...]:
    """Those of a convolution by its extents, with `more` behind what says how its windows lie."""
    names = spatial_names(dimensions)
    return contraction_parameters(
        Size("n", 1),
        *(Size(name) for name in names),
        Size("ci"),
        Size("co"),
        *(Size(f"k{name}") for name in names),
        *window_parameters(dimensions),
        *more,
        Count("groups", 1),
        Choice("layout", layouts(dimensions)[0], choices=layouts(dimensions)),
    )


def layouts(dimensions: int) -> tuple[str, str]:
    names = spatial_names(dimensions)
    return f"nc{names}", f"n{names}c"


def check_groups(params: Params) -> None:
    """Raises `UsageError` when the channels cannot be divided into the groups."""
    groups = params.integer("groups")
    for name in ("ci", "co"):
        if params.integer(name) % groups:
            raise params.error(f"{name}={params.integer(name)} is not divisible by groups={groups}")


class Convolution(Contraction):
    """out[n, co, y] = sum over ci and r of data[n, ci, y * stride + r * dilation - pad] * weight[co, ci, r].

    Weights are stored as [co, ci / groups, kernel] for channels-first layouts and as [kernel, ci / groups, co] for
    channels-last ones. With groups, output channel co reads the input channels of group co // (co_total / groups).
    """

    dimensions: ClassVar[int]

    def window(self, params: Params) -> Window:
        return read_window(params, self.dimensions)

    def check_shapes(self, params: Params) -> None:
        check_groups(params)
        check_window(params, self.window(params))

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        n, ci, co, groups = params.integers("n", "ci", "co", "groups")
        window, layout = self.window(params), params.text("layout")
        last = layout.endswith("c")
        weight = (*window.kernel, ci // groups, co) if last else (co, ci // groups, *window.kernel)
        return ("data", layout_shape(layout, n, window.extents, ci)), ("weight", weight)

    def result_shape(self, params: Params) -> tuple[int, ...]:
        n, co = params.integers("n", "co")
        return layout_shape(params.text("layout"), n, self.window(params).result, co)

    def channel_axis(self, params: Params) -> int:
        return self.dimensions + 1 if params.text("layout").endswith("c") else 1

    def reduction_length(self, params: Params) -> int:
        ci, groups = params.integers("ci", "groups")
        return ci // groups * math.prod(self.window(params).kernel)

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        window, (ci, co, groups) = self.window(params), params.integers("ci", "co", "groups")
        last = params.text("layout").endswith("c")
        padded = build.pad_spatial(data, window.before, window.after, layout=params.text("layout"))
        names = spatial_names(self.dimensions)
        rc = build.reduce_axis(ci // groups, "rc")
        taps = [build.reduce_axis(extent, f"r{name}") for name, extent in zip(names, window.kernel, strict=True)]

        def element(batch: Expression, *index: Expression) -> Expression:
            *points, channel = index if last else (*index[1:], index[0])
            source = [
                affine(point, stride, tap, dilation)
                for point, stride, tap, dilation in zip(points, window.stride, taps, window.dilation, strict=True)
            ]
            input_channel = rc if groups == 1 else build.divide_floor(channel, co // groups) * (ci // groups) + rc
            if last:
                term = build.product(padded[(batch, *source, input_channel)], weight[(*taps, rc, channel)])
                return build.sum(term, [*taps, rc])
            term = build.product(padded[(batch, input_channel, *source)], weight[(channel, rc, *taps)])
            return build.sum(term, [rc, *taps])

        axes = result_axes(params.text("layout"), "co")
        return build.compute(self.result_shape(params), element, self.name, axes)

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        layout, groups = params.text("layout"), params.integer("groups")
        window = self.window(params)
        images = channels_last(data, layout)
        if not layout.endswith("c"):
            weight = np.moveaxis(weight, (0, 1), (-1, -2))
        out = np.empty(self.result_shape(params), dtype=self.output(params).dtype)
        target = channels_last(out, layout)
        for image, result in zip(images, target, strict=True):
            convolve_image(pad_image(image, window), weight, window, groups, result, is_exact(params))
        return out


def convolve_image(
    padded: np.ndarray, weight: np.ndarray, window: Window, groups: int, out: np.ndarray, exact: bool
) -> None:
    """Convolves one padded float32 image [spatial, ci] with [kernel, ci / groups, co] into `out` [spatial, co].

    Rows of output points are gathered as a matrix of windows and multiplied by BLAS, one product per group.
    """
    taps, per_group, channels = math.prod(window.kernel), weight.shape[-2], weight.shape[-1]
    matrices = weight.reshape(taps * per_group, groups, channels // groups).transpose(1, 0, 2)
    row_elements = math.prod(window.result[1:]) * taps * padded.shape[-1]
    rows = max(1, _GATHERED_ELEMENTS // row_elements)
    for first in range(0, window.result[0], rows):
        last = min(first + rows, window.result[0])
        windows = gather_windows(padded, window, first, last)
        points = windows.shape[0]
        split = windows.reshape(points, taps, groups, per_group).transpose(2, 0, 1, 3)
        product = multiply_matrices(split.reshape(groups, points, taps * per_group), matrices, exact=exact)
        out[first:last] = product.transpose(1, 0, 2).reshape(last - first, *window.result[1:], channels)


class Convolution1d(Convolution):
    name = "conv1d"
    dimensions = 1
    parameters = convolution_parameters(1)


class Convolution2d(Convolution):
    name = "conv2d"
    dimensions = 2
    parameters = convolution_parameters(2)


class Convolution3d(Convolution):
    name = "conv3d"
    dimensions = 3
    parameters = convolution_parameters(3)


CONV1D = Convolution1d()
CONV2D = Convolution2d()
CONV3D = Convolution3d()
