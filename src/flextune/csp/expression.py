"""Constraint expressions: a checked subset of Python's expression syntax, evaluated over columns of values.

Allowed are names of parameters, numbers, quoted texts, True, False; `+ - * / // % **` and, for whole numbers, `& | ^
<< >>`; comparisons, also chained; `in` and `not in` with a list of values; `and`, `or`, `not`; `a if c else b` between
conditions; `min`, `max`, `abs`; parentheses. The text is parsed and never run: anything else, other calls and
attributes included, is a `UsageError` that names the piece.

Values are those of Python: whole numbers are exact, `and` and `or` stop early. Where Python would raise (a division by
zero), the value is undefined, and an undefined condition does not hold.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flextune.csp import arithmetic
from flextune.csp.domain import INT64_MAX
from flextune.csp.parameters import Parameters
from flextune.csp.python_arithmetic import OPERATIONS, Array, Truth, Values, compared, power_bits, times, wide
from flextune.errors import UsageError
from flextune.registry import nearest

MAX_TEXT = 10_000
_MAX_NODES = 2_000
_MAX_DEPTH = 100
MAX_BITS = 1_000
_LONG_CHAIN = 50
_ALLOWED = (
    "names of parameters, numbers, quoted texts, + - * / // % ** & | ^ << >>, comparisons, in, and, or, not,"
    " conditions (a if b else c), min, max, abs"
)

COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Expression:
    """A condition on parameters. Raises `UsageError` for broken and unsupported syntax and for unknown names.

    >>> parameters = Parameters.of({"tile": [8, 32], "level": ["-O1", "-O2"]})
    >>> rule = Expression("tile * 4 <= 64 and level != '-O1'", parameters)
    >>> rule.holds({"tile": np.array([8, 8, 32]), "level": np.array([0, 1, 1])}).tolist()
    [False, True, False]
    """

    text: str
    parameters: Parameters
    given: ast.expr | None = None
    """The parsed text, where it did not come as one."""

    def __post_init__(self) -> None:
        _Checker(self).check(self.tree)
        if not self.names:
            raise self.error("it names no parameter")

    @cached_property
    def tree(self) -> ast.expr:
        """The parsed text."""
        if self.given is not None:
            return self.given
        if not isinstance(self.text, str) or len(self.text) > MAX_TEXT:
            raise UsageError(f"constraint: expected a text of at most {MAX_TEXT} characters, got {self.text!r:.80}")
        try:
            return _without_choices(ast.parse(self.text.strip(), mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply or no text"
            raise self.error(f"it is no expression ({reason})") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters that it reads, in the order of the declaration."""
        return names_in(self.tree, self.parameters)

    def values(self, columns: Mapping[str, npt.NDArray[np.int64]], piece: ast.expr | None = None) -> Values:
        """The values of it (or of a piece of it) for columns of codes, by variable name."""
        return _Evaluation(self, columns).value(self.tree if piece is None else piece)

    def holds(self, columns: Mapping[str, npt.NDArray[np.int64]], piece: ast.expr | None = None) -> Truth:
        """Where it (or a piece of it) is defined and true."""
        values = self.values(columns, piece)
        return np.asarray(values.truth & values.defined, dtype=bool)

    def error(self, problem: str) -> UsageError:
        shown = self.text if len(self.text) <= 80 else self.text[:77] + "..."
        return UsageError(f"constraint {shown!r}: {problem}")


def _without_choices(tree: ast.expr) -> ast.expr:
    """`a if c else b`, where a truth is asked for, as `(c and a) or (not c and b)`."""
    if isinstance(tree, ast.BoolOp):
        return ast.BoolOp(tree.op, [_without_choices(value) for value in tree.values])
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return ast.UnaryOp(tree.op, _without_choices(tree.operand))
    if not isinstance(tree, ast.IfExp):
        return tree
    condition, then, otherwise = (_without_choices(each) for each in (tree.test, tree.body, tree.orelse))
    negated = ast.UnaryOp(ast.Not(), condition)
    return ast.BoolOp(ast.Or(), [ast.BoolOp(ast.And(), [condition, then]), ast.BoolOp(ast.And(), [negated, otherwise])])


def names_in(tree: ast.expr, parameters: Parameters) -> tuple[str, ...]:
    """The parameters that a piece reads, in the order of the declaration."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return tuple(name for name in parameters.names if name in found)


def piece_text(node: ast.AST) -> str:
    """A piece of an expression as short text."""
    text = long_text(node)
    return text if len(text) <= 60 else text[:57] + "..."


def long_text(node: ast.AST) -> str:
    """A piece of an expression as text, however many operands its sums and products have."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.left, ast.BinOp):
        sides = ast.unparse(ast.Compare(ast.Constant(0), node.ops, node.comparators))
        return long_text(node.left) + sides[1:]
    if not isinstance(node, ast.BinOp) or not isinstance(node.left, ast.BinOp):
        return ast.unparse(node)
    first, rest = spine(node)
    if len(rest) < _LONG_CHAIN:
        return ast.unparse(node)
    zero = ast.Constant(0)  # stands for what is on the left
    return long_text(first) + "".join(ast.unparse(ast.BinOp(zero, each.op, each.right))[1:] for each in rest)


def spine(node: ast.BinOp) -> tuple[ast.expr, list[ast.BinOp]]:
    """The first operand of operations that are joined from the left, and these, innermost first."""
    operations: list[ast.BinOp] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp):
        operations.append(left)
        left = left.left
    return left, operations[::-1]


def too_large(operation: ast.operator, left: Array, right: Array) -> bool:
    """Whether a power or a shift to the left may need more bits than are computed with."""
    if isinstance(operation, ast.LShift):
        return right.dtype.kind != "f" and arithmetic.magnitude(right) > MAX_BITS
    return isinstance(operation, ast.Pow) and power_bits(left, right) > MAX_BITS


class _Checker:
    """Checks each node of an expression, and that its operands are of fitting kinds."""

    def __init__(self, expression: Expression) -> None:
        self._expression = expression
        self._nodes = 0
        self._depth = 0

    def check(self, node: ast.expr) -> str:
        """The kind of the node's value."""
        self._nodes += 1
        self._depth += 1
        if self._nodes > _MAX_NODES or self._depth > _MAX_DEPTH:
            raise self._expression.error("it is too long; split it into several constraints")
        check = getattr(self, f"_{type(node).__name__.lower()}", None)
        if check is None:
            raise self._unsupported(node)
        kind = str(check(node))
        self._depth -= 1
        return kind

    def _unsupported(self, node: ast.AST) -> UsageError:
        kind = {"Attribute": "an attribute", "Subscript": "indexing", "Call": "a call", "Lambda": "a function"}
        what = kind.get(type(node).__name__, type(node).__name__)
        return self._expression.error(f"{piece_text(node)!r} ({what}) is not supported; allowed are {_ALLOWED}")

    def _name(self, node: ast.Name) -> str:
        parameters = self._expression.parameters
        if node.id not in parameters.names:
            raise self._expression.error(f"unknown parameter {node.id!r}: {nearest(node.id, parameters.names)}")
        return parameters[node.id].kind

    def _constant(self, node: ast.Constant) -> str:
        value = node.value
        if isinstance(value, str):
            return "text"
        if isinstance(value, bool | int) and abs(value) <= INT64_MAX:
            return "number"
        if isinstance(value, float) and math.isfinite(value):
            return "number"
        raise self._unsupported(node)

    def _numbers(self, node: ast.expr, *operands: ast.expr) -> str:
        for operand in operands:
            if self.check(operand) != "number":
                raise self._expression.error(f"{piece_text(operand)!r} in {piece_text(node)!r} is not a number")
        return "number"

    def _binop(self, node: ast.BinOp) -> str:
        first, operations = spine(node)
        self._nodes += len(operations) - 1
        for operation in operations:
            if type(operation.op) not in OPERATIONS:
                raise self._unsupported(operation)
            operands = (first, operation.right) if operation is operations[0] else (operation.right,)
            self._numbers(operation, *operands)
        return "number"

    def _unaryop(self, node: ast.UnaryOp) -> str:
        if isinstance(node.op, ast.Not):
            self.check(node.operand)
            return "number"
        if not isinstance(node.op, ast.USub | ast.UAdd):
            raise self._unsupported(node)
        return self._numbers(node, node.operand)

    def _call(self, node: ast.Call) -> str:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        count = len(node.args)
        if name not in ("min", "max", "abs") or node.keywords or (count != 1 if name == "abs" else count < 2):
            raise self._unsupported(node)
        return self._numbers(node, *node.args)

    def _boolop(self, node: ast.BoolOp) -> str:
        kinds = {self.check(value) for value in node.values}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    def _compare(self, node: ast.Compare) -> str:
        left = self.check(node.left)
        for kind, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(kind, ast.In | ast.NotIn):
                if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                    raise self._expression.error(f"{piece_text(right)!r} after 'in' is not a list of values")
                for item in right.elts:
                    self.check(item)
                left = "list"
                continue
            if left == "list" or type(kind) not in COMPARISONS:
                raise self._unsupported(node)
            found = self.check(right)
            if not isinstance(kind, ast.Eq | ast.NotEq) and (left != found or found == "mixed"):
                raise self._expression.error(f"{piece_text(node)!r} compares numbers with texts")
            left = found
        return "number"


class _Evaluation:
    """The value of a checked expression's nodes over columns of codes."""

    def __init__(self, expression: Expression, columns: Mapping[str, npt.NDArray[np.int64]]) -> None:
        self._expression = expression
        self._columns = columns

    def value(self, node: ast.expr) -> Values:
        found = getattr(self, f"_{type(node).__name__.lower()}")(node)
        assert isinstance(found, Values)
        return found

    def _name(self, node: ast.Name) -> Values:
        parameters = self._expression.parameters
        parameter = parameters[node.id]
        codes = self._columns[parameters.variable_name(node.id)]
        return Values(parameter.column(codes), np.ones((), dtype=bool), parameter.kind)

    def _constant(self, node: ast.Constant) -> Values:
        value = int(node.value) if isinstance(node.value, bool) else node.value
        if isinstance(value, str):
            return Values(np.array(value, dtype=object), np.ones((), dtype=bool), "text")
        return Values(np.array(value), np.ones((), dtype=bool))

    def _unaryop(self, node: ast.UnaryOp) -> Values:
        operand = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return Values((~operand.truth).astype(np.int64), operand.defined)
        if isinstance(node.op, ast.UAdd):
            return operand
        return Values(times(operand.array, np.array(-1)), operand.defined)

    def _binop(self, node: ast.BinOp) -> Values:
        first, operations = spine(node)
        result = self.value(first)
        for operation in operations:
            result = self._operation(operation, result, self.value(operation.right))
        return result

    def _operation(self, node: ast.BinOp, left: Values, right: Values) -> Values:
        if too_large(node.op, left.array, right.array):
            raise self._expression.error(f"{piece_text(node)!r} gets too large")
        array, defined = OPERATIONS[type(node.op)](left.array, right.array)
        if array.dtype == object and arithmetic.magnitude(array).bit_length() > MAX_BITS:
            raise self._expression.error(f"{piece_text(node)!r} gets too large")
        return Values(array, left.defined & right.defined & defined)

    def _call(self, node: ast.Call) -> Values:
        values = [self.value(argument) for argument in node.args]
        assert isinstance(node.func, ast.Name)
        array = values[0].array
        if node.func.id == "abs":
            return Values(np.abs(array if array.dtype.kind == "f" else wide(array)), values[0].defined)
        pick = np.minimum if node.func.id == "min" else np.maximum
        defined = values[0].defined
        for value in values[1:]:
            array, defined = pick(array, value.array), defined & value.defined
        return Values(np.asarray(array), defined)

    def _boolop(self, node: ast.BoolOp) -> Values:
        result = self.value(node.values[0])
        for other in node.values[1:]:
            right = self.value(other)
            going_on = result.truth if isinstance(node.op, ast.And) else ~result.truth
            kind = result.kind if result.kind == right.kind else "mixed"
            arrays = [a if kind == "number" else a.astype(object) for a in (right.array, result.array)]
            defined = result.defined & (right.defined | ~going_on)
            result = Values(np.where(going_on, *arrays), defined, kind)
        return result

    def _compare(self, node: ast.Compare) -> Values:
        left = self.value(node.left)
        truth, defined = np.ones((), dtype=bool), left.defined
        for kind, comparator in zip(node.ops, node.comparators, strict=True):
            if isinstance(kind, ast.In | ast.NotIn):
                assert isinstance(comparator, ast.Tuple | ast.List | ast.Set)
                items = [self.value(item) for item in comparator.elts]
                among = np.zeros((), dtype=bool)
                for item in items:
                    among = among | compared(operator.eq, left, item)
                    defined = defined & (item.defined | ~truth)
                found = among if isinstance(kind, ast.In) else ~among
            else:
                right = self.value(comparator)
                found = compared(COMPARISONS[type(kind)], left, right)
                defined = defined & (right.defined | ~truth)
                left = right
            truth = truth & found
        return Values(truth.astype(np.int64), defined)
