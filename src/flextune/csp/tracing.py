"""Tracing: what a Python function says about its arguments, as an expression, from calling it with symbols.

`lambda x, y: x * y <= 64 and y % x == 0` is called with two `Symbol`s, whose operators write down what they are asked.
Where Python needs to know whether a symbol is true, both answers are followed, one call each. Nothing is guessed: a
function is left alone as soon as it does what symbols cannot stand for (conversions, attributes, `is`, `isinstance`,
exceptions caught, other modules), and its expression must agree with it on a sample of values.
"""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import BuiltinFunctionType, FunctionType
from typing import Any, NoReturn

from flextune.csp.traceable_code import UntraceableError, check_code, used_names

_MAX_CALLS = 200
_MAX_DECISIONS = 200
_MAX_SIZE = 2_000
_PLAIN = (bool, int, float, str, type(None))


class _Path:
    """The decisions of one call: those given, then "true" as often as it asks."""

    def __init__(self, given: Sequence[bool]) -> None:
        self.decisions = list(given)
        self.conditions: list[ast.expr] = []

    def decide(self, condition: ast.expr) -> bool:
        if len(self.conditions) == _MAX_DECISIONS:
            raise UntraceableError
        self.conditions.append(condition)
        if len(self.conditions) > len(self.decisions):
            self.decisions.append(True)
        return self.decisions[len(self.conditions) - 1]


class Symbol:
    """Stands for a value of an argument, or for what was computed from some."""

    __slots__ = ("_node", "_path", "_size", "_whole")

    def __init__(self, node: ast.expr, path: _Path, size: int = 1, whole: bool = False) -> None:
        if size > _MAX_SIZE:
            raise UntraceableError
        self._node = node
        self._path = path
        self._size = size
        self._whole = whole

    def __bool__(self) -> bool:
        return self._path.decide(self._node)

    def _combined(self, op: ast.operator, left: object, right: object) -> Symbol:
        nodes, size = _nodes(left, right)
        whole = _is_whole(left) and _is_whole(right) and not isinstance(op, ast.Div | ast.Pow)
        return Symbol(ast.BinOp(nodes[0], op, nodes[1]), self._path, size, whole)

    def _compared(self, kind: ast.cmpop, other: object) -> Symbol:
        nodes, size = _nodes(self, other)
        return Symbol(ast.Compare(nodes[0], [kind], [nodes[1]]), self._path, size, True)

    def __eq__(self, other: object) -> Symbol:  # type: ignore[override]
        return self._compared(ast.Eq(), other)

    def __ne__(self, other: object) -> Symbol:  # type: ignore[override]
        return self._compared(ast.NotEq(), other)

    def __lt__(self, other: object) -> Symbol:
        return self._compared(ast.Lt(), other)

    def __le__(self, other: object) -> Symbol:
        return self._compared(ast.LtE(), other)

    def __gt__(self, other: object) -> Symbol:
        return self._compared(ast.Gt(), other)

    def __ge__(self, other: object) -> Symbol:
        return self._compared(ast.GtE(), other)

    def __neg__(self) -> Symbol:
        return Symbol(ast.UnaryOp(ast.USub(), self._node), self._path, self._size + 1, self._whole)

    def __pos__(self) -> Symbol:
        return Symbol(ast.UnaryOp(ast.UAdd(), self._node), self._path, self._size + 1, self._whole)

    def __abs__(self) -> Symbol:
        return _called("abs", [self])

    def __divmod__(self, other: object) -> tuple[Symbol, Symbol]:
        return self._combined(ast.FloorDiv(), self, other), self._combined(ast.Mod(), self, other)

    def __and__(self, other: object) -> Symbol:
        return self._joined(ast.And(), other)

    def __or__(self, other: object) -> Symbol:
        return self._joined(ast.Or(), other)

    def __rand__(self, other: object) -> Symbol:
        return self._combined(ast.BitAnd(), other, self)

    def __ror__(self, other: object) -> Symbol:
        return self._combined(ast.BitOr(), other, self)

    def _joined(self, op: ast.boolop, other: object) -> Symbol:
        """`&` and `|`: of two conditions as good as `and` and `or`."""
        if not isinstance(other, Symbol) or not all(_is_condition(side._node) for side in (self, other)):
            return self._combined(ast.BitAnd() if isinstance(op, ast.And) else ast.BitOr(), self, other)
        return Symbol(ast.BoolOp(op, [self._node, other._node]), self._path, self._size + other._size, True)

    def _refused(self, *_: object) -> NoReturn:
        raise UntraceableError

    __hash__ = __index__ = __int__ = __float__ = __complex__ = __str__ = __repr__ = __format__ = _refused
    __len__ = __iter__ = __contains__ = __call__ = __getitem__ = __round__ = __trunc__ = _refused


def _operator(op: type[ast.operator]) -> tuple[Callable[..., Symbol], Callable[..., Symbol]]:
    return (
        lambda self, other: self._combined(op(), self, other),
        lambda self, other: self._combined(op(), other, self),
    )


for _name, _op in {
    "add": ast.Add,
    "sub": ast.Sub,
    "mul": ast.Mult,
    "truediv": ast.Div,
    "floordiv": ast.FloorDiv,
    "mod": ast.Mod,
    "pow": ast.Pow,
    "xor": ast.BitXor,
    "lshift": ast.LShift,
    "rshift": ast.RShift,
}.items():
    for _prefix, _method in zip(("", "r"), _operator(_op), strict=True):
        setattr(Symbol, f"__{_prefix}{_name}__", _method)


class _Different:
    """`set(...)` of values of which some are symbols: only whether all are different can be asked."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[object]) -> None:
        self._values = list(values)


class _Count:
    """How many different values there are: to be compared with how many values there are."""

    __slots__ = ("_values",)

    def __init__(self, values: list[object]) -> None:
        self._values = values

    def _whether(self, other: object, distinct: bool) -> Symbol:
        symbols = [value for value in self._values if isinstance(value, Symbol)]
        if type(other) is not int or other != len(self._values) or len(self._values) < 2 or not symbols:
            raise UntraceableError
        pairs = [ast.Compare(*_unequal(one, two)) for one, two in combinations(self._values, 2)]
        different: ast.expr = ast.BoolOp(ast.And(), list[ast.expr](pairs)) if len(pairs) > 1 else pairs[0]
        node = different if distinct else ast.UnaryOp(ast.Not(), different)
        return Symbol(node, symbols[0]._path, 3 * len(pairs), True)

    def __eq__(self, other: object) -> Symbol:  # type: ignore[override]
        return self._whether(other, True)

    def __ge__(self, other: object) -> Symbol:
        return self._whether(other, True)

    def __ne__(self, other: object) -> Symbol:  # type: ignore[override]
        return self._whether(other, False)

    def __lt__(self, other: object) -> Symbol:
        return self._whether(other, False)

    def __hash__(self) -> int:
        raise UntraceableError


def _unequal(one: object, two: object) -> tuple[ast.expr, list[ast.cmpop], list[ast.expr]]:
    nodes, _ = _nodes(one, two)
    return nodes[0], [ast.NotEq()], [nodes[1]]


def _nodes(*operands: object) -> tuple[list[ast.expr], int]:
    found: list[ast.expr] = []
    size = 1
    for operand in operands:
        if isinstance(operand, Symbol):
            found.append(operand._node)
            size += operand._size
        elif type(operand) in (bool, int, float, str):
            found.append(ast.Constant(operand))  # type: ignore[arg-type]
            size += 1
        else:
            raise UntraceableError
    return found, size


def _is_whole(value: object) -> bool:
    return value._whole if isinstance(value, Symbol) else isinstance(value, int)


def _is_condition(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare | ast.BoolOp)


def _called(name: str, arguments: Sequence[object]) -> Symbol:
    nodes, size = _nodes(*arguments)
    symbol = next(argument for argument in arguments if isinstance(argument, Symbol))
    call = ast.Call(ast.Name(name, ast.Load()), nodes, [])
    return Symbol(call, symbol._path, size, all(map(_is_whole, arguments)))


def _extreme(name: str, plain: Callable[..., Any]) -> Callable[..., object]:
    def pick(*arguments: Any, **options: Any) -> object:
        values = list(arguments[0]) if len(arguments) == 1 else list(arguments)
        if options or not any(isinstance(value, Symbol) for value in values):
            return plain(values, **options)
        return values[0] if len(values) == 1 else _called(name, values)

    return pick


def _sum(values: Iterable[Any], start: Any = 0) -> object:
    listed = [start, *values]
    if sys.version_info >= (3, 12) and not all(map(_is_whole, listed)):
        raise UntraceableError  # fractions are summed more exactly there than by additions
    return sum(listed[1:], start)


def _set(values: Iterable[object] = ()) -> object:
    listed = list(values)
    return _Different(listed) if any(isinstance(value, Symbol) for value in listed) else set(listed)


def _len(value: Any) -> object:
    return _Count(value._values) if isinstance(value, _Different) else len(value)


def _int(value: object) -> object:
    if not isinstance(value, Symbol):
        return int(value)  # type: ignore[call-overload]
    if not value._whole:
        raise UntraceableError
    return value


_BUILTINS: Mapping[str, object] = {
    **{each.__name__: each for each in (abs, all, any, bool, divmod, enumerate, filter, list, map, pow, range)},
    **{each.__name__: each for each in (dict, reversed, sorted, tuple, zip)},
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "sum": _sum,
    "set": _set,
    "len": _len,
    "int": _int,
}
_MODULES = (math, operator)


@dataclass(frozen=True)
class OfDict:
    """A function of one dict with all values (`lambda p: p["x"] < p["y"]`) as one of keyword arguments."""

    function: Callable[[dict[str, object]], object]

    @property
    def __name__(self) -> str:
        return str(getattr(self.function, "__name__", "predicate"))

    def __call__(self, **values: object) -> object:
        return self.function(values)


def traced(function: Callable[..., object], whole: Mapping[str, bool]) -> ast.expr | bool | None:
    """When the function of these keyword arguments is true, as an expression over their names (or always, or never).

    `whole` says of each whether it is a whole number. None where it cannot be known.
    """
    try:
        calls = [0]
        if isinstance(function, OfDict):
            clone = _clone(function.function, {})
            return _followed(lambda **symbols: clone(symbols), whole, (), calls)
        return _followed(_clone(function, {}), whole, (), calls)
    except (UntraceableError, Exception):  # noqa: BLE001 whatever goes wrong, the function is only left as it is
        return None


def _followed(
    function: Callable[..., object], whole: Mapping[str, bool], given: tuple[bool, ...], calls: list[int]
) -> ast.expr | bool:
    """The truth of the function, after these decisions."""
    calls[0] += 1
    if calls[0] > _MAX_CALLS:
        raise UntraceableError
    path = _Path(given)
    arguments = {name: Symbol(ast.Name(name, ast.Load()), path, whole=is_whole) for name, is_whole in whole.items()}
    result = _truth(function(**arguments), path)
    for position in reversed(range(len(given), len(path.conditions))):
        otherwise = _followed(function, whole, (*path.decisions[:position], False), calls)
        result = _either(path.conditions[position], result, otherwise)
    return result


def _truth(result: object, path: _Path) -> ast.expr | bool:
    if isinstance(result, _Different | _Count):
        raise UntraceableError
    if not isinstance(result, Symbol):
        return bool(result)
    for condition, decision in zip(path.conditions, path.decisions, strict=True):
        if condition is result._node:
            return decision
    return result._node


def _either(condition: ast.expr, then: ast.expr | bool, otherwise: ast.expr | bool) -> ast.expr | bool:
    """`then` where the condition holds, else `otherwise`, by `and`, `or` and `not`, which stop early as Python does."""
    if isinstance(then, bool) and isinstance(otherwise, bool):
        return then if then is otherwise else condition if then else _not(condition)
    if isinstance(then, bool):
        assert not isinstance(otherwise, bool)
        return _joint(ast.Or(), condition, otherwise) if then else _joint(ast.And(), _not(condition), otherwise)
    if isinstance(otherwise, bool):
        return _joint(ast.Or(), _not(condition), then) if otherwise else _joint(ast.And(), condition, then)
    return _joint(ast.Or(), _joint(ast.And(), condition, then), _joint(ast.And(), _not(condition), otherwise))


def _not(node: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), node)


def _joint(op: ast.boolop, *nodes: ast.expr) -> ast.expr:
    flat: list[ast.expr] = []
    for node in nodes:
        flat += node.values if isinstance(node, ast.BoolOp) and type(node.op) is type(op) else [node]
    return ast.BoolOp(op, flat)


def _clone(function: object, known: dict[int, FunctionType]) -> FunctionType:
    """The function with the names of `_BUILTINS` in place of Python's, and functions that it calls alike."""
    if not isinstance(function, FunctionType):
        raise UntraceableError
    if id(function) in known:
        return known[id(function)]
    check_code(function.__code__)
    names: dict[str, object] = {"__builtins__": dict(_BUILTINS)}
    cells = tuple(type(cell)(None) for cell in function.__closure__ or ())
    clone = FunctionType(function.__code__, names, function.__name__, None, cells or None)
    known[id(function)] = clone
    clone.__defaults__ = tuple(_plain(value, known) for value in function.__defaults__ or ()) or None
    clone.__kwdefaults__ = {name: _plain(value, known) for name, value in (function.__kwdefaults__ or {}).items()}
    for cell, own in zip(cells, function.__closure__ or (), strict=True):
        cell.cell_contents = _plain(own.cell_contents, known)
    for name in used_names(function.__code__):
        if name in function.__globals__:
            names[name] = _plain(function.__globals__[name], known)
    return clone


def _plain(value: object, known: dict[int, FunctionType]) -> object:
    """A value that a traced function may use."""
    if type(value) in _PLAIN or any(value is module for module in _MODULES):
        return value
    if type(value) in (tuple, list, frozenset):
        return type(value)(_plain(each, known) for each in value)  # type: ignore[attr-defined, call-arg]
    if type(value) is dict:
        return {key: _plain(each, known) for key, each in value.items()}
    if isinstance(value, BuiltinFunctionType) and any(getattr(m, value.__name__, None) is value for m in _MODULES):
        return value
    if isinstance(value, type | BuiltinFunctionType) and value.__name__ in _BUILTINS:
        return _BUILTINS[value.__name__]
    return _clone(value, known)
