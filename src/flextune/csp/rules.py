"""From expressions and predicates over parameters to the constraints of a problem.

What a diagram compiles well becomes native constraints: parts joined by `and` apart, a condition on one parameter as
the set of its values, sums and products of whole numbers as auxiliary variables, `a % b == 0` as `Divides`. The rest
becomes vectorised `Predicate`s.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flextune.csp.constraint import Constraint, Divides, Eq, In, Le, Lt, Ne, Operand, Predicate, Prod, Sum
from flextune.csp.domain import INT64_MAX, Variable
from flextune.csp.expression import Expression, Truth, names_in, piece_text
from flextune.csp.parameters import Parameters
from flextune.csp.problem import Problem
from flextune.errors import UsageError
from flextune.registry import nearest

Rule = str | Callable[..., object]
"""An expression, or a predicate whose arguments are named like the parameters it reads."""


def problem_of(parameters: Parameters, rules: tuple[Rule, ...]) -> Problem:
    """The problem whose solutions are the configurations that every rule allows."""
    writer = _Writer(parameters)
    for rule in rules:
        writer.add(rule)
    return Problem((*parameters.variables, *writer.auxiliary), tuple(writer.constraints))


def rule_text(rule: Rule) -> str:
    """The expression, or the name of the predicate."""
    return rule if isinstance(rule, str) else str(getattr(rule, "__name__", "predicate"))


_NATIVE: Mapping[type[ast.cmpop], tuple[type[Eq | Ne | Le | Lt], bool]] = {
    ast.Eq: (Eq, False),
    ast.NotEq: (Ne, False),
    ast.LtE: (Le, False),
    ast.Lt: (Lt, False),
    ast.GtE: (Le, True),
    ast.Gt: (Lt, True),
}
"""The constraint of a comparison, and whether its sides change places."""


@dataclass(frozen=True, slots=True)
class _Holds:
    """A piece of an expression as the function of a `Predicate`."""

    expression: Expression
    piece: ast.expr

    def __call__(self, **columns: npt.NDArray[np.int64]) -> Truth:
        return self.expression.holds(columns, self.piece)


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
            self.constraints.append(_predicate(self.parameters, rule))
        else:
            raise UsageError(f"a constraint is an expression or a function, got {rule!r:.80}")

    def _piece(self, expression: Expression, piece: ast.expr) -> None:
        names = names_in(piece, self.parameters)
        label = piece_text(piece)
        if len(names) == 1:
            self.constraints.append(self._allowed(expression, piece, names[0], label))
            return
        native = self._native(piece, label)
        if native is not None:
            self.constraints.append(native)
            return
        variables = tuple(map(self.parameters.variable_name, names))
        if not names:
            if not expression.holds({}, piece):
                self.constraints.append(Lt(1, 0, name=label))
            return
        self.constraints.append(Predicate(variables, _Holds(expression, piece), vectorised=True, name=label))

    def _allowed(self, expression: Expression, piece: ast.expr, name: str, label: str) -> In:
        """A condition on one parameter, looked at for each of its values."""
        variable = self.parameters.variable_name(name)
        codes = np.array(sorted(self.parameters[name].codes.values()), dtype=np.int64)
        holds = np.broadcast_to(expression.holds({variable: codes}, piece), codes.shape)
        return In(variable, tuple(codes[holds].tolist()), name=label)

    def _native(self, piece: ast.expr, label: str) -> Constraint | None:
        """A comparison of whole numbers made of sums and products, if it is one."""
        if not isinstance(piece, ast.Compare):
            return None
        kind, left, right = piece.ops[0], piece.left, piece.comparators[0]
        for divided, zero in ((left, right), (right, left)):
            if isinstance(kind, ast.Eq) and self._is_remainder(divided) and _is_zero(zero):
                assert isinstance(divided, ast.BinOp)
                return Divides(self._operand(divided.right), self._operand(divided.left), name=label)
        if type(kind) not in _NATIVE or not (self._polynomial(left) and self._polynomial(right)):
            return None
        constraint, swapped = _NATIVE[type(kind)]
        sides = (self._operand(left), self._operand(right))
        return constraint(*(sides[::-1] if swapped else sides), name=label)

    def _is_remainder(self, node: ast.expr) -> bool:
        remainder = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)
        return remainder and self._polynomial(node.left) and self._polynomial(node.right)  # type: ignore[attr-defined]

    def _polynomial(self, node: ast.expr) -> bool:
        """Whether it is made of whole numbers by sums, differences and products alone."""
        match node:
            case ast.Constant(value=int()):
                return True
            case ast.Name(id=name):
                return self.parameters[name].integral
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._polynomial(operand)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult(), left=left, right=right):
                return self._polynomial(left) and self._polynomial(right)
            case _:
                return False

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
                return self._defined(node, Prod, tuple(map(self._operand, _flat(node, ast.Mult))))
            case ast.BinOp(op=ast.Sub(), left=left, right=right):
                negative = self._operand(ast.UnaryOp(ast.USub(), right))
                return self._defined(node, Sum, (self._operand(left), negative))
            case _:
                assert isinstance(node, ast.BinOp)
                return self._defined(node, Sum, tuple(map(self._operand, _flat(node, ast.Add))))

    def _defined(self, node: ast.expr, kind: type[Prod | Sum], operands: tuple[Operand, ...]) -> Operand:
        numbers = [operand for operand in operands if isinstance(operand, int)]
        if len(numbers) == len(operands):
            value = int(np.prod(numbers, dtype=object)) if kind is Prod else sum(numbers)
            if abs(value) <= INT64_MAX:
                return value
        text = ast.unparse(node)
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


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == 0


def _flat(node: ast.expr, kind: type[ast.operator]) -> Iterator[ast.expr]:
    """Operands of nested operations of the same kind."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, kind):
        yield from _flat(node.left, kind)
        yield from _flat(node.right, kind)
    else:
        yield node


def _predicate(parameters: Parameters, function: Callable[..., object]) -> Predicate:
    names = _arguments(parameters, function)
    variables = {name: parameters.variable_name(name) for name in names}

    def holds(**codes: int) -> bool:
        return bool(function(**{name: parameters[name].value(codes[variable]) for name, variable in variables.items()}))

    return Predicate(tuple(variables.values()), holds, name=rule_text(function))


def _arguments(parameters: Parameters, function: Callable[..., object]) -> tuple[str, ...]:
    """The parameters that a predicate reads: its arguments; all of them where it takes any."""
    name = rule_text(function)
    try:
        arguments: Mapping[str, inspect.Parameter] = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise UsageError(f"constraint {name!r}: a function must name its arguments like the parameters") from None
    kinds = [argument.kind for argument in arguments.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return parameters.names
    if any(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL) for kind in kinds):
        raise UsageError(f"constraint {name!r}: its arguments must be named like the parameters")
    known = [argument for argument in arguments.values() if argument.name in parameters.names]
    for argument in arguments.values():
        if argument not in known and argument.default is inspect.Parameter.empty:
            raise UsageError(
                f"constraint {name!r}: unknown parameter {argument.name!r}: {nearest(argument.name, parameters.names)}"
            )
    if not known:
        raise UsageError(f"constraint {name!r} names no parameter: {nearest('', parameters.names)}")
    return tuple(argument.name for argument in known)
