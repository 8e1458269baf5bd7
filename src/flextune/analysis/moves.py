"""Kernels that only move whole blocks of tensors: several into one (concatenation), or some out of one (slices)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import tvm
from tvm import tirx
from tvm.ir import TensorLoad

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.tvm_types import Block, Buffer, Expression, PrimFunc, Variable

_DESCRIBED = "flextune.moves"


@dataclass(frozen=True, slots=True)
class Concatenation:
    """The result is the parameters `inputs`, in this order, one after the other along `axis`."""

    axis: int
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """The block of the first parameter that begins at `begins` and runs along its `axes`, one for each of the result's.

    Along the parameter's other axes the block has one element; so has an axis of the result that is None.
    """

    begins: tuple[int, ...]
    axes: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Slices:
    """Every result is a slice of the one parameter."""

    results: tuple[Slice, ...]


Move = Concatenation | Slices


def move_of(function: PrimFunc) -> Move | None:
    """What a function that is not scheduled yet moves; None when it does anything else."""
    program = read_program(function)
    if program is None or any(facts.kind is not BlockKind.ELEMENTWISE for facts in program.blocks):
        return None
    results = function.params[len(function.params) - len(program.blocks) :]
    positions = {buffer: index for index, buffer in enumerate(function.params[: -len(results)])}
    copies = [_Copy.of(facts.block, result) for facts, result in zip(program.blocks, results, strict=False)]
    whole = [copy for copy in copies if copy is not None]
    if len(whole) != len(results) or not positions:
        return None
    if len(whole) == 1 and not isinstance(whole[0].value, TensorLoad):
        return _concatenation(whole[0], positions)
    slices = [_slice(copy, positions) for copy in whole] if len(positions) == 1 else [None]
    known = tuple(each for each in slices if each is not None)
    return Slices(known) if len(known) == len(slices) else None


def described(function: PrimFunc, move: Move | None) -> PrimFunc:
    """The function with an attribute that keeps for `moved_by` what it moves, however it is scheduled."""
    return function if move is None else function.with_attr(_DESCRIBED, json.dumps(asdict(move)))


def moved_by(function: PrimFunc) -> Move | None:
    """What a function moves: by its attribute, or else by its program."""
    if function.attrs is None or _DESCRIBED not in function.attrs:
        return move_of(function)
    raw = json.loads(str(function.attrs[_DESCRIBED]))
    if "axis" in raw:
        return Concatenation(raw["axis"], tuple(raw["inputs"]))
    return Slices(tuple(Slice(tuple(each["begins"]), tuple(each["axes"])) for each in raw["results"]))


@dataclass(frozen=True, slots=True)
class _Copy:
    """`result[axes] = value` for all elements of the result."""

    axes: tuple[Variable, ...]
    extents: tuple[int, ...]
    value: Expression

    @classmethod
    def of(cls, block: Block, result: Buffer) -> _Copy | None:
        store, extents = block.body, _shape(result)
        axes = tuple(iterator.var for iterator in block.iter_vars)
        if not isinstance(store, tirx.BufferStore) or not store.buffer.same_as(result) or len(axes) != len(extents):
            return None
        places = zip(store.indices, axes, extents, strict=True)
        runs = tuple(int(iterator.dom.extent) for iterator in block.iter_vars)
        return cls(axes, extents, store.value) if runs == extents and all(_is_at(*each, 0) for each in places) else None


def _slice(copy: _Copy, positions: Mapping[Buffer, int]) -> Slice | None:
    """One parameter read at the result's own indices, in their order, shifted by constants."""
    if not isinstance(copy.value, TensorLoad) or copy.value.source not in positions:
        return None
    found = [_place(index, copy.axes) for index in copy.value.indices]
    places = [place for place in found if place is not None]
    sources = {axis: position for position, (axis, _) in enumerate(places) if axis is not None}
    if len(places) != len(found) or list(sources) != [axis for axis, _ in places if axis is not None]:
        return None
    inside = all(
        begin >= 0 and begin + (1 if axis is None else copy.extents[axis]) <= size
        for (axis, begin), size in zip(places, _shape(copy.value.source), strict=True)
    )
    missing = [extent for axis, extent in enumerate(copy.extents) if axis not in sources]
    if not inside or list(sources) != sorted(sources) or any(extent != 1 for extent in missing):
        return None
    return Slice(tuple(begin for _, begin in places), tuple(map(sources.get, range(len(copy.axes)))))


def _place(index: Expression, axes: Sequence[Variable]) -> tuple[int | None, int] | None:
    """(axis, shift) of an index that is one of the axes plus a constant; no axis where it is only a constant."""
    if isinstance(index, tirx.IntImm):
        return None, int(index)
    for number, axis in enumerate(axes):
        shift = tvm.sym.Analyzer().simplify(index - axis)
        if isinstance(shift, tirx.IntImm):
            return number, int(shift)
    return None


def _concatenation(copy: _Copy, positions: Mapping[Buffer, int]) -> Concatenation | None:
    """A choice between loads by bounds of one axis, each load of a whole parameter."""
    bound = _bound(copy.value)
    axis = next((number for number, each in enumerate(copy.axes) if bound is not None and bound[1].same_as(each)), None)
    if axis is None:
        return None
    inputs = []
    for begin, end, load in _pieces(copy.value, copy.axes[axis], 0, copy.extents[axis]):
        expected = (*copy.extents[:axis], end - begin, *copy.extents[axis + 1 :])
        if not isinstance(load, TensorLoad) or load.source not in positions or _shape(load.source) != expected:
            return None
        shifts = (begin if number == axis else 0 for number in range(len(expected)))
        if not all(_is_at(*each) for each in zip(load.indices, copy.axes, expected, shifts, strict=True)):
            return None
        inputs.append(positions[load.source])
    return Concatenation(axis, tuple(inputs))


def _bound(value: Expression) -> tuple[int, Variable] | None:
    """(bound, variable) of `if_then_else(bound <= variable, ...)`."""
    if not isinstance(value, tvm.ir.Call) or not getattr(value.op, "name", "").endswith(".if_then_else"):
        return None
    condition = value.args[0]
    if isinstance(condition, tirx.LE) and isinstance(condition.a, tirx.IntImm):
        return int(condition.a), condition.b
    return None


def _pieces(value: Expression, axis: Variable, begin: int, end: int) -> Iterator[tuple[int, int, Expression]]:
    """(begin, end, value) of the intervals of `axis` that the choices cut it into, in order."""
    bound = _bound(value)
    if bound is None or not bound[1].same_as(axis) or not begin < bound[0] < end:
        yield begin, end, value
        return
    yield from _pieces(value.args[2], axis, begin, bound[0])
    yield from _pieces(value.args[1], axis, bound[0], end)


def _is_at(index: Expression, axis: Variable, extent: int, shift: int) -> bool:
    """Whether an index is `axis - shift`; of an axis with one element it may be 0."""
    if extent == 1 and isinstance(index, tirx.IntImm):
        return int(index) == 0
    difference = tvm.sym.Analyzer().simplify(axis - index)
    return isinstance(difference, tirx.IntImm) and int(difference) == shift


def _shape(buffer: Buffer) -> tuple[int, ...]:
    return tuple(int(extent) for extent in buffer.ty.shape)


def is_transpose(block: BlockFacts) -> bool:
    """Whether a block only moves elements from one order of the axes to another."""
    if len(block.reads) != 1 or not isinstance(block.block.body.value, TensorLoad):
        return False
    read, written = block.reads[0].plain_axes(), block.writes[0].plain_axes()
    return read is not None and written is not None and set(filter(None, read)) == set(filter(None, written))
