"""Schedule steps: frozen values that name blocks and loops by text, and take factors from an assignment.

A step is applied to a `Program`, the schedule under construction together with the loops that have names.
Integer fields may hold a variable's name instead: the assignment gives its value.
"""

# ruff: noqa: ARG002  # steps without parameters ignore the assignment

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tvm import s_tir, tirx

from flextune.errors import ScheduleError
from flextune.schedule.packing import PackedAxes, PackedInput
from flextune.schedule.peel import peel_tail
from flextune.schedule.restage import restage

Factor = int | str | None


@dataclass(slots=True)
class Program:
    """The function being scheduled. `loops` maps the names given by steps to loops of the schedule."""

    function: Any
    assignment: Mapping[str, int]
    constants: tuple[int, ...] = ()
    loops: dict[str, Any] = field(default_factory=dict)
    packs: list[PackedInput] = field(default_factory=list)
    _schedule: Any = None

    @property
    def schedule(self) -> Any:
        """The TVM schedule; made at the first primitive step, after the steps that rewrite the function."""
        if self._schedule is None:
            self._schedule = s_tir.Schedule(self.function, debug_mask="none", error_render_level="none")
        return self._schedule

    @property
    def started(self) -> bool:
        return self._schedule is not None

    def value(self, factor: int | str) -> int:
        """A literal, or the value of the variable with that name."""
        return _value(factor, self.assignment)

    def loop(self, name: str) -> Any:
        try:
            return self.loops[name]
        except KeyError:
            raise ScheduleError(f"no loop is named {name!r}; named loops: {', '.join(self.loops) or 'none'}") from None


def _value(factor: int | str, assignment: Mapping[str, int]) -> int:
    if isinstance(factor, int):
        return factor
    if factor not in assignment:
        raise ScheduleError(f"the assignment has no variable {factor!r}; it has {', '.join(assignment) or 'none'}")
    return assignment[factor]


class Step:
    """One change of the program. Subclasses are frozen values; `kind` is their name in the text form."""

    kind: ClassVar[str]
    rewrites: ClassVar[bool] = False
    """Whether the step rewrites the function, which must come before every primitive."""

    def apply(self, program: Program) -> None:
        """Change `program`; raises `ScheduleError` (or a TVM error) when the step is illegal."""
        raise NotImplementedError

    def python(self, assignment: Mapping[str, int]) -> str:
        """The step as a line of Python over a TVM schedule `sch`, with the assignment's values filled in."""
        raise NotImplementedError


def _filled(factor: Factor, assignment: Mapping[str, int]) -> str:
    return str(None if factor is None else _value(factor, assignment))


def _names(*loops: str) -> str:
    """Loop names as Python variables: `gemm.tile.i` is `gemm_tile_i`."""
    return ", ".join(loop.replace(".", "_") for loop in loops)


@dataclass(frozen=True, slots=True)
class Restage(Step):
    """Pad the contraction's register tile, accumulate in local scope, and pack an operand: see `restage`."""

    kind: ClassVar[str] = "restage"
    rewrites: ClassVar[bool] = True
    block: str
    tiles: tuple[tuple[str, tuple[Factor, ...]], ...]
    vector: str
    operand: int | None = None
    outer: tuple[str, ...] = ()
    group: int = 1
    fuse: bool = True
    when: str | None = None

    def _sizes(self, assignment: Mapping[str, int]) -> dict[str, int]:
        sizes = {}
        for name, factors in self.tiles:
            size = 1
            for factor in factors:
                size *= 1 if factor is None else _value(factor, assignment)
            sizes[name] = size
        return sizes

    def _packs(self, assignment: Mapping[str, int]) -> bool:
        return self.operand is not None and (self.when is None or bool(_value(self.when, assignment)))

    def apply(self, program: Program) -> None:
        if program.started:
            raise ScheduleError("restage must come before every primitive step")
        sizes, pack = self._sizes(program.assignment), None
        if self.operand is not None and self._packs(program.assignment):
            pack = PackedAxes(self.operand, self.outer, self.vector, sizes.get(self.vector, 1), self.group)
        result = restage(program.function, self.block, sizes, self.vector, pack, program.constants, self.fuse)
        program.function = result.function
        if result.packed is not None:
            program.packs.append(result.packed)

    def python(self, assignment: Mapping[str, int]) -> str:
        sizes = self._sizes(assignment)
        packed = None
        if self._packs(assignment):
            packed = f"PackedAxes({self.operand}, {self.outer}, {self.vector!r}, {sizes[self.vector]}, {self.group})"
        arguments = f"func, {self.block!r}, {sizes}, {self.vector!r}, {packed}, constants, {self.fuse}"
        return f"func = restage({arguments}).function; sch = Schedule(func)"


@dataclass(frozen=True, slots=True)
class PeelTail(Step):
    """Split the last reduce axis of a block into whole widths and a tail: see `peel_tail`."""

    kind: ClassVar[str] = "peel_tail"
    rewrites: ClassVar[bool] = True
    block: str
    width: int

    def apply(self, program: Program) -> None:
        if program.started:
            raise ScheduleError("peel_tail must come before every primitive step")
        program.function = peel_tail(program.function, self.block, self.width)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"func = peel_tail(func, {self.block!r}, {self.width}); sch = Schedule(func)"


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
        names = _names(*self.into) + ("," if len(self.into) == 1 else "")
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
        parts = program.schedule.split(program.loop(self.loop), factors, preserve_unit_iters=True)
        program.loops.update(zip(self.into, parts, strict=True))

    def python(self, assignment: Mapping[str, int]) -> str:
        factors = ", ".join(_filled(f, assignment) for f in self.factors)
        return f"{_names(*self.into)} = sch.split({_names(self.loop)}, [{factors}])"


@dataclass(frozen=True, slots=True)
class Fuse(Step):
    """Fuse adjacent nested loops into one."""

    kind: ClassVar[str] = "fuse"
    loops: tuple[str, ...]
    into: str

    def apply(self, program: Program) -> None:
        program.loops[self.into] = program.schedule.fuse(*map(program.loop, self.loops), preserve_unit_iters=True)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"{_names(self.into)} = sch.fuse({_names(*self.loops)})"


@dataclass(frozen=True, slots=True)
class Reorder(Step):
    """Put nested loops into this order. With `choice`, the assignment picks one of several orders by index."""

    kind: ClassVar[str] = "reorder"
    orders: tuple[tuple[str, ...], ...]
    choice: str | None = None

    def _order(self, assignment: Mapping[str, int]) -> tuple[str, ...]:
        choice = 0 if self.choice is None else _value(self.choice, assignment)
        if not 0 <= choice < len(self.orders):
            raise ScheduleError(f"{self.choice} = {choice} chooses none of {len(self.orders)} orders")
        return self.orders[choice]

    def apply(self, program: Program) -> None:
        program.schedule.reorder(*map(program.loop, self._order(program.assignment)))

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.reorder({_names(*self._order(assignment))})"


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
        return f"sch.{self.how}({_names(self.loop)})"


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
        return f"sch.compute_at(sch.get_sblock({self.block!r}), {_names(self.loop)}, preserve_unit_loops=True)"


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
        return f"sch.decompose_reduction(sch.get_sblock({self.block!r}), {_names(self.loop)})"


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
        return f"sch.rfactor({_names(self.loop)}, {self.axis})"


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
    """Replace the loops from `loop` inwards by a registered tensor intrinsic."""

    kind: ClassVar[str] = "tensorize"
    loop: str
    intrinsic: str

    def apply(self, program: Program) -> None:
        define = _INTRINSICS.pop(self.intrinsic, None)
        if define is not None:
            define()
        program.schedule.tensorize(program.loop(self.loop), self.intrinsic)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.tensorize({_names(self.loop)}, {self.intrinsic!r})"


@dataclass(frozen=True, slots=True)
class ImportCode(Step):
    """Link LLVM code that the platform registered under `name` into the kernel that holds `loop`."""

    kind: ClassVar[str] = "import_code"
    loop: str
    name: str

    def apply(self, program: Program) -> None:
        if self.name not in _CODE:
            raise ScheduleError(f"no code is registered as {self.name!r}; registered: {', '.join(_CODE) or 'none'}")
        program.schedule.annotate(program.loop(self.loop), "pragma_import_llvm", _CODE[self.name])

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"sch.annotate({_names(self.loop)}, 'pragma_import_llvm', {self.name})"


_CODE: dict[str, str] = {}
_INTRINSICS: dict[str, Callable[[], None]] = {}


def register_intrinsic(name: str, define: Callable[[], None]) -> None:
    """From now on traces may use the tensor intrinsic `name`, which `define` makes known to TVM when the first does."""
    _INTRINSICS[name] = define


def register_code(name: str, llvm: str) -> None:
    """Make LLVM text known to `ImportCode`; traces from files can only name what is registered here."""
    _CODE[name] = llvm


@dataclass(frozen=True, slots=True)
class Choose(Step):
    """Apply the steps of the branch that the variable's value selects (by index; any other value: none)."""

    kind: ClassVar[str] = "choose"
    variable: str
    branches: tuple[tuple[Step, ...], ...]

    def _branch(self, assignment: Mapping[str, int]) -> tuple[Step, ...]:
        value = _value(self.variable, assignment)
        return self.branches[value] if 0 <= value < len(self.branches) else ()

    def apply(self, program: Program) -> None:
        for step in self._branch(program.assignment):
            step.apply(program)

    def python(self, assignment: Mapping[str, int]) -> str:
        return "\n".join(step.python(assignment) for step in self._branch(assignment))


STEP_KINDS: Mapping[str, type[Step]] = {
    step.kind: step
    for step in (
        Restage, PeelTail, Loops, Split, Fuse, Reorder, Mark, ComputeAt, Inline, Decompose, RFactor, SetScope,
        Tensorize, ImportCode, Choose,
    )
}  # fmt: skip
