"""Convolution as one matrix product: the windows of the image are written out as columns first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flextune.tvm_types import Expression, Tensor
from flextune.workload.operator_parameters import Params
from flextune.workload.operators.conv import CONV2D, Convolution
from flextune.workload.windows import affine, result_axes

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class Im2colConvolution2d(Convolution):
    """What `conv2d` computes, with the same parameters, by way of block `columns`: every window written out.

    For the layout nchw the columns are [n, ci, kh, kw, oh, ow], for nhwc [n, oh, ow, kh, kw, ci]: in memory the matrix
    that is multiplied by the weights.
    """

    name = "conv2d_im2col"
    dimensions = 2
    parameters = CONV2D.parameters

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        window, layout = self.window(params), params.text("layout")
        n, ci, co, groups = params.integers("n", "ci", "co", "groups")
        last, result, kernel = layout.endswith("c"), window.result, window.kernel
        padded = build.pad_spatial(data, window.before, window.after, layout=layout)

        def gathered(batch: Expression, *index: Expression) -> Expression:
            channel, taps, points = (index[4], index[2:4], index[:2]) if last else (index[0], index[1:3], index[3:])
            source = [affine(*each) for each in zip(points, window.stride, taps, window.dilation, strict=True)]
            return padded[(batch, *source, channel)] if last else padded[(batch, channel, *source)]

        shape, names = (
            ((n, *result, *kernel, ci), ("n", "oh", "ow", "rh", "rw", "rc"))
            if last
            else ((n, ci, *kernel, *result), ("n", "rc", "rh", "rw", "oh", "ow"))
        )
        columns = build.compute(shape, gathered, "columns", names)
        rc = build.reduce_axis(ci // groups, "rc")
        taps = [build.reduce_axis(extent, name) for name, extent in zip(("rh", "rw"), kernel, strict=True)]

        def element(batch: Expression, *index: Expression) -> Expression:
            *points, channel = index if last else (*index[1:], index[0])
            source = rc if groups == 1 else build.divide_floor(channel, co // groups) * (ci // groups) + rc
            if last:
                term = build.product(columns[(batch, *points, *taps, source)], weight[(*taps, rc, channel)])
                return build.sum(term, [*taps, rc])
            term = build.product(columns[(batch, source, *taps, *points)], weight[(channel, rc, *taps)])
            return build.sum(term, [rc, *taps])

        return build.compute(self.result_shape(params), element, self.name, result_axes(layout, "co"))


CONV2D_IM2COL = Im2colConvolution2d()
