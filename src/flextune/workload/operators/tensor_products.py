"""Products of three tensors: bilinear maps and the matricized tensor times Khatri-Rao product (MTTKRP)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import FLOAT32, element_type
from flextune.workload.operator import FLOAT_RELATIVE, Operator
from flextune.workload.operator_parameters import Choice, Params, Size
from flextune.workload.tensor import FLOAT32_ROUNDING, TensorSpec, Tolerance

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

_DTYPE = Choice("dtype", "float32", choices=("float32", "bfloat16"), printed=True)
_LEAST_LANES = 8
"""Vectors run along the batch of a bilinear map from here on."""


class _TripleProduct(Operator):
    """What sums of products of three elements over two axes, k1 and k2, have in common: sizes n, k1, k2, m.

    They are computed as a matrix product over one of the axes, and a sum over the other one that costs little beside
    it. Operations are counted so: about two for each of the n * k1 * k2 * m terms. dtype=bfloat16 sums in float32.
    """

    parameters = (Size("n"), Size("k1"), Size("k2"), Size("m"), _DTYPE)

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", params.integers("n", "m"), FLOAT32)

    def reduction_length(self, params: Params) -> int:
        return math.prod(params.integers("k1", "k2"))

    def tolerance(self, params: Params) -> Tolerance:
        """Sums of sums: each of the k2 terms of one rounds as a sum of k1 does, and the other way round.

        Partial sums of t products of three numbers in [-1, 1] are about sqrt(t) / 5, so that the roundings of sums in
        two stages add up to about u * sqrt(k1 * k2) * (sqrt(k1) + sqrt(k2)) / 10 whichever comes first. Forty times
        that is allowed, as for sums of products of two.
        """
        inner, outer = params.integers("k1", "k2")
        terms = math.sqrt(inner * outer) * (math.sqrt(inner) + math.sqrt(outer))
        return Tolerance(FLOAT_RELATIVE, 4 * FLOAT32_ROUNDING * max(16.0, terms))

    def _specs(self, params: Params, *shapes: tuple[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name, shape, element_type(params.text("dtype"))) for name, shape in shapes)

    def _decoded(self, params: Params, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        element = element_type(params.text("dtype"))
        return [element.decode(array).astype(np.float64) for array in arrays]


class Bilinear(_TripleProduct):
    """out[n, m] = sum over k1 and k2 of A[n, k1] * weight[m, k1, k2] * B[n, k2].

    First the weights are multiplied by B (block `weighted` [m, k1, n]), then the results by A; or, for a batch and
    where that is smaller, A and B by each other (block `outer` [n, k1, k2]), and the results by the weights.
    """

    name = "bilinear"

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        n, k1, k2, m = params.integers("n", "k1", "k2", "m")
        return self._specs(params, ("A", (n, k1)), ("B", (n, k2)), ("weight", (m, k1, k2)))

    def flops(self, params: Params) -> int:
        n, k1, k2, m = params.integers("n", "k1", "k2", "m")
        return 2 * n * m * k1 * (k2 + 1)

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        left, right, weight = tensors
        n, k1, k2, m = params.integers("n", "k1", "k2", "m")
        inner, outer = build.reduce_axis(k2, "k2"), build.reduce_axis(k1, "k1")

        def term(i: Expression, j: Expression, k: Expression) -> Expression:
            return build.sum(build.product(weight[j, k, inner], right[i, inner]), [inner])

        def last(i: Expression, rest: Expression) -> Expression:
            return build.sum(rest * build.widened(left[i, outer]), [outer])

        if n >= _LEAST_LANES and k2 <= m:
            both = build.compute((n, k1, k2), lambda i, p, q: build.product(left[i, p], right[i, q]), "outer")
            return build.compute(
                (n, m),
                lambda i, j: build.sum(both[i, outer, inner] * build.widened(weight[j, outer, inner]), [outer, inner]),
                self.name,
            )
        if n < _LEAST_LANES:
            weighted = build.compute((n, m, k1), lambda i, j, k: term(i, j, k), "weighted")
            return build.compute((n, m), lambda i, j: last(i, weighted[i, j, outer]), self.name)
        weighted = build.compute((m, k1, n), lambda j, k, i: term(i, j, k), "weighted")
        return build.compute((n, m), lambda i, j: last(i, weighted[j, outer, i]), self.name)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        left, right, weight = self._decoded(params, arrays)
        return np.stack([np.sum(left @ each * right, axis=1) for each in weight], axis=1)


class Mttkrp(_TripleProduct):
    """out[n, m] = sum over k1 and k2 of A[n, k1, k2] * B[k1, m] * C[k2, m].

    Either A is multiplied by C first (block `contracted` [n, k1, m]), or B and C by each other, element by element
    (block `khatri_rao` [k1, k2, m]): whichever of the two is smaller.
    """

    name = "mttkrp"

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        n, k1, k2, m = params.integers("n", "k1", "k2", "m")
        return self._specs(params, ("A", (n, k1, k2)), ("B", (k1, m)), ("C", (k2, m)))

    def flops(self, params: Params) -> int:
        n, k1, k2, m = params.integers("n", "k1", "k2", "m")
        return 2 * n * m * k1 * k2 + (2 * n if n <= k2 else k2) * k1 * m

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        tensor, first, second = tensors
        n, k1, k2, m = params.integers("n", "k1", "k2", "m")
        k, l = build.reduce_axis(k1, "k1"), build.reduce_axis(k2, "k2")  # noqa: E741

        if n <= k2:
            contracted = build.compute(
                (n, k1, m), lambda i, p, j: build.sum(build.product(tensor[i, p, l], second[l, j]), [l]), "contracted"
            )
            return build.compute(
                (n, m), lambda i, j: build.sum(contracted[i, k, j] * build.widened(first[k, j]), [k]), self.name
            )
        both = build.compute((k1, k2, m), lambda p, q, j: build.product(first[p, j], second[q, j]), "khatri_rao")
        return build.compute(
            (n, m), lambda i, j: build.sum(build.widened(tensor[i, k, l]) * both[k, l, j], [k, l]), self.name
        )

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        tensor, first, second = self._decoded(params, arrays)
        return np.asarray(np.einsum("ikj,kj->ij", np.tensordot(tensor, second, axes=1), first))


BILINEAR = Bilinear()
MTTKRP = Mttkrp()
