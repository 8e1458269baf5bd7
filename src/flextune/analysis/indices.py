"""Evaluates index expressions for whole loop nests at once, whatever they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tvm_ffi
from tvm import tirx
from tvm.ir import Call

from flextune.tvm_types import Expression, TirTree, Variable

Array = np.ndarray
Bindings = Mapping[
    Variable, Expression
]  # block iterator -> the expression it stands for, in loop variables or outer iterators

_OPERATIONS: tuple[tuple[Any, Callable[[Array, Array], Array]], ...] = (
    (tirx.Add, np.add),
    (tirx.Sub, np.subtract),
    (tirx.Mul, np.multiply),
    (tirx.FloorDiv, np.floor_divide),
    (tirx.FloorMod, np.mod),
    (tirx.Div, lambda a, b: np.trunc(a / b).astype(np.int64)),
    (tirx.Mod, np.fmod),
    (tirx.Min, np.minimum),
    (tirx.Max, np.maximum),
    (tirx.EQ, np.equal),
    (tirx.NE, np.not_equal),
    (tirx.LT, np.less),
    (tirx.LE, np.less_equal),
    (tirx.GT, np.greater),
    (tirx.GE, np.greater_equal),
    (tirx.And, np.logical_and),
    (tirx.Or, np.logical_or),
)


class UnknownIndexError(ValueError):
    """The expression depends on data, or on something that is not a loop variable."""


def evaluate(expression: Expression, values: Mapping[Variable, Array], bindings: Bindings) -> Array:
    """The expression for arrays of its loop variables, which broadcast against each other.

    Raises `UnknownIndexError` for what only a run can tell.
    """
    if isinstance(expression, int):
        return np.asarray(expression)
    if isinstance(expression, tirx.IntImm):
        return np.asarray(int(expression.value))
    if isinstance(expression, tirx.Var):
        return _evaluate_variable(expression, values, bindings)
    if isinstance(expression, tirx.Cast):
        return evaluate(expression.value, values, bindings)
    if isinstance(expression, tirx.Not):
        return np.asarray(np.logical_not(evaluate(expression.a, values, bindings)))
    for kind, operation in _OPERATIONS:
        if isinstance(expression, kind):
            left, right = evaluate(expression.a, values, bindings), evaluate(expression.b, values, bindings)
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(operation(left, right))
    return _evaluate_choice(expression, values, bindings)


def _evaluate_variable(variable: Variable, values: Mapping[Variable, Array], bindings: Bindings) -> Array:
    if variable in values:
        return np.asarray(values[variable])
    if variable not in bindings:
        raise UnknownIndexError(f"{variable.name} is not a loop variable")
    return evaluate(bindings[variable], values, bindings)


def _evaluate_choice(expression: Expression, values: Mapping[Variable, Array], bindings: Bindings) -> Array:
    if isinstance(expression, tirx.Select):
        parts = (expression.condition, expression.true_value, expression.false_value)
    elif isinstance(expression, Call) and str(getattr(expression.op, "name", "")).endswith(".if_then_else"):
        parts = tuple(expression.args)
    else:
        raise UnknownIndexError(f"{type(expression).__name__} is not known before the program runs")
    condition, yes, no = (evaluate(part, values, bindings) for part in parts)
    return np.where(condition, yes, no)


def variables_of(expression: Expression, bindings: Bindings) -> list[Variable]:
    """The loop variables that an expression depends on, through block iterators, each once."""
    direct: list[Variable] = []
    tvm_ffi.structural_walk(expression, (tirx.Var, direct.append))
    found: list[Variable] = []
    for variable in direct:
        known = variables_of(bindings[variable], bindings) if variable in bindings else [variable]
        found += [one for one in known if not any(one.same_as(other) for other in found)]
    return found


def mentions(tree: TirTree, variable: Variable) -> bool:
    """Whether an expression or a statement uses a variable."""
    found: list[Variable] = []
    tvm_ffi.structural_walk(tree, (tirx.Var, found.append))
    return any(each.same_as(variable) for each in found)
