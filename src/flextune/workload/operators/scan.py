"""Prefix sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import element_type
from flextune.workload.elements import OPERAND_TYPES
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Params, Size
from flextune.workload.roles import PREFIX_SUM, ROLE
from flextune.workload.tensor import TensorSpec

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class Scan(Operator):
    """out[m, n] = sum of A[m, k] over all k <= n: the product of A with the transposed lower-triangular ones [n, k].

    Operations are counted as those of that product, 2 * m * n * k, so that numbers compare with Heron's; schedules sum
    up in blocks, which takes far fewer.
    dtype=uint8 sums u8 in s32.
    """

    name = "scan"
    parameters = (
        Size("m"),
        Size("n"),
        Size("k"),
        Choice("dtype", "float32", choices=("float32", "uint8"), printed=True),
    )

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        return (TensorSpec("A", params.integers("m", "k"), element_type(params.text("dtype"))),)

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", params.integers("m", "n"), OPERAND_TYPES[params.text("dtype")].result)

    def reduction_length(self, params: Params) -> int:
        return params.integer("k")

    def flops(self, params: Params) -> int:
        m, n, k = params.integers("m", "n", "k")
        return 2 * m * n * k

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        k = build.reduce_axis(params.integer("k"), "k")
        data = tensors[0]

        def element(i: Expression, j: Expression) -> Expression:
            return build.sum(build.where([k <= j], build.widened(data(i, k)), 0), [k])

        return build.compute(params.integers("m", "n"), element, self.name, annotations={ROLE: PREFIX_SUM})

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        exact = self.output(params).element.is_whole
        n, k = params.integers("n", "k")
        sums = np.cumsum(arrays[0], axis=1, dtype=np.int32 if exact else np.float64)
        return sums[:, np.minimum(np.arange(n), k - 1)]


SCAN = Scan()
