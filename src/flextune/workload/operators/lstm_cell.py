"""One step of a long short-term memory layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import FLOAT32, element_type
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Flag, Params, Size
from flextune.workload.pointwise import POINTWISE
from flextune.workload.tensor import TensorSpec

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

_GATES = 4


class LstmCell(Operator):
    """The hidden state h' and the cell state c' of an LSTM after one more input x, both [n, hidden]:

    i, f, o, g = the four parts of weight * [x, h] (+ bias);
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g);   h' = sigmoid(o) * tanh(c').

    The weight [4 * hidden, input + hidden] has the rows of the gates in the order i, f, o, g, as FlexTensor and
    (but for its names) ONNX have them, and the columns of the input before those of the hidden state. dtype=bfloat16
    is the type of x, h and the weight; sums, the cell state and both results are float32.
    """

    name = "lstm_cell"
    parameters = (
        Size("n", 1),
        Size("input"),
        Size("hidden"),
        Flag("bias"),
        Choice("dtype", "float32", choices=("float32", "bfloat16"), printed=True),
        Choice("weights", "input", choices=("input", "constant")),
    )

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        n, width, hidden = params.integers("n", "input", "hidden")
        element, constant = element_type(params.text("dtype")), params.text("weights") == "constant"
        bias = (TensorSpec("bias", (_GATES * hidden,), FLOAT32, constant),) if params.integer("bias") else ()
        return (
            TensorSpec("x", (n, width), element),
            TensorSpec("h", (n, hidden), element),
            TensorSpec("c", (n, hidden), FLOAT32),
            TensorSpec("weight", (_GATES * hidden, width + hidden), element, constant),
            *bias,
        )

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("next_h", params.integers("n", "hidden"), FLOAT32)

    def outputs(self, params: Params) -> tuple[TensorSpec, ...]:
        return self.output(params), TensorSpec("next_c", params.integers("n", "hidden"), FLOAT32)

    def reduction_length(self, params: Params) -> int:
        return sum(params.integers("input", "hidden"))

    def flops(self, params: Params) -> int:
        """The products, and for each element of the state what its gates take: three sigmoids, two tanhs, the rest."""
        n, hidden, bias = params.integers("n", "hidden", "bias")
        around = 3 * POINTWISE["sigmoid"].flops + 2 * POINTWISE["tanh"].flops + 4
        return n * hidden * (_GATES * (2 * self.reduction_length(params) + bias) + around)

    def expression(
        self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]
    ) -> Tensor | tuple[Tensor, ...]:
        x, h, c, weight, *bias = tensors
        n, width, hidden = params.integers("n", "input", "hidden")
        k = build.reduce_axis(width + hidden, "k")

        def joined(i: Expression, j: Expression) -> Expression:
            return build.either(j < width, x[i, j], h[i, j - width])

        both = build.compute((n, width + hidden), joined, "joined")
        gates = build.compute(
            (n, _GATES * hidden), lambda i, j: build.sum(build.product(both[i, k], weight[j, k]), [k]), "gates"
        )

        def gate(number: int, i: Expression, j: Expression) -> Expression:
            row = j + number * hidden
            return gates[i, row] + bias[0][row] if bias else gates[i, row]

        def sigmoid(value: Expression) -> Expression:
            return POINTWISE["sigmoid"].build(build, value, None)

        def cell(i: Expression, j: Expression) -> Expression:
            return sigmoid(gate(1, i, j)) * c[i, j] + sigmoid(gate(0, i, j)) * build.tanh(gate(3, i, j))

        next_c = build.compute((n, hidden), cell, "next_c")
        next_h = build.compute((n, hidden), lambda i, j: sigmoid(gate(2, i, j)) * build.tanh(next_c[i, j]), self.name)
        return next_h, next_c

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray | tuple[np.ndarray, ...]:
        element = element_type(params.text("dtype"))
        x, h, weight = (element.decode(arrays[index]).astype(np.float64) for index in (0, 1, 3))
        width = params.integer("input")
        gates = x @ weight[:, :width].T + h @ weight[:, width:].T
        if params.integer("bias"):
            gates = gates + arrays[4]
        i, f, o, g = np.split(gates, _GATES, axis=1)
        next_c = _sigmoid(f) * arrays[2] + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(next_c), next_c


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))


LSTM_CELL = LstmCell()
