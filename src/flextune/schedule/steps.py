"""Schedule steps: frozen values that name blocks and loops by text, and take factors from an assignment.

A step is applied to a `Program`, the schedule under construction together with the loops that have names.
Integer fields may hold a variable's name instead: the assignment gives its value.
"""

# ruff: noqa: ARG002  # steps without parameters ignore the assignment

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tvm import tirx

from flextune.errors import ScheduleError
from flextune.schedule.guards import hoist_guards
from flextune.schedule.instructions import define_intrinsic, imported_code
from flextune.schedule.lengthen import lengthen
from flextune.schedule.step import Factor, Program, Step, filled, loop_names, value_of


@dataclass(frozen=True, slots=True)
class Loops(Step):
    """Name the innermost `len(into)` loops around a block."""

    kind: ClassVar[str] = "loops"
    block: str
    into: tuple[str, ...]

    def apply(self, program: Program) -> None:
        loops = program.schedule.get_loops(program.schedule.get_sblock(self.block))
        if len(loops) < len(self.into):
            raise ScheduleError(f"block {self.block!r} has {len(loops)} loops, {len(self.into)} were expected")
        program.loops.update(zip(self.into, loops[len(loops) - len(self.into) :], strict=True))

    def python(self, assignment: Mapping[str, int]) -> str:
        names = loop_names(*self.into) + ("," if len(self.into) == 1 else "")
        return f"{names} = sch.get_loops(sch.get_sblock({self.block!r}))[-{len(self.into)}:]"


@dataclass(frozen=True, slots=True)
class Split(Step):
    """Split a loop, outermost factor first; None (at most one) takes what the others leave."""

    kind: ClassVar[str] = "split"
    loop: str
    factors: tuple[Factor, ...]
    into: tuple[str, ...]

    def apply(self, program: Program) -> None:
        factors = [None if f is None else program.value(f) for f in self.factors]
        loop = program.loop(self.loop)
        lengthen(program.schedule, loop, math.prod(factor for factor in factors if factor), open_ended=None in factors)
        parts = program.schedule.split(loop, factors, preserve_unit_iters=True)
        program.loops.update(zip(self.into, parts, strict=True))

    def python(self, assignment: Mapping[str, int]) -> str:
        factors = ", ".join(filled(f, assignment) for f in self.factors)
        return f"{loop_names(*self.into)} = sch.split({loop_names(self.loop)}, [{factors}])"


@dataclass(frozen=True, slots=True)
class Fuse(Step):
    """Fuse adjacent nested loops into one."""

    kind: ClassVar[str] = "fuse"
    loops: tuple[str, ...]
    into: str

    def apply(self, program: Program) -> None:
        program.loops[self.into] = program.schedule.fuse(*map(program.loop, self.loops), preserve_unit_iters=True)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"{loop_names(self.into)} = sch.fuse({loop_names(*self.loops)})"


@dataclass(frozen=True, slots=True)
class Reorder(Step):
    """Put nested loops into this order. With `choice`, the assignment picks one of several orders by index."""

    kind: ClassVar[str] = "reorder"
    orders: tuple[tuple[str, ...], ...]
    choice: str | None = None

    def _order(self, assignment: Mapping[str, int]) -> tuple[str, ...]:
        choice = 0 if self.choice is None else value_of(self.choice, assignment)
        if not 0 <= choice < len(self.orders):
            raise ScheduleError(f"{self.choice} = {choice} chooses none of {len(self.orders)} orders")
        return self.orders[choice]

    def apply(self, program: Program) -> None:
        program.schedule.reorder(*map(program.loop, self._order(program.assignment)))

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.reorder({loop_names(*self._order(assignment))})"


@dataclass(frozen=True, slots=True)
class Mark(Step):
    """Make a loop parallel, vectorized or unrolled."""

    kind: ClassVar[str] = "mark"
    loop: str
    how: str

    def __post_init__(self) -> None:
        if self.how not in ("parallel", "vectorize", "unroll"):
            raise ScheduleError(f"a loop can be marked parallel, vectorize or unroll, not {self.how!r}")

    def apply(self, program: Program) -> None:
        getattr(program.schedule, self.how)(program.loop(self.loop))

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.{self.how}({loop_names(self.loop)})"


@dataclass(frozen=True, slots=True)
class ComputeAt(Step):
    """Move a producer block to where its value is needed inside `loop`."""

    kind: ClassVar[str] = "compute_at"
    block: str
    loop: str

    def apply(self, program: Program) -> None:
        schedule = program.schedule
        schedule.compute_at(schedule.get_sblock(self.block), program.loop(self.loop), preserve_unit_loops=True)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.compute_at(sch.get_sblock({self.block!r}), {loop_names(self.loop)}, preserve_unit_loops=True)"


@dataclass(frozen=True, slots=True)
class Inline(Step):
    """Compute an element-wise block inside its consumers (`into="consumer"`) or inside its producer."""

    kind: ClassVar[str] = "inline"
    block: str
    into: str = "consumer"

    def _primitive(self) -> str:
        return "compute_inline" if self.into == "consumer" else "reverse_compute_inline"

    def apply(self, program: Program) -> None:
        getattr(program.schedule, self._primitive())(program.schedule.get_sblock(self.block))

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.{self._primitive()}(sch.get_sblock({self.block!r}))"


@dataclass(frozen=True, slots=True)
class Decompose(Step):
    """Split the initialisation of a reduction off before `loop`; the new block is called NAME_init."""

    kind: ClassVar[str] = "decompose"
    block: str
    loop: str

    def apply(self, program: Program) -> None:
        program.schedule.decompose_reduction(program.schedule.get_sblock(self.block), program.loop(self.loop))

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.decompose_reduction(sch.get_sblock({self.block!r}), {loop_names(self.loop)})"


@dataclass(frozen=True, slots=True)
class RFactor(Step):
    """Keep one partial result per value of a reduce loop; the block of the partial results is called NAME_rf."""

    kind: ClassVar[str] = "rfactor"
    block: str
    loop: str
    axis: int

    def apply(self, program: Program) -> None:
        schedule, loop = program.schedule, program.loop(self.loop)
        innermost = schedule.get(schedule.get_loops(schedule.get_sblock(self.block))[-1])
        if not isinstance(innermost.body.predicate, tirx.IntImm):  # TVM would drop the check of the bounds
            raise ScheduleError(f"block {self.block!r} has a loop with a tail: partial results need whole splits")
        schedule.rfactor(loop, self.axis)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.rfactor({loop_names(self.loop)}, {self.axis})"


@dataclass(frozen=True, slots=True)
class SetScope(Step):
    """Put the buffer that a block writes into another memory scope."""

    kind: ClassVar[str] = "set_scope"
    block: str
    scope: str

    def apply(self, program: Program) -> None:
        program.schedule.set_scope(program.schedule.get_sblock(self.block), 0, self.scope)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.set_scope(sch.get_sblock({self.block!r}), 0, {self.scope!r})"


@dataclass(frozen=True, slots=True)
class Tensorize(Step):
    """Replace the loops from `loop` inwards by a tensor intrinsic that the target's platform registered."""

    kind: ClassVar[str] = "tensorize"
    loop: str
    intrinsic: str

    def apply(self, program: Program) -> None:
        define_intrinsic(self.intrinsic, program.target)
        schedule, loop = program.schedule, program.loop(self.loop)
        for block in schedule.get_child_blocks(loop):
            hoist_guards(schedule, block)
        schedule.tensorize(loop, self.intrinsic)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.tensorize({loop_names(self.loop)}, {self.intrinsic!r})"


@dataclass(frozen=True, slots=True)
class ImportCode(Step):
    """Link LLVM code that the target's platform registered under `name` into the kernel that holds `loop`."""

    kind: ClassVar[str] = "import_code"
    loop: str
    name: str

    def apply(self, program: Program) -> None:
        code = imported_code(self.name, program.target)
        program.schedule.annotate(program.loop(self.loop), "pragma_import_llvm", code)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.annotate({loop_names(self.loop)}, 'pragma_import_llvm', {self.name})"


@dataclass(frozen=True, slots=True)
class Choose(Step):
    """Apply the steps of the branch that the variable's value selects (by index; any other value: none)."""

    kind: ClassVar[str] = "choose"
    variable: str
    branches: tuple[tuple[Step, ...], ...]

    def _branch(self, assignment: Mapping[str, int]) -> tuple[Step, ...]:
        value = value_of(self.variable, assignment)
        return self.branches[value] if 0 <= value < len(self.branches) else ()

    def apply(self, program: Program) -> None:
        for step in self._branch(program.assignment):
            step.apply(program)

    def python(self, assignment: Mapping[str, int]) -> str:
        return "\n".join(step.python(assignment) for step in self._branch(assignment))
