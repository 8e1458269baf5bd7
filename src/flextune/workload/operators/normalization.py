"""Softmax and layer normalization along the last axis of a matrix.

dtype=bfloat16 is the type of all operands and of the result, which is computed in float32 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import BFLOAT16, element_type
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Params, Real, Size
from flextune.workload.operators.reduction import averaged_tolerance
from flextune.workload.tensor import FLOAT32_ROUNDING, TensorSpec, Tolerance

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

_DTYPE = Choice("dtype", "float32", choices=("float32", "bfloat16"), printed=True)


class Softmax(Operator):
    """out[i, j] = exp(data[i, j] - max_j data[i, j]) / sum over j of the same."""

    name = "softmax"
    parameters = (Size("rows"), Size("cols"), _DTYPE)

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        return (TensorSpec("data", params.integers("rows", "cols"), element_type(params.text("dtype"))),)

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", params.integers("rows", "cols"), element_type(params.text("dtype")))

    def reduction_length(self, params: Params) -> int:
        return params.integer("cols")

    def flops(self, params: Params) -> int:
        return 5 * math.prod(params.integers("rows", "cols"))

    def tolerance(self, params: Params) -> Tolerance:
        return Tolerance(averaged_tolerance(params.integer("cols")).relative + _rounding(params), 1e-30)

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        data, shape = tensors[0], params.integers("rows", "cols")
        r = build.reduce_axis(shape[1], "r")
        peak = build.compute(shape[:1], lambda i: build.max_over(build.widened(data[i, r]), [r]), "row_max")
        raised = build.compute(shape, lambda i, j: build.exp(build.widened(data[i, j]) - peak[i]), "exp")
        s = build.reduce_axis(shape[1], "r")
        total = build.compute(shape[:1], lambda i: build.sum(raised[i, s], [s]), "row_sum")
        return build.compute(shape, lambda i, j: build.stored(raised[i, j] / total[i]), self.name)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        wide = element_type(params.text("dtype")).decode(arrays[0]).astype(np.float64)
        raised = np.exp(wide - wide.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


class LayerNorm(Operator):
    """out[i, j] = (data[i, j] - mean_i) / sqrt(variance_i + epsilon) * gamma[j] + beta[j]."""

    name = "layer_norm"
    parameters = (Size("rows"), Size("cols"), Real("epsilon", "1e-05"), _DTYPE)

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        rows, cols = params.integers("rows", "cols")
        return (
            TensorSpec("data", (rows, cols), element_type(params.text("dtype"))),
            TensorSpec("gamma", (cols,), element_type(params.text("dtype"))),
            TensorSpec("beta", (cols,), element_type(params.text("dtype"))),
        )

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", params.integers("rows", "cols"), element_type(params.text("dtype")))

    def reduction_length(self, params: Params) -> int:
        return params.integer("cols")

    def flops(self, params: Params) -> int:
        rows, cols = params.integers("rows", "cols")
        return 8 * rows * cols + 4 * rows

    def tolerance(self, params: Params) -> Tolerance:
        """A row whose values almost agree magnifies the rounding of its mean by 1 / sqrt(variance + epsilon)."""
        relative = averaged_tolerance(params.integer("cols")).relative
        spread = 1.0 if params.integer("cols") > 2 else 1.0 / math.sqrt(float(params.text("epsilon")))
        return Tolerance(relative + _rounding(params), 64 * FLOAT32_ROUNDING * spread)

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        data, gamma, beta = tensors
        rows, cols = params.integers("rows", "cols")
        share, epsilon = build.share(cols), build.constant(float(params.text("epsilon")))
        r = build.reduce_axis(cols, "r")
        total = build.compute((rows,), lambda i: build.sum(build.widened(data[i, r]), [r]), "sum")
        s = build.reduce_axis(cols, "r")

        def squared(i: Expression) -> Expression:
            off = build.widened(data[i, s]) - total[i] * share
            return build.sum(off * off, [s])

        squares = build.compute((rows,), squared, "squares")

        def element(i: Expression, j: Expression) -> Expression:
            scale = build.sqrt(squares[i] * share + epsilon)
            normal = (build.widened(data[i, j]) - total[i] * share) / scale
            return build.stored(normal * build.widened(gamma[j]) + build.widened(beta[j]))

        return build.compute((rows, cols), element, self.name)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        element = element_type(params.text("dtype"))
        wide, gamma, beta = (element.decode(array).astype(np.float64) for array in arrays)
        centred = wide - wide.mean(axis=1, keepdims=True)
        variance = np.mean(centred**2, axis=1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + float(params.text("epsilon"))) * gamma + beta)


def _rounding(params: Params) -> float:
    """What two results that are rounded to bfloat16 may differ by beyond what they differ by before, relatively."""
    return BFLOAT16.step if params.text("dtype") == BFLOAT16.name else 0.0


SOFTMAX = Softmax()
LAYER_NORM = LayerNorm()
