"""What all contractions share: dtypes, epilogues, constant weights, counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Tensor
from flextune.workload.elements import OPERAND_TYPES, as_float32
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Chain, Choice, Parameter, Params
from flextune.workload.pointwise import (
    EPILOGUES,
    POINTWISE,
    build_chain,
    chain_flops,
    compute_chain,
    operand_specs,
)
from flextune.workload.tensor import TensorSpec

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

Operand = tuple[str, tuple[int, ...]]

_WHOLE_LINKS = tuple(name for name in EPILOGUES if POINTWISE[name].integers)
"""Links of epilogues that are right in any type: those without constants."""


def contraction_parameters(*own: Parameter) -> tuple[Parameter, ...]:
    """`own`, and the ones of every contraction.

    `epilogue` is a chain such as `bias+relu`: bias is one value per output channel, add a tensor of the output's
    shape, gelu exact (by erf), gelu_tanh the tanh approximation. `weights=constant` says that the weight and the
    bias are known beforehand, so that packing them costs no run time.
    """
    return (
        *own,
        Choice("dtype", "float32", choices=tuple(OPERAND_TYPES), printed=True),
        Chain("epilogue", "none", choices=EPILOGUES),
        Choice("weights", "input", choices=("input", "constant")),
    )


class Contraction(Operator):
    """A sum of products of a data and a weight tensor in exactly one reduction block named like the operator.

    Before it comes at most one padding block, after it one block per link of the epilogue. The loops of the result
    follow the output's layout.
    """

    @abstractmethod
    def operands(self, params: Params) -> tuple[Operand, Operand]:
        """Name and shape of the data and of the weight."""

    @abstractmethod
    def result_shape(self, params: Params) -> tuple[int, ...]: ...

    def channel_axis(self, params: Params) -> int:
        """The axis of the result that a bias runs along: the last one unless an operator says otherwise."""
        return len(self.result_shape(params)) - 1

    @abstractmethod
    def contract(self, build: TensorBuilder, params: Params, data: Tensor, weight: Tensor) -> Tensor:
        """The result before the epilogue."""

    @abstractmethod
    def multiply(self, params: Params, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The NumPy counterpart of `contract`, for operands widened to float32."""

    def multiply_adds(self, params: Params) -> int:
        """Multiply-adds of the result before the epilogue."""
        return self.output(params).elements * self.reduction_length(params)

    def check(self, params: Params) -> None:
        self.check_shapes(params)
        dtype = params.text("dtype")
        known = {"int32": _WHOLE_LINKS, "float16": (*_WHOLE_LINKS, "add")}.get(OPERAND_TYPES[dtype].result.name)
        for word in params.chain("epilogue"):
            if known is not None and word not in known:
                given, has = OPERAND_TYPES[dtype].result.name, " and ".join(known)
                raise params.error(f"epilogue {word} needs a float32 result; dtype={dtype} gives {given} and has {has}")

    def check_shapes(self, params: Params) -> None:
        """Raises `UsageError` when the shapes do not fit together."""

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        types = OPERAND_TYPES[params.text("dtype")]
        constant = params.text("weights") == "constant"
        data, weight = self.operands(params)
        return (
            TensorSpec(*data, types.data),
            TensorSpec(*weight, types.weight, constant),
            *operand_specs(
                params.chain("epilogue"),
                self.result_shape(params),
                self.channel_axis(params),
                types.result,
                constant_bias=constant,
            ),
        )

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", self.result_shape(params), OPERAND_TYPES[params.text("dtype")].result)

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        result = self.contract(build, params, tensors[0], tensors[1])
        axes = build.spatial_axes(result)
        return build_chain(build, result, params.chain("epilogue"), tensors[2:], self.channel_axis(params), axes)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        types = OPERAND_TYPES[params.text("dtype")]
        result = self.multiply(params, as_float32(arrays[0], types.data), as_float32(arrays[1], types.weight))
        return compute_chain(result, params.chain("epilogue"), arrays[2:], self.channel_axis(params))

    def flops(self, params: Params) -> int:
        epilogue = chain_flops(params.chain("epilogue"), self.output(params).elements)
        return 2 * self.multiply_adds(params) + epilogue


def is_exact(params: Params) -> bool:
    """Whether the operands are integers, multiplied and summed without rounding."""
    return OPERAND_TYPES[params.text("dtype")].result.is_whole
