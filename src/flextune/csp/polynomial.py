"""Pieces of expressions that are sums and products of whole numbers, and whether 64 bits hold their values."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from flextune.csp.domain import INT64_MAX, INT64_MIN
from flextune.csp.expression import spine
from flextune.csp.parameters import Parameters


@dataclass(frozen=True, slots=True)
class Bounds:
    """What values a piece may have: between `low` and `high`.

    `exact`: so do all its parts, and 64 bits hold them. `growing`: no part of it is larger than the whole, because
    everything in it is at least 1 and only added and multiplied; then a part that 64 bits do not hold makes the whole
    too large as well.
    """

    low: int
    high: int
    exact: bool
    growing: bool


def is_polynomial(node: ast.expr, parameters: Parameters) -> bool:
    """Whether it is made of whole numbers by sums, differences and products alone."""
    match node:
        case ast.Constant(value=int()):
            return True
        case ast.Name(id=name):
            return parameters[name].integral
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return is_polynomial(operand, parameters)
        case ast.BinOp():
            first, operations = spine(node)
            known = all(isinstance(each.op, ast.Add | ast.Sub | ast.Mult) for each in operations)
            return known and all(is_polynomial(each, parameters) for each in (first, *(o.right for o in operations)))
        case _:
            return False


def bounds_of(node: ast.expr, parameters: Parameters) -> Bounds:
    """The bounds of a polynomial."""
    match node:
        case ast.Constant(value=int(value)):
            return _bounds(int(value), int(value))
        case ast.Name(id=name):
            codes = parameters[name].codes.values()
            return _bounds(min(codes), max(codes))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return bounds_of(operand, parameters)
        case ast.UnaryOp(operand=operand):
            inner = bounds_of(operand, parameters)
            return _bounds(-inner.high, -inner.low, inner)
        case _:
            assert isinstance(node, ast.BinOp)
            first, operations = spine(node)
            found = bounds_of(first, parameters)
            for operation in operations:
                found = _combined(operation.op, found, bounds_of(operation.right, parameters))
            return found


def flat(node: ast.expr, kind: type[ast.operator]) -> Iterator[ast.expr]:
    """Operands of nested operations of the same kind."""
    right: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, kind):
        right.append(node.right)
        node = node.left
    yield node
    for operand in reversed(right):
        yield from flat(operand, kind)


def _combined(operation: ast.operator, left: Bounds, right: Bounds) -> Bounds:
    if isinstance(operation, ast.Add):
        return _bounds(left.low + right.low, left.high + right.high, left, right)
    if isinstance(operation, ast.Sub):
        negative = _bounds(-right.high, -right.low, right)
        return _bounds(left.low + negative.low, left.high + negative.high, left, negative)
    corners = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
    return _bounds(min(corners), max(corners), left, right)


def _bounds(low: int, high: int, *parts: Bounds) -> Bounds:
    exact = low >= INT64_MIN and high <= INT64_MAX and all(part.exact for part in parts)
    return Bounds(low, high, exact, low >= 1 and all(part.growing for part in parts))
