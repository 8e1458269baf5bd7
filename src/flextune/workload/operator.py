"""What an operator declares: parameters, tensors, tensor expression, reference, and counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flextune.tvm_types import Tensor
from flextune.workload.element_type import FLOAT16
from flextune.workload.operator_parameters import Parameter, Params
from flextune.workload.tensor import FLOAT32_ROUNDING, TensorSpec, Tolerance

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

FLOAT_RELATIVE = 1e-5
FLOAT16_ROUNDING = 2.0**-11


class Operator(ABC):
    """One operator. Subclasses are stateless: they hold a declaration and pure functions over `Params`.

    A value of `Params` has been through `check`, so the other methods may trust it. Tensors are listed as in the
    program's signature: inputs first, then the output. An operator with several declares all of them in `outputs`;
    its `expression` and `reference` return one result for each, as a tuple.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]

    def check(self, params: Params) -> None:  # noqa: B027  (most operators have no conditions between parameters)
        """Raises `UsageError` when parameters that are right one by one do not fit together."""

    @abstractmethod
    def inputs(self, params: Params) -> tuple[TensorSpec, ...]: ...

    @abstractmethod
    def output(self, params: Params) -> TensorSpec:
        """The result; the first of them where there are several."""

    def outputs(self, params: Params) -> tuple[TensorSpec, ...]:
        return (self.output(params),)

    @abstractmethod
    def expression(
        self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]
    ) -> Tensor | tuple[Tensor, ...]:
        """The output tensor, computed from placeholders for `inputs`, with TVM's tensor expressions."""

    @abstractmethod
    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray | tuple[np.ndarray, ...]:
        """The same result by NumPy alone, as numbers: bfloat16 ones not yet rounded."""

    def random_inputs(self, params: Params, rng: np.random.Generator) -> list[np.ndarray]:
        """Arrays for the inputs, in storage form. An operator that reads positions draws those that are valid."""
        return [spec.element.random(spec.shape, rng) for spec in self.inputs(params)]

    @abstractmethod
    def flops(self, params: Params) -> int:
        """Arithmetic operations of the output (a multiply-add counts two), not of any way to compute it."""

    def reduction_length(self, params: Params) -> int:
        """How many terms are summed up for one output element."""
        del params
        return 1

    def tolerance(self, params: Params) -> Tolerance:
        """How far two right computations may differ for the inputs that `Workload.random_inputs` draws.

        A sum of K products of numbers in [-1, 1] that is rounded after each addition carries a random-walk error
        of about 0.14 * u * K (u = 2^-24; partial sums grow like sqrt(K)/3, and so does each rounding error). Two
        such results differ by less than 1.2 * u * K in 6 standard deviations; allowed is 4 * u * K. A wrong
        element is off by about sqrt(K)/3, and a single missing term by about 1/4: both far above it. Where nothing is
        computed, nothing may differ. Sums of float16 have u = 2^-11, and allowed is 2 * u * K: a missing term shows.
        """
        if not self.output(params).element.is_float or not self.flops(params):
            return Tolerance(0.0, 0.0)
        if self.output(params).element is FLOAT16:
            return Tolerance(2 * FLOAT16_ROUNDING, 2 * FLOAT16_ROUNDING * max(16, self.reduction_length(params)))
        return Tolerance(FLOAT_RELATIVE, 4 * FLOAT32_ROUNDING * max(16, self.reduction_length(params)))
