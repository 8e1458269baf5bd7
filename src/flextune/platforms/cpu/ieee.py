"""Floating-point expressions that TVM's arithmetic would simplify as if there were no NaN and no infinity.

TVM takes x - x for 0, (x + y) - x for y, x == x for true, not (x < y) for y <= x, and x < y or y <= x for true: right
for integers, and for numbers that are finite. A pass in front of code generation writes such expressions in forms that
mean the same and that no rule of TVM's matches; LLVM, which keeps to IEEE 754, makes the same instructions of them.
"""

from __future__ import annotations

from collections.abc import Callable

import tvm_ffi
from tvm import tirx

from flextune.tvm_types import Expression

Rewriting = tuple[type, Callable[[Expression], Expression]]


def as_written(expression: Expression) -> Expression:
    """An expression or statement in which comparisons and differences of floats stay what they are.

    before: (x + y) - x   -->   after: (x + y) + x * -1
    """
    return tvm_ffi.structural_map(expression, REWRITINGS)


def _difference(node: Expression) -> Expression:
    if not _is_float(node) or not (_cancels(node.a, node.b) or _cancels(node.b, node.a)):
        return node
    return tirx.Add(node.a, tirx.Mul(node.b, tirx.const(-1, str(node.b.ty))))


def _cancels(left: Expression, right: Expression) -> bool:
    """Whether one is the other, or a sum with it."""
    if tvm_ffi.structural_equal(left, right):
        return True
    return isinstance(left, tirx.Add) and any(tvm_ffi.structural_equal(part, right) for part in (left.a, left.b))


def _equal(node: Expression) -> Expression:
    if not _is_float(node.a) or not tvm_ffi.structural_equal(node.a, node.b):
        return node
    return tirx.LE(node.a, node.b)


def _unequal(node: Expression) -> Expression:
    return _inverted(_equal(tirx.EQ(node.a, node.b))) if _is_float(node.a) else node


def _negation(node: Expression) -> Expression:
    return _inverted(node.a) if _compares_floats(node.a) else node


def _disjunction(node: Expression) -> Expression:
    return tirx.bitwise_or(node.a, node.b) if _both_compare(node) else node


def _conjunction(node: Expression) -> Expression:
    return tirx.bitwise_and(node.a, node.b) if _both_compare(node) else node


def _both_compare(node: Expression) -> bool:
    """Not where one side guards what the other one reads."""
    return _compares_floats(node.a) and _compares_floats(node.b)


def _compares_floats(condition: Expression) -> bool:
    found: list[bool] = []
    tvm_ffi.structural_walk(condition, (_COMPARISONS, lambda node: found.append(_is_float(node.a))))
    return any(found)


def _inverted(condition: Expression) -> Expression:
    return tirx.bitwise_xor(condition, tirx.const(True, "bool"))


def _is_float(node: Expression) -> bool:
    return str(node.ty).startswith(("float", "bfloat"))


_COMPARISONS = (tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE)

REWRITINGS: tuple[Rewriting, ...] = (
    (tirx.Sub, _difference),
    (tirx.EQ, _equal),
    (tirx.NE, _unequal),
    (tirx.Not, _negation),
    (tirx.Or, _disjunction),
    (tirx.And, _conjunction),
)
