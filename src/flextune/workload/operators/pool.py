"""Max and average pooling in two dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import FLOAT32
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Flag, Params, PerDimension, Size
from flextune.workload.operators.conv import layouts
from flextune.workload.tensor import TensorSpec
from flextune.workload.windows import (
    Window,
    affine,
    channels_last,
    check_window,
    layout_shape,
    pad_image,
    result_axes,
    window_slices,
)

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

_LOWEST = float(np.finfo(np.float32).min)


class Pool2d(Operator):
    """The maximum or the mean of each window. A mean leaves padding out unless `include_pad=1`."""

    name = "pool2d"
    parameters = (
        Choice("kind", choices=("max", "avg")),
        Size("n", 1),
        *(Size(name) for name in ("h", "w", "c", "kh", "kw")),
        PerDimension("stride", 1, dimensions=2),
        PerDimension("pad", 0, dimensions=2, minimum=0, ends=True),
        Flag("include_pad"),
        Choice("layout", "nchw", choices=layouts(2)),
        Choice("dtype", "float32", choices=("float32",), printed=True),
    )

    def window(self, params: Params) -> Window:
        before, after = params.pads(2)
        stride = params.per_dimension("stride", 2)
        return Window(params.integers("h", "w"), params.integers("kh", "kw"), stride, (1, 1), before, after)

    def check(self, params: Params) -> None:
        window = self.window(params)
        check_window(params, window)
        for kernel, before, after in zip(window.kernel, window.before, window.after, strict=True):
            if max(before, after) >= kernel:
                raise params.error(f"pad={params.text('pad')} must be smaller than the kernel, or windows are empty")

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        n, c = params.integers("n", "c")
        return (TensorSpec("data", layout_shape(params.text("layout"), n, self.window(params).extents, c), FLOAT32),)

    def output(self, params: Params) -> TensorSpec:
        n, c = params.integers("n", "c")
        return TensorSpec("out", layout_shape(params.text("layout"), n, self.window(params).result, c), FLOAT32)

    def reduction_length(self, params: Params) -> int:
        return math.prod(self.window(params).kernel)

    def flops(self, params: Params) -> int:
        divisions = 1 if params.text("kind") == "avg" else 0
        return self.output(params).elements * (self.reduction_length(params) + divisions)

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        window, last = self.window(params), params.text("layout") == "nhwc"
        largest = params.text("kind") == "max"
        shape, axes = self.output(params).shape, result_axes(params.text("layout"), "c")
        padded = build.pad_spatial(
            tensors[0], window.before, window.after, layout=params.text("layout"), value=_LOWEST if largest else 0
        )
        taps = [build.reduce_axis(extent, name) for extent, name in zip(window.kernel, ("rh", "rw"), strict=True)]

        def element(*index: Expression) -> Expression:
            source = list(index)
            for axis, (tap, stride) in enumerate(zip(taps, window.stride, strict=True), 1 if last else 2):
                source[axis] = affine(index[axis], stride, tap, 1)
            value = padded[tuple(source)]
            return build.max_over(value, taps) if largest else build.sum(value, taps)

        if largest:
            return build.compute(shape, element, self.name, axes)
        sums = build.compute(shape, element, "pool_sum", axes)
        first = 1 if last else 2

        def mean(*index: Expression) -> Expression:
            return sums(*index) / self._count(build, params, window, index[first : first + 2])

        return build.compute(shape, mean, self.name, axes)

    def _count(self, build: TensorBuilder, params: Params, window: Window, points: Sequence[Expression]) -> Expression:
        """How many elements the mean of one window is taken over."""
        if params.integer("include_pad") or not any((*window.before, *window.after)):
            return build.constant(float(math.prod(window.kernel)))
        counts = []
        for point, extent, kernel, stride, before in zip(
            points, window.extents, window.kernel, window.stride, window.before, strict=True
        ):
            start = point * stride - before
            counts.append(build.minimum(start + kernel, extent) - build.maximum(start, 0))
        return (counts[0] * counts[1]).astype("float32")

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        window, layout = self.window(params), params.text("layout")
        largest = params.text("kind") == "max"
        out = np.full(self.output(params).shape, -np.inf if largest else 0.0, dtype=np.float32)
        images = zip(channels_last(arrays[0], layout), channels_last(out, layout), strict=True)
        for image, result in images:
            padded = pad_image(image, window, -np.inf if largest else 0.0)
            for _, slices in window_slices(window):
                if largest:
                    np.maximum(result, padded[slices], out=result)
                else:
                    result += padded[slices]
        return out if largest else self._means(params, window, out)

    def _means(self, params: Params, window: Window, sums: np.ndarray) -> np.ndarray:
        ones = np.ones((*window.extents, 1), dtype=np.float32)
        padded = pad_image(ones, window, float(params.integer("include_pad")))
        counts = sum((padded[slices] for _, slices in window_slices(window)), start=np.zeros(1, dtype=np.float32))
        shaped = counts if params.text("layout") == "nhwc" else np.moveaxis(counts, -1, 0)
        return np.asarray(sums / shaped[None])


POOL2D = Pool2d()
