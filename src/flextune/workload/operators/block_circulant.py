"""The nearest block-circulant matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import FLOAT32
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Count, Params, Size
from flextune.workload.operators.reduction import averaged_tolerance
from flextune.workload.tensor import TensorSpec, Tolerance

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class BlockCirculant(Operator):
    """The matrix with each square block replaced by the circulant one that is nearest to it.

    In a circulant block of b = `block` rows every diagonal (around the edge) holds one number, here its mean:
    out[i, j] = 1/b * sum over k of data[k, (j - i + k) mod b]. Rows and columns beyond the last whole block become
    zero, as in FlexTensor. The means of a block are in row 0 of its compressed form (block `compressed`).
    """

    name = "block_circulant"
    parameters = (
        Size("rows"),
        Size("cols"),
        Count("block", 8),
        Choice("dtype", "float32", choices=("float32",), printed=True),
    )

    def check(self, params: Params) -> None:
        rows, cols, size = params.integers("rows", "cols", "block")
        if size > min(rows, cols):
            raise params.error(f"block={size} is larger than the matrix of {rows} x {cols}: use a smaller one")

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        return (TensorSpec("data", params.integers("rows", "cols"), FLOAT32),)

    def output(self, params: Params) -> TensorSpec:
        return TensorSpec("out", params.integers("rows", "cols"), FLOAT32)

    def reduction_length(self, params: Params) -> int:
        return params.integer("block")

    def flops(self, params: Params) -> int:
        """An addition for each element of whole blocks, and a multiplication for each mean."""
        rows, cols, size = params.integers("rows", "cols", "block")
        elements = rows // size * size * (cols // size * size)
        return elements + elements // size

    def tolerance(self, params: Params) -> Tolerance:
        return averaged_tolerance(params.integer("block"))

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        rows, cols, size = params.integers("rows", "cols", "block")
        down, across = rows // size, cols // size
        k, share = build.reduce_axis(size, "k"), build.constant(1.0 / size)

        def diagonal(i: Expression, j: Expression, lag: Expression) -> Expression:
            column = j * size + build.remainder(lag + k, size)
            return build.sum(tensors[0][i * size + k, column] * share, [k])

        means = build.compute((down, across, size), diagonal, "compressed", ("i", "j", "lag"))

        def element(i: Expression, j: Expression) -> Expression:
            lag = build.remainder(build.remainder(j, size) + (size - build.remainder(i, size)), size)
            inside = [i < down * size] if rows % size else []
            inside += [j < across * size] if cols % size else []
            return build.where(inside, means(build.divide_floor(i, size), build.divide_floor(j, size), lag), 0)

        return build.compute((rows, cols), element, self.name)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        rows, cols, size = params.integers("rows", "cols", "block")
        down, across = rows // size, cols // size
        blocks = arrays[0][: down * size, : across * size].astype(np.float64).reshape(down, size, across, size)
        turned = [np.roll(blocks[:, row], -row, axis=-1) for row in range(size)]
        means = np.mean(turned, axis=0)
        out = np.zeros((rows, cols))
        whole = [np.roll(means, row, axis=-1) for row in range(size)]
        out[: down * size, : across * size] = np.stack(whole, axis=1).reshape(down * size, across * size)
        return out


BLOCK_CIRCULANT = BlockCirculant()
