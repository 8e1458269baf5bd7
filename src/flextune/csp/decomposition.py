"""Decomposition: an expression as functions of two nodes each, so that the states of a diagram hold few values.

    z % x == 0 and (z // x) % y == 0    becomes    q = z // x;  "x divides z";  "y divides q"

Whole numbers stay what they are; other values (fractions, texts) are numbered in their order, by a table per node. Sums
and products of whole numbers become nodes that take their parts in any order, everything else a `Function`. An
undefined value (a division by zero) has no number: no solution. Where Python would not look at it, after an `or` that
is already decided, the whole condition stays one function.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import Numbers, magnitude, narrowed
from flextune.csp.constraint import COMPARISON_CONSTRAINTS, Divides, Le, Ne, Operand
from flextune.csp.domain import INT64_MAX, INT64_MIN
from flextune.csp.expression import COMPARISONS, MAX_BITS, Expression, names_in, too_large
from flextune.csp.function_bounds import BOUNDS, SPANS, Bounds, truth_bounds
from flextune.csp.network import Function, Kind
from flextune.csp.node_builder import NodeBuilder
from flextune.csp.part import EVERYWHERE, CannotDecomposeError, Part
from flextune.csp.python_arithmetic import OPERATIONS, Array, Truth, Values, compared, wide
from flextune.csp.relation import Relation
from flextune.csp.strong_propagation import GRID_LIMIT

_MAX_POWER = 8


@dataclass
class Decomposition:
    """Writes pieces of one expression as nodes and checks."""

    expression: Expression
    builder: NodeBuilder

    def require(self, node: ast.expr) -> None:
        """Let every solution keep this condition: part by part, or whole where that cannot be."""
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            for value in node.values:
                self.require(value)
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            for pair in _pairs(node):
                self.require(pair)
        else:
            self._require_one(node)

    def _require_one(self, node: ast.expr) -> None:
        names = names_in(node, self.expression.parameters)
        try:
            if isinstance(node, ast.Compare) and not isinstance(node.ops[0], ast.In | ast.NotIn):
                self._require_comparison(node)
            elif isinstance(node, ast.BoolOp):
                parts = [self._truth(value) for value in node.values]
                _need_total(parts)
                self.builder.require(Le(1, self.builder.accumulated(Kind.SUM, [(part.operand, 1) for part in parts])))
            else:
                self.builder.require(Ne(self._truth(node).operand, 0))
        except CannotDecomposeError:
            variables = tuple(map(self.expression.parameters.variable_name, names))
            self.builder.require(Relation(variables, lambda columns: self._whole(variables, node, columns).truth))

    def _whole(self, variables: Sequence[str], node: ast.expr, columns: Sequence[Numbers]) -> Values:
        values = self.expression.values(dict(zip(variables, columns, strict=True)), node)
        return Values(np.asarray(values.truth & values.defined), values.defined)

    def _require_comparison(self, node: ast.Compare) -> None:
        kind, right = type(node.ops[0]), node.comparators[0]
        for divided, zero in ((node.left, right), (right, node.left)):
            if kind is ast.Eq and isinstance(divided, ast.BinOp) and isinstance(divided.op, ast.Mod):
                divisor, dividend = self._value(divided.right), self._value(divided.left)
                if _is_zero(zero) and divisor.whole and dividend.whole:
                    self.builder.require(Divides(divisor.operand, dividend.operand))
                    return
        self._compare(kind, self._value(node.left), self._value(right))

    def _compare(self, kind: type[ast.cmpop], left: Part, right: Part) -> None:
        constraint, swapped = COMPARISON_CONSTRAINTS[kind]
        tables = [part.table for part in (left, right) if part.node and part.table is not None]
        if len(tables) == 2 and kind in (ast.Eq, ast.NotEq):
            self.builder.require(constraint(self._identity(left), self._identity(right)))
            return
        same = len(tables) == 2 and left.kind == right.kind == "number" and _equal(*tables)  # texts are in no order
        if same or (left.whole and right.whole):
            small, large = (right, left) if swapped else (left, right)
            self.builder.require(constraint(_checked(small.operand), _checked(large.operand)))
            return
        nodes = tuple(dict.fromkeys(part.node for part in (left, right) if part.node))
        compare = _comparing(kind, left, right)

        def holds(columns: Sequence[Numbers]) -> Truth:
            known = dict(zip(nodes, columns, strict=True))
            return np.asarray(compare([part.values(known.get(part.node)) for part in (left, right)]).array != 0)

        self.builder.require(Relation(nodes, holds))

    def _identity(self, part: Part) -> str:
        """A node that is the same number for equal values of whatever table."""
        assert part.table is not None
        known = self.builder.identities
        numbers = [known.setdefault(value, len(known)) for value in part.table.tolist()]
        table = np.array(numbers, dtype=np.int64)
        function = Function(lambda columns: (table[columns[0]], EVERYWHERE), lambda _: (0, int(table.max())))
        return self.builder.function(("identity", part.node), (part.node,), function)

    def _truth(self, node: ast.expr) -> Part:
        """0 or 1: whether the condition holds."""
        try:
            return self._decomposed_truth(node)
        except CannotDecomposeError:
            return self._opaque_truth(node)

    def _decomposed_truth(self, node: ast.expr) -> Part:
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(value) for value in node.values]
            _need_total(parts)
            kind = Kind.PRODUCT if isinstance(node.op, ast.And) else Kind.SUM
            joint = self._accumulated(kind, parts)
            return joint if kind is Kind.PRODUCT else self._is("positive", joint)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._is("zero", self._value(node.operand))
        if isinstance(node, ast.Compare):
            return self._compared(node)
        return self._is("true", self._value(node))

    def _compared(self, node: ast.Compare) -> Part:
        if len(node.ops) > 1:
            return self._decomposed_truth(ast.BoolOp(ast.And(), _pairs(node)))
        kind, right = type(node.ops[0]), node.comparators[0]
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            equal: list[ast.expr] = [ast.Compare(node.left, [ast.Eq()], [item]) for item in right.elts]
            among = ast.BoolOp(ast.Or(), equal) if len(equal) > 1 else (equal or [ast.Constant(0)])[0]
            return self._decomposed_truth(among if kind is ast.In else ast.UnaryOp(ast.Not(), among))
        parts = [self._value(node.left), self._value(right)]
        return self._function(kind.__name__, parts, _comparing(kind, *parts), truth_bounds)

    def _is(self, what: str, part: Part) -> Part:
        """Whether the part is positive, zero, or true as Python has it."""

        def test(values: Sequence[Values]) -> Values:
            truth = values[0].array > 0 if what == "positive" else values[0].truth ^ (what == "zero")
            return Values(truth.astype(np.int64), EVERYWHERE)

        return self._function(what, [part], test, truth_bounds)

    def _opaque_truth(self, node: ast.expr) -> Part:
        """The condition as one function of its parameters, with what Python does not look at left alone."""
        variables = tuple(map(self.expression.parameters.variable_name, names_in(node, self.expression.parameters)))
        sets = [self.builder.domains.of[name] for name in variables]
        if math.prod(domain.size for domain in sets) > GRID_LIMIT:
            raise CannotDecomposeError
        parts = [Part(name) for name in variables]  # codes: the expression decodes them itself

        def evaluate(values: Sequence[Values]) -> Values:
            found = self.expression.values(dict(zip(variables, (v.array for v in values), strict=True)), node)
            return Values(found.truth.astype(np.int64), found.defined)

        return self._function(f"piece {id(node)}", parts, evaluate, truth_bounds)

    def _value(self, node: ast.expr) -> Part:
        match node:
            case ast.Constant(value=value):
                text = isinstance(value, str)
                constant: Any = int(value) if isinstance(value, bool) else value
                return Part(constant=constant, kind="text" if text else "number")
            case ast.Name(id=name):
                parameter = self.expression.parameters[name]
                variable = self.expression.parameters.variable_name(name)
                return Part(variable, table=None if parameter.integral else parameter.table, kind=parameter.kind)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._value(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._arithmetic(ast.Mult(), Part(constant=-1), self._value(operand))
            case ast.BinOp(op=op, left=left, right=right):
                return self._operation(op, left, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, [self._value(argument) for argument in arguments])
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return self._truth(node)
            case ast.BoolOp(values=values) if all(isinstance(v, ast.Compare | ast.BoolOp) for v in values):
                return self._truth(node)
        raise CannotDecomposeError

    def _operation(self, op: ast.operator, left: ast.expr, right: ast.expr) -> Part:
        if isinstance(op, ast.Add | ast.Sub):  # long sums: iteratively along the left operands
            terms = [(op, right)]
            while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add | ast.Sub):
                terms.append((left.op, left.right))
                left = left.left
            result = [self._value(left)]
            signs = [1]
            for sign, term in reversed(terms):
                result.append(self._value(term))
                signs.append(1 if isinstance(sign, ast.Add) else -1)
            if all(part.whole for part in result):
                return self._accumulated(Kind.SUM, result, signs)
            joint = result[0]
            for part, (sign, _) in zip(result[1:], reversed(terms), strict=True):
                joint = self._arithmetic(sign, joint, part)
            return joint
        return self._arithmetic(op, self._value(left), self._value(right))

    def _accumulated(self, kind: Kind, parts: Sequence[Part], signs: Sequence[int] | None = None) -> Part:
        operands: list[tuple[Operand, int]] = []
        for part, sign in zip(parts, signs or [1] * len(parts), strict=True):
            operand = part.operand
            if sign < 0:
                operand = self.builder.accumulated(Kind.PRODUCT, [(-1, 1), (operand, 1)])
            operands.append((operand, 1))
        found = self.builder.accumulated(kind, operands)
        total = all(part.total for part in parts)
        return Part(found, total=total) if isinstance(found, str) else Part(constant=found, total=total)

    def _arithmetic(self, op: ast.operator, left: Part, right: Part) -> Part:
        if left.whole and right.whole:
            if isinstance(op, ast.Mult):
                return self._accumulated(Kind.PRODUCT, [left, right])
            if isinstance(op, ast.Add | ast.Sub):
                return self._accumulated(Kind.SUM, [left, right], [1, 1 if isinstance(op, ast.Add) else -1])
            if isinstance(op, ast.Pow) and left.node and not right.node and 1 <= int(right.constant) <= _MAX_POWER:
                found = self.builder.accumulated(Kind.PRODUCT, [(left.node, int(right.constant))])
                return Part(str(found), total=left.total)
        compute = OPERATIONS[type(op)]

        def evaluate(values: Sequence[Values]) -> Values:
            a, b = values[0].array, values[1].array
            if too_large(op, a, b):
                raise CannotDecomposeError
            array, defined = compute(a, b)
            if array.dtype == object and magnitude(array).bit_length() > MAX_BITS:
                raise CannotDecomposeError
            return Values(array, np.asarray(defined))

        return self._function(type(op).__name__, [left, right], evaluate, BOUNDS.get(type(op).__name__))

    def _call(self, name: str, parts: list[Part]) -> Part:
        if name == "abs":

            def absolute(values: Sequence[Values]) -> Values:
                array = values[0].array
                return Values(np.abs(array if array.dtype.kind == "f" else wide(array)), EVERYWHERE)

            return self._function(name, parts, absolute, BOUNDS[name])
        pick = np.minimum if name == "min" else np.maximum
        joint = parts[0]
        for part in parts[1:]:
            joint = self._function(
                name,
                [joint, part],
                lambda values: Values(np.asarray(pick(values[0].array, values[1].array)), EVERYWHERE),
                BOUNDS[name],
            )
        return joint

    def _function(
        self,
        what: str,
        parts: Sequence[Part],
        evaluate: Callable[[Sequence[Values]], Values],
        bounds: Bounds | None,
    ) -> Part:
        """A function of parts as a node: of whole numbers, or with a table of its values."""
        nodes = tuple(dict.fromkeys(part.node for part in parts if part.node))
        total = all(part.total for part in parts)

        def evaluated(columns: Sequence[Numbers]) -> Values:
            known = dict(zip(nodes, columns, strict=True))
            found = evaluate([part.values(known.get(part.node)) for part in parts])
            shape = np.broadcast_shapes(found.array.shape, *(column.shape for column in columns))
            return Values(np.broadcast_to(found.array, shape), np.broadcast_to(found.defined, shape), found.kind)

        sample = self.builder.sampled(nodes, evaluated)
        if sample is None:
            if bounds is None or (bounds is not truth_bounds and not all(part.whole for part in parts)):
                raise CannotDecomposeError
            intervals = [self.builder.interval(part.operand) for part in parts]
            total &= what not in ("FloorDiv", "Mod") or not intervals[1][0] <= 0 <= intervals[1][1]
            table: Array | None = None
        else:
            total &= bool(sample.defined.all())
            array = sample.array[sample.defined]
            table = np.unique(array) if array.dtype.kind == "f" else None
            if not nodes:
                return _constant_part(sample, total)

        def compute(columns: Sequence[Numbers]) -> tuple[Numbers, Truth]:
            found = evaluated(columns)
            if table is None:
                return _as_integers(found.array), np.asarray(found.defined)
            if not len(table):
                return np.zeros(found.array.shape, dtype=np.int64), np.zeros(found.array.shape, dtype=bool)
            position = np.minimum(np.searchsorted(table, found.array), len(table) - 1)
            same = np.isclose(table[position], found.array, rtol=0, atol=0, equal_nan=True)
            return position.astype(np.int64), np.asarray(found.defined & same)

        size = 0 if table is None else len(table)

        def bounded(intervals: Sequence[tuple[int, int]]) -> tuple[int, int]:
            if table is not None:
                return (0, max(0, size - 1))
            assert bounds is not None
            known = dict(zip(nodes, intervals, strict=True))
            return bounds([known[part.node] if part.node else (int(part.constant),) * 2 for part in parts])

        key = (what, *(part.key for part in parts))
        plain = all(part.whole for part in parts) and len(nodes) == len(parts)
        function = Function(compute, bounded, SPANS.get(what) if plain else None)
        return Part(self.builder.function(key, nodes, function), table=table, total=total)


def _constant_part(sample: Values, total: bool) -> Part:
    if not total:
        raise CannotDecomposeError
    value = sample.array.item()
    return Part(constant=value if isinstance(value, float) else int(value))


def _comparing(kind: type[ast.cmpop], left: Part, right: Part) -> Callable[[Sequence[Values]], Values]:
    def compare(values: Sequence[Values]) -> Values:
        return Values(compared(COMPARISONS[kind], *values).astype(np.int64), EVERYWHERE)

    if kind not in (ast.Eq, ast.NotEq) and "mixed" in (left.kind, right.kind):
        raise CannotDecomposeError
    return compare


def _as_integers(array: npt.NDArray[Any]) -> Numbers:
    return narrowed(array) if array.dtype == object else array.astype(np.int64)


def _pairs(node: ast.Compare) -> list[ast.expr]:
    """A chained comparison as comparisons of two."""
    lefts = [node.left, *node.comparators[:-1]]
    return [
        ast.Compare(left, [kind], [right]) for left, kind, right in zip(lefts, node.ops, node.comparators, strict=True)
    ]


def _need_total(parts: Sequence[Part]) -> None:
    if not all(part.total for part in parts):
        raise CannotDecomposeError


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == 0


def _equal(one: Array, other: Array) -> bool:
    return one is other or (one.shape == other.shape and bool(np.all(one == other)))


def _checked(operand: Operand) -> Operand:
    if isinstance(operand, int) and not INT64_MIN <= operand <= INT64_MAX:
        raise CannotDecomposeError
    return operand
