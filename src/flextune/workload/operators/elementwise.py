"""Chains of element-wise operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Tensor
from flextune.workload.element_type import FLOAT32
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Chain, Choice, Params, Shape
from flextune.workload.pointwise import CHAIN_LINKS, build_chain, chain_flops, compute_chain, operand_specs
from flextune.workload.tensor import TensorSpec

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class Elementwise(Operator):
    """`ops` applied to every element of a tensor from left to right, such as `ops=add+relu`.

    add, sub and mul read a second tensor of the same shape. Each operation is a block of its own.
    """

    name = "elementwise"
    parameters = (
        Shape("shape"),
        Chain("ops", choices=CHAIN_LINKS),
        Choice("dtype", "float32", choices=("float32",), printed=True),
    )

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        shape = params.shape("shape")
        return (TensorSpec("data", shape, FLOAT32), *operand_specs(params.chain("ops"), shape, 0, FLOAT32))

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", params.shape("shape"), FLOAT32)

    def flops(self, params: Params) -> int:
        return chain_flops(params.chain("ops"), math.prod(params.shape("shape")))

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        return build_chain(build, tensors[0], params.chain("ops"), tensors[1:], 0)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return compute_chain(arrays[0], params.chain("ops"), arrays[1:], 0)


ELEMENTWISE = Elementwise()
