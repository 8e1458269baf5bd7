"""TVM's expressions over a model's variables as sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tvm import tirx

from flextune.tvm_types import Expression, RelaxType
from flextune.workload.dim_expr import DimExpr, Size, maximum, minimum

_OPERATIONS: Mapping[type, Callable[[DimExpr, DimExpr], DimExpr]] = {
    tirx.Add: DimExpr.__add__,
    tirx.Sub: DimExpr.__sub__,
    tirx.Mul: DimExpr.__mul__,
    tirx.FloorDiv: DimExpr.__floordiv__,
    tirx.FloorMod: DimExpr.__mod__,
    tirx.Min: minimum,
    tirx.Max: maximum,
}


def size_of(expression: Expression | int, variables: Mapping[Expression, Size]) -> Size | None:
    """What the expression is for these values of its variables; None where it holds another one, or another operation.

    (n - 1)//2 + 1, {n: height}   -->   (height + 1)//2
    """
    if isinstance(expression, int | tirx.IntImm):
        return int(expression)
    if isinstance(expression, tirx.Var):
        return variables.get(expression)
    if isinstance(expression, tirx.Cast):
        return size_of(expression.value, variables)
    operation = _OPERATIONS.get(type(expression))
    if operation is None:
        return None
    left, right = size_of(expression.a, variables), size_of(expression.b, variables)
    return None if left is None or right is None else plain(operation(DimExpr.of(left), DimExpr.of(right)))


def variables_in(kind: RelaxType, sizes: Sequence[Size]) -> dict[Expression, Size]:
    """The sizes that variables in a tensor's type stand for, from what its sizes are known to be."""
    return {variable: size for variable, size in zip(kind.shape, sizes, strict=True) if isinstance(variable, tirx.Var)}


def plain(size: DimExpr) -> Size:
    """A number where it is one."""
    return size if size.value is None else size.value
