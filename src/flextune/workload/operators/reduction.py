"""Reductions of a matrix along one axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import FLOAT32, INT32, UINT8, ElementType, element_type
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Count, Flag, Params, Size
from flextune.workload.tensor import FLOAT32_ROUNDING, TensorSpec, Tolerance

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


_TO_NUMBERS = ("sum", "mean", "variance")
_OPERATIONS = (*_TO_NUMBERS, "max", "min", "argmax", "argmin")


class Reduce(Operator):
    """The sum, mean, variance, maximum or minimum of data[m, n] along `axis`, or where the latter two are.

    axis=1 gives [m], axis=0 gives [n]; with `batch` there are as many such matrices. The variance is that of the
    population, or with `unbiased=1` of a sample (divided by one less than the number of elements). argmax and argmin
    are the position of the first extreme element. A NaN makes the result NaN and is where argmax and argmin find it,
    as in NumPy. Of dtype=bfloat16, which is summed in float32, the results are float32; of uint8 sums are int32, and
    there is no mean or variance. Positions are int32.
    """

    name = "reduce"
    parameters = (
        Choice("op", choices=_OPERATIONS),
        Size("m"),
        Size("n"),
        Flag("axis", 1),
        Count("batch", 1),
        Flag("unbiased"),
        Choice("dtype", "float32", choices=("float32", "bfloat16", "uint8"), printed=True),
    )

    def check(self, params: Params) -> None:
        op, is_whole = params.text("op"), params.text("dtype") == "uint8"
        if is_whole and op in ("mean", "variance"):
            raise params.error(f"op={op} needs floats: use dtype=float32 or op=sum")
        if params.integer("unbiased") and (op != "variance" or self.reduction_length(params) < 2):
            raise params.error("unbiased=1 is for the variance of at least two elements")

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        batch, m, n = params.integers("batch", "m", "n")
        shape = (m, n) if batch == 1 else (batch, m, n)
        return (TensorSpec("data", shape, element_type(params.text("dtype"))),)

    def output(self, params: Params) -> TensorSpec:
        batch = params.integer("batch")
        rest = (params.integer("n" if params.integer("axis") == 0 else "m"),)
        return TensorSpec("out", rest if batch == 1 else (batch, *rest), self._result(params))

    def _result(self, params: Params) -> ElementType:
        if params.text("op").startswith("arg"):
            return INT32
        if params.text("dtype") == "uint8":
            return INT32 if params.text("op") == "sum" else UINT8
        return FLOAT32

    def reduction_length(self, params: Params) -> int:
        return params.integer("m" if params.integer("axis") == 0 else "n")

    def flops(self, params: Params) -> int:
        elements, results = math.prod(params.integers("batch", "m", "n")), self.output(params).elements
        return {"mean": elements + results, "variance": 4 * elements + 2 * results}.get(params.text("op"), elements)

    def tolerance(self, params: Params) -> Tolerance:
        """Nothing is rounded where an element, or its position, is picked."""
        if params.text("op") not in _TO_NUMBERS:
            return Tolerance(0.0, 0.0)
        if params.text("op") == "sum":
            return Operator.tolerance(self, params)
        return averaged_tolerance(self.reduction_length(params))

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        data, op, length = tensors[0], params.text("op"), self.reduction_length(params)
        first = params.integer("axis") == 0
        shape = self.output(params).shape
        share = build.share(length)

        def element(index: Sequence[Expression], r: Expression) -> Expression:
            *batch, i = index
            return data[(*batch, r, i)] if first else data[(*batch, i, r)]

        def reduced(name: str, term: Callable[..., Expression], over: Callable[..., Expression]) -> Tensor:
            r = build.reduce_axis(length, "r")
            return build.compute(shape, lambda *index: over(term(index, r), [r]), name, _axes(shape))

        if op in ("max", "min"):
            return reduced(op, element, build.largest if op == "max" else build.smallest)
        if op in ("argmax", "argmin"):
            extreme = reduced(op[3:], element, build.largest if op == "argmax" else build.smallest)

            def position(index: Sequence[Expression], r: Expression) -> Expression:
                value = element(index, r)
                return build.choose(
                    [build.is_found(value, extreme[tuple(index)])], build.number(r), build.number(length)
                )

            return reduced(op, position, build.min_over)

        sums = reduced("sum", lambda index, r: build.widened(element(index, r)), build.sum)
        if op == "sum":
            return sums
        if op == "mean":
            return build.compute(shape, lambda *index: sums[index] * share, "mean", _axes(shape))

        def squared(index: Sequence[Expression], r: Expression) -> Expression:
            off = build.widened(element(index, r)) - sums[tuple(index)] * share
            return off * off

        squares = reduced("squares", squared, build.sum)
        rest = build.share(length - params.integer("unbiased"))
        return build.compute(shape, lambda *index: squares[index] * rest, "variance", _axes(shape))

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        stored, axis = element_type(params.text("dtype")).decode(arrays[0]), params.integer("axis") - 2
        match params.text("op"):
            case "sum":
                return np.asarray(stored.sum(axis=axis, dtype=np.int64 if stored.dtype.kind == "u" else np.float64))
            case "mean":
                return np.asarray(stored.mean(axis=axis, dtype=np.float64))
            case "variance":
                return np.asarray(stored.astype(np.float64).var(axis=axis, ddof=params.integer("unbiased")))
            case op:
                return np.asarray(getattr(np, op)(stored, axis=axis))


def _axes(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Loop names of a result."""
    return ("i",) if len(shape) == 1 else ("b", "i")


def averaged_tolerance(length: int) -> Tolerance:
    """For results that are divided by the number of terms, or by another sum of positive terms.

    The relative error of a sum of K positive terms is about u * sqrt(K) / 3 when roundings are random; 4 times u *
    sqrt(K) are allowed on top of a few roundings of the result itself. Means of numbers in [-1, 1] may cancel, which
    the absolute part allows for.
    """
    return Tolerance(1e-5 + 4 * FLOAT32_ROUNDING * math.sqrt(length), 8 * FLOAT32_ROUNDING)


REDUCE = Reduce()
