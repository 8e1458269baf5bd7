"""Matrix products: gemm, bmm, gemv."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.contraction import Contraction, Operand, contraction_parameters, is_exact
from flextune.workload.elements import multiply_matrices
from flextune.workload.operator_parameters import Flag, Params, Size

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class Gemm(Contraction):
    """out[m, n] = sum_k A[m, k] * B[k, n]; `ta=1` stores A as [k, m], `tb=1` stores B as [n, k]."""

    name = "gemm"
    parameters = contraction_parameters(Size("m"), Size("n"), Size("k"), Flag("ta"), Flag("tb"))

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        m, n, k = params.integers("m", "n", "k")
        data = (k, m) if params.integer("ta") else (m, k)
        return ("A", data), ("B", (n, k) if params.integer("tb") else (k, n))

    def result_shape(self, params: Params) -> tuple[int, ...]:
        return params.integers("m", "n")

    def reduction_length(self, params: Params) -> int:
        return params.integer("k")

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        k = build.reduce_axis(params.integer("k"), "k")
        ta, tb = params.integers("ta", "tb")

        def element(i: Expression, j: Expression) -> Expression:
            return build.sum(build.product(data[k, i] if ta else data[i, k], weight[j, k] if tb else weight[k, j]), [k])

        return build.compute(self.result_shape(params), element, self.name)

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        left = data.T if params.integer("ta") else data
        right = weight.T if params.integer("tb") else weight
        return multiply_matrices(left, right, exact=is_exact(params))


class BatchGemm(Contraction):
    """out[b, m, n] = sum_k A[b, m, k] * B[b, k, n]; `tb=1` stores B as [b, n, k]."""

    name = "bmm"
    parameters = contraction_parameters(Size("b"), Size("m"), Size("n"), Size("k"), Flag("tb"))

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        b, m, n, k = params.integers("b", "m", "n", "k")
        return ("A", (b, m, k)), ("B", (b, n, k) if params.integer("tb") else (b, k, n))

    def result_shape(self, params: Params) -> tuple[int, ...]:
        return params.integers("b", "m", "n")

    def reduction_length(self, params: Params) -> int:
        return params.integer("k")

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        k = build.reduce_axis(params.integer("k"), "k")
        tb = params.integer("tb")

        def element(b: Expression, i: Expression, j: Expression) -> Expression:
            return build.sum(build.product(data[b, i, k], weight[b, j, k] if tb else weight[b, k, j]), [k])

        return build.compute(self.result_shape(params), element, self.name)

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        right = weight.transpose(0, 2, 1) if params.integer("tb") else weight
        out = np.empty(self.result_shape(params), dtype=self.output(params).dtype)
        for batch in range(out.shape[0]):
            out[batch] = multiply_matrices(data[batch], right[batch], exact=is_exact(params))
        return out


class MatrixVector(Contraction):
    """out[m] = sum_k A[m, k] * x[k]. The matrix is the data (u8), the vector the weight (s8)."""

    name = "gemv"
    parameters = contraction_parameters(Size("m"), Size("k"))

    def operands(self, params: Params) -> tuple[Operand, Operand]:
        return ("A", params.integers("m", "k")), ("x", params.integers("k"))

    def result_shape(self, params: Params) -> tuple[int, ...]:
        return params.integers("m")

    def reduction_length(self, params: Params) -> int:
        return params.integer("k")

    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        k = build.reduce_axis(params.integer("k"), "k")
        return build.compute(
            self.result_shape(params), lambda i: build.sum(build.product(data[i, k], weight[k]), [k]), self.name
        )

    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return multiply_matrices(data, weight[:, None], exact=is_exact(params))[:, 0]


GEMM = Gemm()
BMM = BatchGemm()
GEMV = MatrixVector()
