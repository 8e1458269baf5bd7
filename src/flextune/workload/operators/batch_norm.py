"""Batch normalization as in training: by the statistics of the batch itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import FLOAT32
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Count, Flag, Params, Real, Size
from flextune.workload.operators.conv import layouts
from flextune.workload.operators.reduction import averaged_tolerance
from flextune.workload.tensor import FLOAT32_ROUNDING, TensorSpec, Tolerance
from flextune.workload.windows import layout_shape, result_axes

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class BatchNorm(Operator):
    """out[n, c, ...] = (data[n, c, ...] - mean_c) / sqrt(variance_c + epsilon) * gamma[c] + beta[c].

    Mean and variance are those of channel c over the batch and, with h or w, over the image. The data is [n, c], or
    with h or w an image in the given layout. `unbiased=1` divides squares by one less than their number, as FlexTensor
    does; PyTorch and ONNX normalize with the plain mean of squares.
    """

    name = "batch_norm"
    parameters = (
        Size("n"),
        Size("c"),
        Count("h", 1),
        Count("w", 1),
        Flag("unbiased"),
        Real("epsilon", "1e-05"),
        Choice("layout", "nchw", choices=layouts(2)),
        Choice("dtype", "float32", choices=("float32",), printed=True),
    )

    def check(self, params: Params) -> None:
        if params.integer("unbiased") and self.reduction_length(params) < 2:
            raise params.error("unbiased=1 needs at least two elements per channel")

    def _shape(self, params: Params) -> tuple[int, ...]:
        n, c, h, w = params.integers("n", "c", "h", "w")
        return (n, c) if h == w == 1 else layout_shape(params.text("layout"), n, (h, w), c)

    def _channel_axis(self, params: Params) -> int:
        return len(self._shape(params)) - 1 if params.text("layout") == "nhwc" else 1

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        c = params.integer("c")
        return (
            TensorSpec("data", self._shape(params), FLOAT32),
            TensorSpec("gamma", (c,), FLOAT32),
            TensorSpec("beta", (c,), FLOAT32),
        )

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", self._shape(params), FLOAT32)

    def reduction_length(self, params: Params) -> int:
        return math.prod(params.integers("n", "h", "w"))

    def flops(self, params: Params) -> int:
        c = params.integer("c")
        return 8 * c * self.reduction_length(params) + 4 * c

    def tolerance(self, params: Params) -> Tolerance:
        """As for layer norm: values of a channel that almost agree magnify the rounding of their mean."""
        length = self.reduction_length(params)
        spread = 1.0 if length > 2 else 1.0 / math.sqrt(float(params.text("epsilon")))
        return Tolerance(averaged_tolerance(length).relative, 64 * FLOAT32_ROUNDING * spread)

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        data, gamma, beta = tensors
        shape, axis, length = self._shape(params), self._channel_axis(params), self.reduction_length(params)
        share = build.constant(1.0 / length)
        squares_share = build.constant(1.0 / (length - params.integer("unbiased")))
        epsilon, channels = build.constant(float(params.text("epsilon"))), (params.integer("c"),)
        names = result_axes(params.text("layout"), "c") if len(shape) > 2 else ("n", "c")

        def over(name: str, term: Callable[[Expression, Expression], Expression]) -> Tensor:
            loops = [
                build.reduce_axis(e, f"r{n}") for d, (e, n) in enumerate(zip(shape, names, strict=True)) if d != axis
            ]

            def element(c: Expression) -> Expression:
                return build.sum(term(data[(*loops[:axis], c, *loops[axis:])], c), loops)

            return build.compute(channels, element, name)

        total = over("sum", lambda value, _: value)

        def squared(value: Expression, c: Expression) -> Expression:
            off = value - total[c] * share
            return off * off

        squares = over("squares", squared)

        def element(*index: Expression) -> Expression:
            c = index[axis]
            scale = build.sqrt(squares[c] * squares_share + epsilon)
            return (data(*index) - total[c] * share) / scale * gamma[c] + beta[c]

        return build.compute(shape, element, self.name, names)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        axis = self._channel_axis(params)
        data, gamma, beta = (array.astype(np.float64) for array in arrays)
        last = np.moveaxis(data, axis, -1)
        others = tuple(range(last.ndim - 1))
        centred = last - last.mean(axis=others)
        variance = last.var(axis=others, ddof=params.integer("unbiased"))
        normal = centred / np.sqrt(variance + float(params.text("epsilon"))) * gamma + beta
        return np.moveaxis(normal, -1, axis)


BATCH_NORM = BatchNorm()
