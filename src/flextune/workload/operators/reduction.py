"""Reductions of a matrix along one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import FLOAT32
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Flag, Params, Size
from flextune.workload.tensor import FLOAT32_ROUNDING, TensorSpec, Tolerance

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class Reduce(Operator):
    """The sum, mean or variance (of the population) of data[m, n] along `axis`: 1 gives [m], 0 gives [n]."""

    name = "reduce"
    parameters = (
        Choice("op", choices=("sum", "mean", "variance")),
        Size("m"),
        Size("n"),
        Flag("axis", 1),
        Choice("dtype", "float32", choices=("float32",), printed=True),
    )

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        return (TensorSpec("data", params.integers("m", "n"), FLOAT32),)

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", (params.integer("n" if params.integer("axis") == 0 else "m"),), FLOAT32)

    def reduction_length(self, params: Params) -> int:
        return params.integer("m" if params.integer("axis") == 0 else "n")

    def flops(self, params: Params) -> int:
        elements, results = math.prod(params.integers("m", "n")), self.output(params).elements
        return {"sum": elements, "mean": elements + results, "variance": 4 * elements + 2 * results}[params.text("op")]

    def tolerance(self, params: Params) -> Tolerance:
        if params.text("op") == "sum":
            return Operator.tolerance(self, params)
        return averaged_tolerance(self.reduction_length(params))

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        data, op, length = tensors[0], params.text("op"), self.reduction_length(params)
        first = params.integer("axis") == 0
        shape = self.output(params).shape
        share = build.constant(1.0 / length)

        def total(term: Expression, name: str) -> Expression:
            r = build.reduce_axis(length, "r")
            return build.compute(shape, lambda i: build.sum(term(r, i) if first else term(i, r), [r]), name)

        sums = total(data, "sum")
        if op == "sum":
            return sums
        if op == "mean":
            return build.compute(shape, lambda i: sums[i] * share, "mean")

        def squared(i: Expression, j: Expression) -> Expression:
            off = data[i, j] - sums[j if first else i] * share
            return off * off

        squares = total(squared, "squares")
        return build.compute(shape, lambda i: squares[i] * share, "variance")

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        wide, axis = arrays[0].astype(np.float64), params.integer("axis")
        match params.text("op"):
            case "sum":
                return np.asarray(wide.sum(axis=axis))
            case "mean":
                return np.asarray(wide.mean(axis=axis))
            case _:
                return np.asarray(wide.var(axis=axis))


def averaged_tolerance(length: int) -> Tolerance:
    """For results that are divided by the number of terms, or by another sum of positive terms.

    The relative error of a sum of K positive terms is about u * sqrt(K) / 3 when roundings are random; 4 times u *
    sqrt(K) are allowed on top of a few roundings of the result itself. Means of numbers in [-1, 1] may cancel, which
    the absolute part allows for.
    """
    return Tolerance(1e-5 + 4 * FLOAT32_ROUNDING * math.sqrt(length), 8 * FLOAT32_ROUNDING)


REDUCE = Reduce()
