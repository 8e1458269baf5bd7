"""The types of a stored program: every operation is known and has operands that it can have.

TVM checks this where an expression is made, but not where one is read, and its code generation relies on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flextune.workload.stored_grammar import ARITHMETIC, BITS, COMPARISONS, CONNECTIVES, TENSOR, refused

MOST_ELEMENTS: Final = 2**31 - 1  # of one tensor: programs count elements in 32 bits
_NOT_WHOLE: Final = ("float16", "float32", "float64", "bfloat16")

Rule = Callable[[str, Sequence[str]], bool]
"""Whether an operation has a result of this element type for operands of these."""


def _like(count: int) -> Rule:
    return lambda result, operands: list(operands) == [result] * count


def _real(count: int) -> Rule:
    return lambda result, operands: result in _NOT_WHOLE and list(operands) == [result] * count


def _tells(result: str, operands: Sequence[str]) -> bool:
    return result == "bool" and len(operands) == 1


def _counts(result: str, operands: Sequence[str]) -> bool:
    return not {result, *operands} & {*_NOT_WHOLE} and len(operands) == 1


def _chooses(result: str, operands: Sequence[str]) -> bool:
    return list(operands) == ["bool", result, result]


def _same_bits(result: str, operands: Sequence[str]) -> bool:
    return len(operands) == 1 and _bits(operands[0]) == _bits(result)


def _rounds(result: str, operands: Sequence[str]) -> bool:
    return result == "uint16" and list(operands) == ["float32"]


def _scales(result: str, operands: Sequence[str]) -> bool:
    return len(operands) == 2 and result in _NOT_WHOLE and operands[0] == result and operands[1] == "int32"


def _bits(element: str) -> int:
    return 8 if element == "bool" else int(element.lstrip("abcdefghijklmnopqrstuvwxyz"))


_FUNCTIONS: Final = ("exp", "exp2", "exp10", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sigmoid", "erf")
_ANGLES: Final = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh")
_WHOLE: Final = ("floor", "trunc", "round", "nearbyint")

OPERATIONS: Final[Mapping[str, Rule]] = {
    **{f"tirx.{name}": _real(1) for name in (*_FUNCTIONS, *_ANGLES, *_WHOLE)},
    **{f"tirx.{name}": _real(2) for name in ("atan2", "copysign", "fmod", "hypot", "nextafter")},
    **{f"tirx.{name}": _tells for name in ("isnan", "isinf", "isfinite")},
    "prim.ceil": _real(1),
    "prim.log2": _real(1),
    "tirx.fabs": _like(1),
    "tirx.pow": _like(2),
    "tirx.fma": _like(3),
    "tirx.ldexp": _scales,
    "prim.clz": _counts,
    "tirx.popcount": _counts,
    "prim.if_then_else": _chooses,
    "prim.likely": _like(1),
    "tirx.reinterpret": _same_bits,
    "tirx.flextune_bfloat16": _rounds,
}
"""What a stored program may call; all of it depends on the operands alone."""


def check_types(nodes: Sequence[Any], kinds: Sequence[str]) -> None:
    """Raises `UsageError` for an operation that does not fit its operands.

    `nodes` are as the grammar has them and call known operations only; `kinds` are theirs.
    """
    types = _Types(nodes, kinds)
    for index, kind in enumerate(kinds):
        if not types.is_right(index, kind):
            raise refused(f"node {index} is a {kind} of other types than it can have")


@dataclass(frozen=True, slots=True)
class _Types:
    nodes: Sequence[Any]
    kinds: Sequence[str]

    def is_right(self, index: int, kind: str) -> bool:
        data = self.nodes[index].get("data")
        if kind in ARITHMETIC:
            return self._element(data["a"]) == self._element(data["b"]) == self._element(index)
        if kind in COMPARISONS:
            return self._element(data["a"]) == self._element(data["b"]) and self._element(index) == "bool"
        if kind in CONNECTIVES:
            return self._element(data["a"]) == self._element(data["b"]) == self._element(index) == "bool"
        if kind in BITS:
            found = {self._element(data["a"]), self._element(data["b"]), self._element(index)}
            return len(found) == 1 and not found & {*_NOT_WHOLE}
        check = _CHECKS.get(kind)
        return check is None or check(self, index, data)

    def _element(self, index: int) -> str:
        """The element type of an expression, or of the elements of a tensor."""
        data = self.nodes[index]["data"]
        own = self.nodes[data["ty"]]["data"]
        return str(self.nodes[own["dtype"]]["data"]["dtype"] if self.kinds[index] == TENSOR else own["dtype"])

    def _items(self, index: int) -> list[int]:
        """Of an array."""
        items: list[int] = self.nodes[index]["data"]
        return items

    def _is_whole(self, index: int) -> bool:
        return self._element(index) not in (*_NOT_WHOLE, "bool")

    def _rank(self, tensor: int) -> int:
        return len(self._items(self.nodes[self.nodes[tensor]["data"]["ty"]]["data"]["shape"]))

    def _places(self, tensor: int, indices: int) -> bool:
        """Whether a tensor has as many axes as there are indices, which are whole numbers."""
        items = self._items(indices)
        return len(items) == self._rank(tensor) and all(map(self._is_whole, items))

    def _not(self, index: int, data: Any) -> bool:
        return self._element(data["a"]) == self._element(index) == "bool"

    def _bitwise_not(self, index: int, data: Any) -> bool:
        return self._element(data["a"]) == self._element(index) not in _NOT_WHOLE

    def _select(self, index: int, data: Any) -> bool:
        operands = [self._element(data[name]) for name in ("condition", "true_value", "false_value")]
        return _chooses(self._element(index), operands)

    def _let(self, index: int, data: Any) -> bool:
        return self._bind(index, data) and self._element(data["body"]) == self._element(index)

    def _bind(self, _index: int, data: Any) -> bool:
        return self._element(data["var"]) == self._element(data["value"])

    def _whole_number(self, index: int, data: Any) -> bool:
        element, value = self._element(index), self.nodes[data["value"]]["data"]
        if element in _NOT_WHOLE:
            return False
        if element == "bool":
            return value in (0, 1)
        bits = _bits(element)
        low, high = (0, 2**bits) if element.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        return bool(low <= value < high)

    def _real_number(self, index: int, _data: Any) -> bool:
        return self._element(index) in _NOT_WHOLE

    def _load(self, index: int, data: Any) -> bool:
        return self._element(data["source"]) == self._element(index) and self._places(data["source"], data["indices"])

    def _store(self, _index: int, data: Any) -> bool:
        same = self._element(data["buffer"]) == self._element(data["value"])
        return same and self._places(data["buffer"], data["indices"])

    def _call(self, index: int, data: Any) -> bool:
        rule = OPERATIONS[self.nodes[data["op"]]["data"]]
        return rule(self._element(index), [self._element(item) for item in self._items(data["args"])])

    def _pragma(self, _index: int, data: Any) -> bool:
        """Whether this is TVM's mark of loops that are to stay as they are."""
        return bool(self.nodes[self.nodes[data["value"]]["data"]["value"]]["data"] == "seq")

    def _range(self, _index: int, data: Any) -> bool:
        return self._is_whole(data["min"]) and self._is_whole(data["extent"])

    def _loop(self, _index: int, data: Any) -> bool:
        return self._is_whole(data["loop_var"]) and self._range(_index, data)

    def _axis(self, _index: int, data: Any) -> bool:
        return self._is_whole(data["var"])

    def _region(self, _index: int, data: Any) -> bool:
        return len(self._items(data["region"])) == self._rank(data["source"])

    def _condition(self, _index: int, data: Any) -> bool:
        return self._element(data["condition"]) == "bool"

    def _block(self, _index: int, data: Any) -> bool:
        block = self.nodes[data["block"]]["data"]
        values, axes = self._items(data["iter_values"]), self._items(block["iter_vars"])
        if self._element(data["predicate"]) != "bool" or len(values) != len(axes):
            return False
        return all(map(self._is_whole, values))

    def _tensor_type(self, _index: int, data: Any) -> bool:
        sizes = self._items(data["shape"])
        if not all(map(self._is_whole, sizes)) or not self._is_whole(data["elem_offset"]):
            return False
        known = [
            self.nodes[self.nodes[size]["data"]["value"]]["data"] for size in sizes if self.kinds[size] == "ir.IntImm"
        ]
        if any(size < 0 for size in known) or math.prod(known) > MOST_ELEMENTS:
            raise refused(f"it has a tensor of the shape {known}")
        return True

    def _sequence(self, _index: int, data: Any) -> bool:
        return bool(self._items(data["seq"]))

    def _function_type(self, _index: int, data: Any) -> bool:
        """Whether a function and its type have as many parameters."""
        return len(self._items(data["params"])) == len(self._items(self.nodes[data["ty"]]["data"]["params"]))


_CHECKS: Final[Mapping[str, Callable[[_Types, int, Any], bool]]] = {
    "prim.Not": _Types._not,
    "prim.BitwiseNot": _Types._bitwise_not,
    "prim.Select": _Types._select,
    "prim.Let": _Types._let,
    "tirx.Bind": _Types._bind,
    "ir.IntImm": _Types._whole_number,
    "ir.FloatImm": _Types._real_number,
    "ir.TensorLoad": _Types._load,
    "tirx.BufferStore": _Types._store,
    "ir.Call": _Types._call,
    "tirx.AttrStmt": _Types._pragma,
    "ir.Range": _Types._range,
    "tirx.For": _Types._loop,
    "tirx.IterVar": _Types._axis,
    "ir.TensorRegion": _Types._region,
    "tirx.IfThenElse": _Types._condition,
    "s_tir.SBlockRealize": _Types._block,
    "tirx.BufferType": _Types._tensor_type,
    "tirx.SeqStmt": _Types._sequence,
    "tirx.PrimFunc": _Types._function_type,
}
