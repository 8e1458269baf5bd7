"""The tables of native/symbolic.h: what depends on sizes that are known only when a model runs, as C text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from flextune.aligned import ALIGNMENT_BYTES
from flextune.apply.program import Program, Scalar, Size, Symbolic
from flextune.apply.tables import initializer, quoted, table
from flextune.errors import BuildError
from flextune.workload.dim_code import Instruction, Operation, stack_depth
from flextune.workload.dim_expr import DimExpr

STACK_DEPTH = 32
"""Of the runtime's evaluation of an expression (native/symbolic.c)."""

_ALIGNED_NUMBERS = ALIGNMENT_BYTES // 8

_OPERATIONS = {
    Operation.PUSH: "FT_NUMBER",
    Operation.LOAD: "FT_SYMBOL",
    Operation.ADD: "FT_ADD",
    Operation.MULTIPLY: "FT_MULTIPLY",
    Operation.FLOOR_DIVIDE: "FT_DIVIDE",
    Operation.MINIMUM: "FT_MINIMUM",
    Operation.MAXIMUM: "FT_MAXIMUM",
}


def symbolic_tables(program: Program, kernel_prefix: str) -> Iterator[str]:
    """C text that defines `symbolic`; nothing for a program whose sizes are all numbers."""
    symbolic = program.symbolic
    if symbolic is None:
        return
    numbers = _Numbers({dim.name: index for index, dim in enumerate(symbolic.dims)})
    sized = list(_sized(program, symbolic, numbers))
    buffers = [f"{{{numbers.place([each.byte_count])}, {each.first}, {each.last}}}" for each in symbolic.buffers]
    equalities = [f"{{{numbers.place([one])}, {numbers.place([other])}}}" for one, other in symbolic.equal]
    limits = [
        f"{{{number}, {numbers.place([loop.limit])}}}"
        for number, loop in enumerate(program.loops)
        if not isinstance(loop.limit, int)
    ]
    size_count = len(numbers.entries)
    scalars = list(_scalars(program, numbers))
    variants = [
        f"{{{each.step}, {kernel_prefix}{each.kernel}, {numbers.place([each.cost], may_be_negative=True)}}}"
        for each in symbolic.variants
    ]
    elements = [
        f"{{{tensor}, {numbers.place(sizes, may_be_negative=True, aligned=True)}}}"
        for tensor, sizes in symbolic.elements
    ]
    idle = [f"{{{step}, {numbers.place([size])}}}" for step, size in symbolic.idle]
    alone = [f"{{{step}, {numbers.place([size], may_be_negative=True)}}}" for step, size in symbolic.alone]
    slices = list(_slices(program, numbers))
    orders = _orders(symbolic)
    yield '#include "symbolic.h"'
    yield table("ft_symbol symbols", _symbols(program, symbolic))
    yield table("ft_instruction instructions", numbers.instructions)
    yield table("ft_entry entries", numbers.entries)
    yield f"static const int64_t numbers[] = {{{initializer(numbers.values)}}};"
    yield f"static const int32_t axes[] = {{{initializer(_axes(program, numbers.symbols))}}};"
    yield table("ft_sized sized", sized)
    yield table("ft_buffer buffers", buffers)
    yield f"static const int32_t orders[] = {{{initializer(orders)}}};"
    yield table("ft_equality equalities", equalities)
    yield table("ft_scalar scalars", scalars)
    yield table("ft_variant variants", variants)
    yield table("ft_elements elements", elements)
    yield table("ft_idle idle", idle)
    yield table("ft_idle alone", alone)
    yield table("ft_limit limits", limits)
    yield table("ft_slice slices", slices)
    counts = (
        symbolic.dims,
        numbers.entries,
        range(size_count),
        numbers.values,
        sized,
        buffers,
        equalities,
        scalars,
        variants,
        elements,
        idle,
        alone,
        limits,
        slices,
    )
    yield (
        "static const ft_symbolic symbolic = {symbols, instructions, entries, numbers, axes, sized, buffers, orders, "
        f"equalities, scalars, variants, elements, idle, alone, limits, slices, {initializer(map(len, counts))}, "
        "ft_open_forms, ft_find_form, ft_close_forms};"
    )


@dataclass(slots=True)
class _Numbers:
    """The numbers of a form, as they are asked for: constants, and entries that are evaluated for each form."""

    symbols: dict[str, int]
    values: list[int] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    instructions: list[str] = field(default_factory=list)
    _places: dict[tuple[bool, tuple[Size, ...], bool], int] = field(default_factory=dict)
    _code: dict[DimExpr, tuple[int, int]] = field(default_factory=dict)

    def place(self, sizes: Sequence[Size], may_be_negative: bool = False, aligned: bool = False) -> int:
        """Where these numbers are, one after the other; the same ones are there once.

        Where a kernel reads them as a tensor they have to be `aligned`.
        """
        key = (may_be_negative, tuple(sizes), aligned)
        if key not in self._places:
            if aligned:
                self.values += [0] * (-len(self.values) % _ALIGNED_NUMBERS)
            self._places[key] = len(self.values)
            for size in sizes:
                self._add(size)
        return self._places[key]

    def _add(self, size: Size) -> None:
        if isinstance(size, int):
            self.values.append(size)
            return
        if size not in self._code:
            program = size.instructions()
            if stack_depth(program) > STACK_DEPTH:
                raise BuildError(f"the size {size} is too long an expression")
            self._code[size] = (len(self.instructions), len(program))
            self.instructions += map(self._instruction, program)
        first, count = self._code[size]
        self.entries.append(f"{{{len(self.values)}, {first}, {count}}}")
        self.values.append(0)

    def _instruction(self, step: Instruction) -> str:
        operand = self.symbols[step.name] if step.operation is Operation.LOAD else step.number
        return f"{{{_OPERATIONS[step.operation]}, INT64_C({operand})}}"


def _sized(program: Program, symbolic: Symbolic, numbers: _Numbers) -> Iterator[str]:
    for index, (tensor, home) in enumerate(zip(program.tensors, symbolic.homes, strict=True)):
        if tensor.type.is_static:
            if home >= 0:
                yield f"{{{index}, -1, -1, {home}}}"
        else:
            shape = numbers.place(tensor.type.shape)
            yield f"{{{index}, {shape}, {numbers.place([tensor.type.byte_count])}, {home}}}"


def _scalars(program: Program, numbers: _Numbers) -> Iterator[str]:
    parameters = [each for step in program.steps for each in step.parameters]
    for argument, each in enumerate(parameters):
        if isinstance(each, Scalar):
            yield f"{{{argument}, {numbers.place([each.size], may_be_negative=True)}}}"


def _slices(program: Program, numbers: _Numbers) -> Iterator[str]:
    moves = (move for loop in program.loops for move in loop.moves)
    for number, move in enumerate(moves):
        if not (isinstance(move.start, int) and isinstance(move.step, int)):
            start, step = (numbers.place([size], may_be_negative=True) for size in (move.start, move.step))
            yield f"{{{number}, {start}, {step}}}"


def _symbols(program: Program, symbolic: Symbolic) -> Iterator[str]:
    """The dimensions, and the first axis of an input that has each."""
    shapes = [program.tensors[port.tensor].type.shape for port in program.inputs]
    for dim in symbolic.dims:
        places = [
            (i, axis) for i, shape in enumerate(shapes) for axis, size in enumerate(shape) if _name(size) == dim.name
        ]
        if not places:
            raise BuildError(f"no axis of an input has the size {dim.name}, so a run cannot tell what it is")
        input_, axis = places[0]
        yield f"{{{quoted(dim.name)}, {dim.sizes[0]}, {dim.sizes[-1]}, {dim.multiple}, {input_}, {axis}}}"


def _axes(program: Program, symbols: dict[str, int]) -> Iterable[int]:
    for port in program.inputs:
        for size in program.tensors[port.tensor].type.shape:
            yield symbols.get(_name(size), -1)


def _name(size: Size) -> str:
    return "" if isinstance(size, int) else size.name or ""


def _orders(symbolic: Symbolic) -> list[int]:
    """The buffers by their first steps, then by their last ones, backwards; as `flextune.apply.memory_plan` has it."""
    buffers, indices = symbolic.buffers, range(len(symbolic.buffers))
    by_first = sorted(indices, key=lambda index: buffers[index].first)
    return [*by_first, *sorted(indices, key=lambda index: buffers[index].last, reverse=True)]
