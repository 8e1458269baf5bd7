"""Flattening: from expressions and predicates over parameters to the constraints of a problem (as MiniZinc calls it).

What a diagram compiles well becomes native constraints: parts joined by `and` apart, a condition on one parameter as
the set of its values, sums and products of whole numbers as auxiliary variables, `a % b == 0` as `Divides`, `a or b` as
`When`. The rest becomes vectorised `Predicate`s.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from flextune.csp.constraint import (
    COMPARISON_CONSTRAINTS,
    Constraint,
    Divides,
    Eq,
    In,
    Le,
    Lt,
    Operand,
    Predicate,
    Prod,
    Sum,
    When,
)
from flextune.csp.domain import INT64_MAX, Variable
from flextune.csp.expression import Expression, long_text, names_in, piece_text, spine
from flextune.csp.parameters import Parameters
from flextune.csp.polynomial import Bounds, bounds_of, flat, is_polynomial
from flextune.csp.problem import Problem
from flextune.csp.python_arithmetic import Truth
from flextune.csp.python_rule import PythonRule, Rule, arguments_of, keyword_form, rule_text
from flextune.csp.tracing import OfDict
from flextune.errors import UsageError


def problem_of(parameters: Parameters, rules: tuple[Rule, ...]) -> Problem:
    """The problem whose solutions are the configurations that every rule allows."""
    writer = _Writer(parameters)
    for rule in rules:
        writer.add(rule)
    return Problem((*parameters.variables, *writer.auxiliary), tuple(writer.constraints))


_OPPOSITE: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}


_LONG = 90
"""Longer sums are one, whatever the signs: shorter ones are written as they always were."""


@dataclass(frozen=True, slots=True)
class _Holds:
    """A piece of an expression as the function of a `Predicate`."""

    expression: Expression
    piece: ast.expr

    def __call__(self, **columns: npt.NDArray[np.int64]) -> Truth:
        return self.expression.holds(columns, self.piece)

    def decomposable(self) -> tuple[Expression, ast.expr]:
        """The piece, for a reformulation."""
        return self.expression, self.piece


@dataclass
class _Writer:
    parameters: Parameters
    constraints: list[Constraint] = field(default_factory=list)
    auxiliary: list[Variable] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)

    def add(self, rule: Rule) -> None:
        if isinstance(rule, str):
            expression = Expression(rule, self.parameters)
            for piece in _conjuncts(expression.tree):
                self._piece(expression, piece)
        elif callable(rule):
            self._function(keyword_form(self.parameters, rule))
        else:
            raise UsageError(f"a constraint is an expression or a function, got {rule!r:.80}")

    def _function(self, function: Callable[..., object]) -> None:
        """A function of a dict reads what it turns out to read, where it can be taken apart, else everything."""
        if isinstance(function, OfDict):
            rule = PythonRule(self.parameters, function, self.parameters.names)
            found = rule.decomposable()
            if found is not None:
                for piece in _conjuncts(found[1]):
                    self._piece(found[0], piece)
                return
        self.constraints.append(_python_rule(self.parameters, function))

    def _piece(self, expression: Expression, piece: ast.expr) -> None:
        label = piece_text(piece)
        native = self._native(expression, piece, label)
        if native is not None:
            self.constraints.append(native)
            return
        variables = tuple(map(self.parameters.variable_name, names_in(piece, self.parameters)))
        self.constraints.append(Predicate(variables, _Holds(expression, piece), vectorised=True, name=label))

    def _native(self, expression: Expression, piece: ast.expr, label: str) -> Constraint | None:
        """The piece as a constraint that a diagram understands, if it can be one."""
        names = names_in(piece, self.parameters)
        if not names:
            return Eq(1, int(bool(expression.holds({}, piece))), name=label)
        if len(names) == 1:
            return self._allowed(expression, piece, names[0], label)
        if isinstance(piece, ast.BoolOp) and isinstance(piece.op, ast.Or):
            return self._alternatives(expression, piece.values, label)
        return self._comparison(piece, label) if isinstance(piece, ast.Compare) else None

    def _allowed(self, expression: Expression, piece: ast.expr, name: str, label: str) -> In:
        """A condition on one parameter, looked at for each of its values."""
        variable = self.parameters.variable_name(name)
        codes = np.array(sorted(self.parameters[name].codes.values()), dtype=np.int64)
        holds = np.broadcast_to(expression.holds({variable: codes}, piece), codes.shape)
        return In(variable, tuple(codes[holds].tolist()), name=label)

    def _alternatives(self, expression: Expression, parts: Sequence[ast.expr], label: str) -> Constraint | None:
        """`a or b or c` as: when not a, then when not b, then c. None where a part is no comparison, may be undefined,
        or takes more than 64 bits: a part without value would let `not a` fail, and all the rest hold."""
        if not all(self._always_defined(expression, part) for part in parts):
            return None
        result = self._native(expression, parts[-1], "")
        for part in reversed(parts[:-1]):
            condition = self._native(expression, _negated(part), "")
            assert condition is not None
            assert result is not None
            result = When(condition, result)
        return None if result is None else replace(result, name=label)

    def _always_defined(self, expression: Expression, part: ast.expr) -> bool:
        """Whether the part is a native constraint that has a value for every configuration."""
        names = names_in(part, self.parameters)
        if len(names) == 1:
            codes = np.array(sorted(self.parameters[names[0]].codes.values()), dtype=np.int64)
            values = expression.values({self.parameters.variable_name(names[0]): codes}, part)
            return bool(values.defined.all())
        if not isinstance(part, ast.Compare) or len(part.ops) > 1 or type(part.ops[0]) not in COMPARISON_CONSTRAINTS:
            return not names
        sides = (part.left, part.comparators[0])
        return all(is_polynomial(side, self.parameters) and self._bounds(side).exact for side in sides)

    def _comparison(self, piece: ast.Compare, label: str) -> Constraint | None:
        """A comparison of sums and products of whole numbers, if it is one and 64 bits are enough for it."""
        if len(piece.ops) > 1:
            return None
        kind, left, right = type(piece.ops[0]), piece.left, piece.comparators[0]
        for divided, zero in ((left, right), (right, left)):
            if kind is ast.Eq and isinstance(divided, ast.BinOp) and isinstance(divided.op, ast.Mod) and _is_zero(zero):
                return self._divides(divided, label)
        if kind not in COMPARISON_CONSTRAINTS or not all(
            is_polynomial(side, self.parameters) for side in (left, right)
        ):
            return None
        constraint, swapped = COMPARISON_CONSTRAINTS[kind]
        small, large = (right, left) if swapped else (left, right)
        exact = self._bounds(small).exact or (self._bounds(small).growing and constraint in (Le, Lt))
        if not exact or not self._bounds(large).exact:
            return None
        return constraint(self._operand(small), self._operand(large), name=label)

    def _divides(self, remainder: ast.BinOp, label: str) -> Constraint | None:
        sides = (remainder.right, remainder.left)
        if not all(is_polynomial(side, self.parameters) and self._bounds(side).exact for side in sides):
            return None
        return Divides(self._operand(remainder.right), self._operand(remainder.left), name=label)

    def _bounds(self, node: ast.expr) -> Bounds:
        return bounds_of(node, self.parameters)

    def _operand(self, node: ast.expr) -> Operand:
        """The variable or constant of a polynomial; sums and products become auxiliary variables, each once."""
        match node:
            case ast.Constant(value=int(value)):
                return int(value)
            case ast.Name(id=name):
                return self.parameters.variable_name(name)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._operand(operand)
            case ast.UnaryOp(operand=operand):
                return self._defined(node, Prod, (-1, self._operand(operand)))
            case ast.BinOp(op=ast.Mult()):
                return self._defined(node, Prod, tuple(map(self._operand, flat(node, ast.Mult))))
            case ast.BinOp(op=ast.Add() | ast.Sub()) if len(spine(node)[1]) > _LONG:
                return self._defined(node, Sum, tuple(map(self._operand, _terms(node))))
            case ast.BinOp(op=ast.Sub(), left=left, right=right):
                negative = self._operand(ast.UnaryOp(ast.USub(), right))
                return self._defined(node, Sum, (self._operand(left), negative))
            case _:
                assert isinstance(node, ast.BinOp)
                return self._defined(node, Sum, tuple(map(self._operand, flat(node, ast.Add))))

    def _defined(self, node: ast.expr, kind: type[Prod | Sum], operands: tuple[Operand, ...]) -> Operand:
        numbers = [operand for operand in operands if isinstance(operand, int)]
        if len(numbers) == len(operands):
            value = int(np.prod(numbers, dtype=object)) if kind is Prod else sum(numbers)
            if abs(value) <= INT64_MAX:
                return value
        text = long_text(node)
        if text not in self._known:
            name = self._new_name("product" if kind is Prod else "sum")
            self._known[text] = name
            self.auxiliary.append(Variable(name))
            self.constraints.append(kind(name, operands, reason=f"{name} is {piece_text(node)}"))
        return self._known[text]

    def _new_name(self, stem: str) -> str:
        taken = {*self.parameters.variable_names, *(variable.name for variable in self.auxiliary)}
        number = len(self.auxiliary) + 1
        while f"{stem}_{number}" in taken:
            number += 1
        return f"{stem}_{number}"


def _conjuncts(tree: ast.expr) -> Iterator[ast.expr]:
    """The parts that must all hold: of `and`, and of chained comparisons."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for value in tree.values:
            yield from _conjuncts(value)
    elif isinstance(tree, ast.Compare) and len(tree.ops) > 1:
        lefts = [tree.left, *tree.comparators[:-1]]
        for left, kind, right in zip(lefts, tree.ops, tree.comparators, strict=True):
            yield ast.Compare(left, [kind], [right])
    else:
        yield tree


def _negated(node: ast.expr) -> ast.expr:
    """What holds where this does not."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPPOSITE:
        return ast.Compare(node.left, [_OPPOSITE[type(node.ops[0])]()], node.comparators)
    return ast.UnaryOp(ast.Not(), node)


def _terms(node: ast.BinOp) -> Iterator[ast.expr]:
    """What a long sum adds, with the signs."""
    signed: list[ast.expr] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add | ast.Sub):
        signed.append(left.right if isinstance(left.op, ast.Add) else ast.UnaryOp(ast.USub(), left.right))
        left = left.left
    yield left
    yield from reversed(signed)


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == 0


def _python_rule(parameters: Parameters, function: Callable[..., object]) -> Constraint:
    rule = PythonRule(parameters, function, arguments_of(parameters, function))
    variables = tuple(map(parameters.variable_name, rule.names))
    if len(variables) == 1:  # looked at once for each value
        codes = np.array(sorted(parameters[rule.names[0]].codes.values()), dtype=np.int64)
        return In(variables[0], tuple(codes[rule(**{variables[0]: codes})].tolist()), name=rule_text(function))
    return Predicate(variables, rule, vectorised=True, name=rule_text(function))
