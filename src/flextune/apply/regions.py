"""Loops and branches as straight-line code between markers, on tensors that slots point to.

What a loop hands from one iteration to the next is not copied: two buffers take turns, or, where it is also collected
(the outputs of a recurrent layer), the next iteration reads the slice that the last one wrote. Slices of scanned and
collected tensors are read and written where they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import gcd, prod

from flextune.aligned import ALIGNMENT_BYTES
from flextune.analysis.sizes_of_shapes import plain
from flextune.apply.program import Change, Control, Loop, Marker, Move, Place, Step, TensorType
from flextune.apply.straight_line import Buffer, StraightLine
from flextune.importing.regions import LoopForm
from flextune.schedule.strided import indexed_parameters
from flextune.workload.dim_expr import DimExpr

Body = Callable[[Sequence[int]], Sequence[int]]
"""Adds the code of a body for tensors (by number) as its parameters; returns its results."""

COUNTER = TensorType((), "int64")


def add_loop(code: StraightLine, form: LoopForm, arguments: Sequence[int], body: Body) -> list[int]:
    """Add a loop; returns the last values of what it carries, and what it collects."""
    return _LoopWriter(code, form, list(arguments)).written(body)


def add_branch(
    code: StraightLine, arguments: Sequence[int], kinds: Sequence[TensorType], bodies: tuple[Body, Body]
) -> list[int]:
    """Add a branch on the first argument, whose bodies take the others; returns its results, of these kinds."""
    number, first_tensor, begin = code.branches, len(code.tensors), len(code.steps)
    code.branches += 1
    results = [code.add_tensor(kind, Buffer(kind.byte_count)) for kind in kinds]
    for control, body in zip((Control.IF, Control.ELSE), bodies, strict=True):
        code.steps.append(Step(None, (), Marker(control, number)))
        enclosed = Enclosed(code, len(code.tensors), len(code.steps))
        for given, result in zip(body(arguments[1:]), results, strict=True):
            enclosed.redirect(enclosed.claimed(given), code.tensors[result][1])
    code.steps.append(Step(None, (), Marker(Control.END, number)))
    outside = Enclosed(code, first_tensor, begin).read_from_outside()
    used = tuple(dict.fromkeys((*arguments, *results, *outside)))
    for index in range(begin, len(code.steps)):
        marker = code.steps[index].marker
        if marker is not None and marker.number == number and marker.control in (Control.IF, Control.ELSE, Control.END):
            code.steps[index] = Step(None, used, marker)
    return results


@dataclass(slots=True, eq=False)
class Enclosed:
    """The code that a region has added: tensors and steps from these numbers on."""

    code: StraightLine
    first_tensor: int
    first_step: int
    _taken: set[Buffer] = field(default_factory=set)

    def claimed(self, tensor: int) -> int:
        """The tensor if the region alone writes it, and it was not claimed before; else a copy of it."""
        kind, buffer = self.code.tensors[tensor]
        if buffer.place is not None or buffer in self._taken or buffer in self._outside():
            copy = self.code.add_tensor(kind, Buffer(kind.byte_count))
            self.code.steps.append(Step(None, (tensor, copy)))
            tensor, buffer = copy, self.code.tensors[copy][1]
        self._taken.add(buffer)
        return tensor

    def redirect(self, tensor: int, buffer: Buffer) -> None:
        """Let the tensor, and all that share its memory, lie in another buffer."""
        old = self.code.tensors[tensor][1]
        for index in range(self.first_tensor, len(self.code.tensors)):
            kind, present = self.code.tensors[index]
            if present is old:
                self.code.tensors[index] = (kind, buffer)

    def may_lie(self, buffer: Buffer, alignment: int) -> bool:
        """Whether the region's kernels can use what is in the buffer where only so many bytes divide its address."""
        if alignment == ALIGNMENT_BYTES:
            return True
        return all(
            step.kernel is None
            or (
                not step.scalars
                and not self.code.is_symbolic
                and position in indexed_parameters(self.code.functions[step.kernel])
            )
            for step in self.code.steps[self.first_step :]
            for position, tensor in enumerate(step.arguments)
            if self.code.tensors[tensor][1] is buffer
        )

    def read_from_outside(self) -> Iterator[int]:
        """One tensor of each buffer from outside that its steps use."""
        outside = self._outside()
        for step in self.code.steps[self.first_step :]:
            for tensor in step.arguments:
                if (known := outside.get(self.code.tensors[tensor][1])) is not None:
                    yield known

    def _outside(self) -> dict[Buffer, int]:
        return {buffer: index for index, (_, buffer) in enumerate(self.code.tensors[: self.first_tensor])}


class _LoopWriter:
    def __init__(self, code: StraightLine, form: LoopForm, arguments: list[int]) -> None:
        self._code, self._form = code, form
        rest = iter(arguments)
        self._count = next(rest) if form.counted else -1
        self._enter = next(rest) if form.guarded else -1
        self._initial = [next(rest) for _ in range(form.carried)]
        self._scanned = [next(rest) for _ in form.scanned]
        self._alike = list(rest)
        self._moves: list[Move] = []
        self._own: list[int] = []
        self._slots: dict[Buffer, int] = {}

    def written(self, body: Body) -> list[int]:
        code, form = self._code, self._form
        self._initial = [self._aligned(initial) for initial in self._initial]
        number, first_tensor, begin = len(code.loops), len(code.tensors), len(code.steps)
        code.loops.append(Loop(0))  # its place, because loops inside come behind it
        code.steps.append(Step(None, (), Marker(Control.LOOP, number)))
        counter, carried, slices = self._counter(), self._carried_parameters(), self._slice_parameters()
        enclosed = Enclosed(code, first_tensor, begin + 1)
        for own in counter:
            enclosed.claimed(own)  # what the body returns of it are copies
        given = list(body([*counter, *carried, *slices, *self._alike]))
        again = given.pop(0) if form.guarded else -1
        for index, (slice_, reverse) in enumerate(zip(slices, form.scanned, strict=True)):
            self._scan(enclosed, slice_, self._scanned[index], reverse)
        collected = [
            self._collect(enclosed, tensor, reverse)
            for tensor, reverse in zip(given[form.carried :], form.collected, strict=True)
        ]
        finals = [
            self._carry(enclosed, parameter, initial, tensor)
            for parameter, initial, tensor in zip(carried, self._initial, given[: form.carried], strict=True)
        ]
        used = (self._count, self._enter, *self._initial, *self._scanned, *collected, *finals, *self._own)
        everything = dict.fromkeys(each for each in (*used, *enclosed.read_from_outside()) if each >= 0)
        code.steps[begin] = Step(None, tuple(everything), Marker(Control.LOOP, number))
        last = dict.fromkeys([*everything, *([again] if again >= 0 else [])])
        code.steps.append(Step(None, tuple(last), Marker(Control.NEXT, number)))
        code.loops[number] = Loop(form.limit, self._count, self._enter, again, tuple(self._moves))
        return [*finals, *collected]

    def _aligned(self, initial: int) -> int:
        """The tensor, or a copy where it is a slice that does not lie as kernels expect."""
        kind, buffer = self._code.tensors[initial]
        if buffer.alignment == ALIGNMENT_BYTES:
            return initial
        copy = self._code.add_tensor(kind, Buffer(kind.byte_count))
        self._code.steps.append(Step(None, (initial, copy)))
        return copy

    def _counter(self) -> list[int]:
        if not self._form.numbered:
            return []
        counter = self._memory(COUNTER)
        self._moves.append(Move(Change.COUNTER, counter))
        return [counter]

    def _memory(self, kind: TensorType) -> int:
        """A tensor of the loop itself that lives through all iterations."""
        tensor = self._code.add_tensor(kind, Buffer(kind.byte_count))
        self._own.append(tensor)
        return tensor

    def _in_slot(self, kind: TensorType) -> int:
        return self._code.add_tensor(kind, Buffer(kind.byte_count, Place.SLOT, self._code.new_slot()))

    def _carried_parameters(self) -> list[int]:
        return [self._in_slot(self._code.tensors[initial][0]) for initial in self._initial]

    def _slice_parameters(self) -> list[int]:
        wholes = (self._code.tensors[whole][0] for whole in self._scanned)
        return [self._in_slot(TensorType(whole.shape[1:], whole.dtype)) for whole in wholes]

    def _scan(self, enclosed: Enclosed, tensor: int, whole: int, reverse: bool) -> None:
        """Let the body read a slice where it lies, or a copy where its kernels cannot."""
        kind, buffer = self._code.tensors[tensor]
        alignment = gcd(self._code.tensors[whole][1].alignment, _divisor(kind))
        if enclosed.may_lie(buffer, alignment):
            buffer.alignment = alignment
        else:
            enclosed.redirect(tensor, Buffer(kind.byte_count))
            slice_ = self._code.add_tensor(kind, Buffer(kind.byte_count, Place.SLOT, buffer.port, alignment))
            self._code.steps.insert(enclosed.first_step, Step(None, (slice_, tensor)))
        self._slice(whole, buffer.port, kind, reverse)

    def _collect(self, enclosed: Enclosed, tensor: int, reverse: bool) -> int:
        """The tensor of all slices; the body writes its slice where it belongs, or it is copied there."""
        code, tensor = self._code, enclosed.claimed(tensor)
        kind, buffer = code.tensors[tensor]
        slot, alignment = code.new_slot(), gcd(ALIGNMENT_BYTES, _divisor(kind))
        whole = self._memory(TensorType((self._form.limit, *kind.shape), kind.dtype))
        if enclosed.may_lie(buffer, alignment):
            buffer.place, buffer.port, buffer.alignment = Place.SLOT, slot, alignment
            self._slots[buffer] = slot
        else:
            slice_ = code.add_tensor(kind, Buffer(kind.byte_count, Place.SLOT, slot, alignment))
            code.steps.append(Step(None, (tensor, slice_)))
        self._slice(whole, slot, kind, reverse)
        return whole

    def _slice(self, whole: int, slot: int, kind: TensorType, reverse: bool) -> None:
        step = DimExpr.of(kind.byte_count)
        start, step = ((DimExpr.of(self._form.limit) - 1) * step, -step) if reverse else (DimExpr.of(0), step)
        self._moves.append(Move(Change.SLICE, whole, slot, start=plain(start), step=plain(step)))

    def _carry(self, enclosed: Enclosed, parameter: int, initial: int, tensor: int) -> int:
        """Hand `tensor` on to the next iteration's `parameter`; returns where its last value ends up."""
        code = self._code
        kind, old = code.tensors[parameter]
        followed = code.tensors[tensor][1]
        if followed not in self._slots or not enclosed.may_lie(old, followed.alignment):
            followed = self._in_turns(enclosed, tensor)
        old.alignment = followed.alignment
        final = self._memory(kind)
        self._moves.append(Move(Change.CARRIED, initial, old.port, self._slots[followed], final))
        return final

    def _in_turns(self, enclosed: Enclosed, tensor: int) -> Buffer:
        """The buffer of the tensor, or of a copy, as a slot that points to two places in turns."""
        code, tensor = self._code, enclosed.claimed(tensor)
        kind, buffer = code.tensors[tensor]
        slot = self._slots[buffer] = code.new_slot()
        buffer.place, buffer.port = Place.SLOT, slot
        self._moves.append(Move(Change.TURN, self._memory(kind), slot, self._memory(kind)))
        return buffer


def _divisor(kind: TensorType) -> int:
    """What divides the bytes of a tensor, whatever its sizes turn out to be."""
    return prod((kind.itemsize, *(size for size in kind.shape if isinstance(size, int))))
