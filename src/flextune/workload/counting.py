"""Counts arithmetic of any PrimFunc, scheduled or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import Call, TensorLoad

from flextune.tvm_types import BufferLoad, Expression, PrimFunc, Statement
from flextune.workload.rounding import ROUND

_BINARY = (tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Mod, tirx.FloorDiv, tirx.FloorMod, tirx.Min, tirx.Max)
# Calls that move or relabel bits rather than compute.
_FREE_CALLS = frozenset(
    [
        *("reinterpret", "likely", "address_of", "tvm_access_ptr"),
        *("shift_left", "shift_right", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"),
        ROUND.rpartition(".")[2],
    ]
)


@dataclass(frozen=True, slots=True)
class Store:
    """One store statement and how often it runs; `trips` bounds it from above where a condition guards it."""

    statement: Statement
    trips: int
    is_init: bool


def count_flops(func: PrimFunc) -> int:
    """Arithmetic operations on data in one run of `func`.

    Additions, multiplications, divisions, minima, maxima and mathematical functions count one each; index
    arithmetic, conditions, casts and bit moves count nothing. Initial values of reductions are not counted.
    """
    return sum(store.trips * value_flops(store.statement.value) for store in stores(func.body) if not store.is_init)


def stores(statement: Statement, trips: int = 1, *, in_init: bool = False) -> Iterator[Store]:
    """Every store below `statement`, in program order, with the product of the extents of the loops around it.

    A loop whose extent is not a constant counts as one trip.
    """
    if isinstance(statement, tirx.BufferStore):
        yield Store(statement, trips, in_init)
    elif isinstance(statement, tirx.For):
        extent = int(statement.extent) if isinstance(statement.extent, tirx.IntImm) else 1
        yield from stores(statement.body, trips * extent, in_init=in_init)
    elif isinstance(statement, s_tir.SBlockRealize):
        if statement.block.init is not None:
            yield from stores(statement.block.init, trips, in_init=True)
        yield from stores(statement.block.body, trips, in_init=in_init)
    elif isinstance(statement, tirx.SeqStmt):
        for child in statement:
            yield from stores(child, trips, in_init=in_init)
    elif isinstance(statement, tirx.IfThenElse):
        yield from stores(statement.then_case, trips, in_init=in_init)
        if statement.else_case is not None:
            yield from stores(statement.else_case, trips, in_init=in_init)
    elif hasattr(statement, "body"):
        yield from stores(statement.body, trips, in_init=in_init)


def value_flops(value: Expression) -> int:
    """Operations in one evaluation of an expression, as `count_flops` counts them."""
    return _count(value)[0]


def reads_data(expression: Expression) -> bool:
    """Whether any tensor is read below `expression`."""
    loads: list[BufferLoad] = []
    tvm_ffi.structural_walk(expression, (TensorLoad, loads.append))
    return bool(loads)


def _count(value: Expression) -> tuple[int, bool]:
    """(operations on data, whether the value depends on data)."""
    if isinstance(value, TensorLoad):
        return 0, True
    if isinstance(value, _BINARY):
        return _combine(1, (value.a, value.b))
    if isinstance(value, tirx.Cast):
        return _count(value.value)
    if isinstance(value, tirx.Select):
        return _larger(value.true_value, value.false_value)
    if isinstance(value, tirx.Let):
        return _combine(0, (value.value, value.body))
    if isinstance(value, Call):
        return _count_call(value)
    return 0, reads_data(value)


def _count_call(call: Expression) -> tuple[int, bool]:
    name = str(getattr(call.op, "name", "")).rpartition(".")[2]
    if name == "if_then_else":
        return _larger(call.args[1], call.args[2])
    return _combine(0 if name in _FREE_CALLS else 1, tuple(call.args))


def _larger(first: Expression, second: Expression) -> tuple[int, bool]:
    one, other = _count(first), _count(second)
    return max(one[0], other[0]), one[1] or other[1]


def _combine(own: int, parts: tuple[Expression, ...]) -> tuple[int, bool]:
    counts = [_count(part) for part in parts]
    touches = any(data for _, data in counts)
    return sum(count for count, _ in counts) + (own if touches else 0), touches
