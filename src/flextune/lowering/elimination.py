"""Gaussian elimination with row pivoting, as loops: determinants of any number of square matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tvm import te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from flextune.tvm_types import Buffer, Expression, Statement, Tensor

KEPT = 2
"""Numbers behind each matrix: its determinant, and one that is being moved."""


def determinants(
    tensors: Sequence[Tensor], attributes: Mapping[str, int | float | str], shape: tuple[int, ...], dtype: str
) -> Tensor:
    """[count, n * n] -> [count, n * n + KEPT]: what elimination leaves of each matrix, and its determinant behind it.

    The largest element of a column is the pivot; one of 0 makes the determinant 0.
    """
    del attributes
    count, width = shape
    size = math.isqrt(width - KEPT)

    def loops(ins: Sequence[Buffer], outs: Sequence[Buffer]) -> Statement:
        given, out = (script.buffer_proxy(buffer) for buffer in (ins[0], outs[0]))
        with IRBuilder() as built:
            with script.serial(0, count) as matrix:
                _Matrix(out, matrix * width, size, dtype).write_determinant(given, matrix * (size * size))
            return built.get()

    return te.extern(
        [shape],
        list(tensors),
        loops,
        dtype=dtype,
        out_buffers=[tirx.decl_buffer(shape, dtype, "eliminated", layout=None)],
        name="determinant",
    )


class _Matrix:
    """Writes what is done to one matrix, which begins at `start` of `out`."""

    def __init__(self, out: Buffer, start: Expression, size: int, dtype: str) -> None:
        self._out, self._start, self._size, self._dtype = out, start, size, dtype
        self._result, self._moved = start + size * size, start + size * size + 1

    def write_determinant(self, given: Buffer, first: Expression) -> None:
        out, size = self._out, self._size
        out[self._result] = tirx.const(1, self._dtype)
        with script.serial(0, size * size) as each:
            out[self._start + each] = given[first + each]
        with script.serial(0, size) as step:
            with script.serial(0, size - 1 - step) as rows:
                self._larger_row_up(size - 1 - rows, step)
            out[self._result] = out[self._result] * out[self._at(step, step)]
            with script.serial(0, size - 1 - step) as rows:
                self._eliminated_row(step + 1 + rows, step)

    def _at(self, row: Expression, column: Expression) -> Expression:
        return self._start + row * self._size + column

    def _larger_row_up(self, row: Expression, step: Expression) -> None:
        """Exchange a row with the one above if it is larger in this column, which turns the sign over."""
        out = self._out
        is_larger = tirx.abs(out[self._at(row, step)]) > tirx.abs(out[self._at(row - 1, step)])
        with script.If(is_larger), script.Then():
            out[self._result] = -out[self._result]
            with script.serial(0, self._size) as column:
                above, below = self._at(row - 1, column), self._at(row, column)
                out[self._moved] = out[above]
                out[above] = out[below]
                out[below] = out[self._moved]

    def _eliminated_row(self, row: Expression, step: Expression) -> None:
        """Take as much of the pivot's row from a row that its element in this column becomes 0."""
        out, pivot = self._out, self._out[self._at(step, step)]
        zero = tirx.const(0, self._dtype)
        out[self._moved] = tirx.Select(pivot == zero, zero, out[self._at(row, step)] / pivot)
        with script.serial(0, self._size) as column:
            here = self._at(row, column)
            out[here] = out[here] - out[self._moved] * out[self._at(step, column)]
