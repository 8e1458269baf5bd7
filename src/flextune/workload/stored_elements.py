"""What the elements of a program's buffers are, where their memory does not say it.

A program in bfloat16 keeps its numbers in uint16. Which buffers these are is told by what the program does with them,
so that its text needs no word for it: a buffer holds bfloat16 numbers where an element is widened to float32
(`reinterpret(float32, uint32(x) << 16)`), or where one is made of a float32's bits, by rounding; and where elements are
moved, as they are, to or from such a buffer. Any other uint16 buffer holds integers. What a program only moves may be
either: it is compared bit by bit, which is right for both.
"""

from __future__ import annotations

from collections.abc import Sequence

import tvm_ffi
from tvm import tirx
from tvm.ir import Call, TensorLoad

from flextune.errors import UsageError
from flextune.tvm_types import Buffer, BufferStore, Expression, PrimFunc
from flextune.workload.element_type import BFLOAT16, FLOAT32, ElementType, element_type
from flextune.workload.rounding import ROUND

_ROUND = ROUND.rpartition(".")[2]


def bfloat16_buffers(func: PrimFunc) -> tuple[Buffer, ...]:
    """The buffers of `func` that hold bfloat16 numbers."""
    widened: list[Buffer] = []
    stores: list[BufferStore] = []

    def visit(call: Call) -> None:
        source = _widened(call)
        if source is not None:
            widened.append(source)

    tvm_ffi.structural_walk(func.body, [(Call, visit), (tirx.BufferStore, stores.append)])
    stored = [store for store in stores if str(store.buffer.ty.dtype) == BFLOAT16.storage]
    found = widened + [store.buffer for store in stored if _is_rounded(store.value)]
    while reached := [buffer for store in stored for buffer in _reached(store, found)]:
        found += reached
    return tuple(found)


def buffer_element(buffer: Buffer, bfloat16: Sequence[Buffer]) -> ElementType:
    """What the elements of a buffer are; raises `UsageError` for a type that workloads do not have."""
    if is_among(buffer, bfloat16):
        return BFLOAT16
    element = element_type(str(buffer.ty.dtype))
    if element.storage != element.name:
        raise UsageError(f"{buffer.name} holds {element}, which programs keep as {element.storage}")
    return element


def is_among(buffer: Buffer, buffers: Sequence[Buffer]) -> bool:
    """Whether it is one of them, and not only equal to one."""
    return any(buffer.same_as(each) for each in buffers)


def _reached(store: BufferStore, found: Sequence[Buffer]) -> list[Buffer]:
    """The buffers that elements are moved to or from in a store that has one of the found buffers, and are not yet."""
    buffers = [store.buffer, *_moved(store.value)]
    new = [buffer for buffer in buffers if not is_among(buffer, found)]
    return new if len(new) < len(buffers) else []


def _moved(value: Expression) -> list[Buffer]:
    """The buffers whose elements a value is, as they are."""
    if isinstance(value, TensorLoad):
        return [value.source]
    if isinstance(value, tirx.Select):
        return _moved(value.true_value) + _moved(value.false_value)
    if isinstance(value, Call) and _name(value) == "if_then_else":
        return _moved(value.args[1]) + _moved(value.args[2])
    return []


def _widened(call: Call) -> Buffer | None:
    """The buffer of x in reinterpret(float32, uint32(x) << 16)."""
    if _name(call) != "reinterpret" or _element(call) != FLOAT32.name:
        return None
    loads: list[TensorLoad] = []
    tvm_ffi.structural_walk(call.args[0], (TensorLoad, loads.append))
    stored = [load for load in loads if str(load.source.ty.dtype) == BFLOAT16.storage]
    return stored[0].source if len(stored) == 1 else None


def _is_rounded(value: Expression) -> bool:
    """Whether the bits of a float32 are in it: as the rounding operator takes them, or by a program of its own."""
    found: list[Call] = []

    def visit(call: Call) -> None:
        of_float32 = bool(call.args) and _element(call.args[0]) == FLOAT32.name
        if _name(call) == _ROUND or (_name(call) == "reinterpret" and of_float32):
            found.append(call)

    tvm_ffi.structural_walk(value, (Call, visit))
    return bool(found)


def _name(call: Call) -> str:
    return str(getattr(call.op, "name", "")).rpartition(".")[2]


def _element(value: Expression) -> str:
    """The type of one lane."""
    return str(value.ty).partition("x")[0]
