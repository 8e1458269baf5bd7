"""What every schedule step is, and the program it changes."""

# steps without parameters ignore the assignment

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from tvm import s_tir

from flextune.errors import ScheduleError
from flextune.schedule.packing import PackedInput
from flextune.target.target import Target
from flextune.tvm_types import LoopHandle, PrimFunc, Schedule

Factor = int | str | None


@dataclass(slots=True)
class Program:
    """The function being scheduled."""

    function: PrimFunc
    """The PrimFunc, as the steps so far have left it."""
    assignment: Mapping[str, int]
    """The values of the trace's variables."""
    constants: tuple[int, ...] = ()
    """Positions of the parameters that are known when a model is built."""
    target: Target | None = None
    """What instructions steps may name: those that it has, none where it is None."""
    loops: dict[str, LoopHandle] = field(default_factory=dict)
    """Loops of the schedule, by the names that steps gave them."""
    packs: list[PackedInput] = field(default_factory=list)
    """The constants that the function takes in packed form so far."""
    _schedule: Schedule | None = None
    """TVM's schedule of `function`, made when it is first asked for."""

    @property
    def schedule(self) -> Schedule:
        """The TVM schedule; made at the first primitive step, after the steps that rewrite the function."""
        if self._schedule is None:
            self._schedule = s_tir.Schedule(self.function, debug_mask="none", error_render_level="none")
        return self._schedule

    @property
    def started(self) -> bool:
        return self._schedule is not None

    def pack(self, packed: PackedInput) -> None:
        """Expect a constant parameter packed, after what is expected of it so far."""
        before = next((each for each in self.packs if each.index == packed.index), None)
        if before is None:
            self.packs.append(packed)
        else:
            self.packs[self.packs.index(before)] = packed.after(before)

    def value(self, factor: int | str) -> int:
        """A literal, or the value of the variable with that name."""
        return value_of(factor, self.assignment)

    def loop(self, name: str) -> LoopHandle:
        try:
            return self.loops[name]
        except KeyError:
            raise ScheduleError(f"no loop is named {name!r}; named loops: {', '.join(self.loops) or 'none'}") from None


def value_of(factor: int | str, assignment: Mapping[str, int]) -> int:
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
    takes_symbols: ClassVar[bool] = False
    """Of a step that rewrites: whether what it makes of a function with symbolic sizes is right at all of them."""

    def apply(self, program: Program) -> None:
        """Change `program`; raises `ScheduleError` (or a TVM error) when the step is illegal."""
        raise NotImplementedError

    def python(self, assignment: Mapping[str, int]) -> str:
        """The step as a line of Python over a TVM schedule `sch`, with the assignment's values filled in."""
        raise NotImplementedError


def filled(factor: Factor, assignment: Mapping[str, int]) -> str:
    return str(None if factor is None else value_of(factor, assignment))


def loop_names(*loops: str) -> str:
    """Loop names as Python variables: `gemm.tile.i` is `gemm_tile_i`."""
    return ", ".join(loop.replace(".", "_") for loop in loops)
