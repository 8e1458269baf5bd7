"""Steps that rewrite the function, before there is a schedule of it (`apply_steps` sees to that)."""

# ruff: noqa: ARG002  # steps without parameters ignore the assignment

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from flextune.schedule.blocked_scan import block_scan
from flextune.schedule.groups import split_groups
from flextune.schedule.packing import PackedAxes
from flextune.schedule.peel import peel_columns, peel_tail
from flextune.schedule.phases import split_phases
from flextune.schedule.restage import restage
from flextune.schedule.split_reduction import split_reduction
from flextune.schedule.step import Factor, Program, Step, value_of
from flextune.schedule.written_out import write_out


@dataclass(frozen=True, slots=True)
class Restage(Step):
    """Pad the contraction's register tile, accumulate in local scope, and pack an operand: see `restage`."""

    kind: ClassVar[str] = "restage"
    rewrites: ClassVar[bool] = True
    takes_symbols: ClassVar[bool] = True
    block: str
    """The contraction's block."""
    tiles: tuple[tuple[str, tuple[Factor, ...]], ...]
    """The register tile: for each spatial iterator the factors of its size."""
    vector: str
    """The iterator that is vectorised."""
    operand: int | None = None
    """The operand to pack, if any."""
    outer: tuple[str, ...] = ()
    """The iterators of the packed operand, in the order of its axes."""
    group: int = 1
    """Neighbours along the reduction that a dot product takes together."""
    fuse: bool = True
    """Whether consumers read the accumulator, so that no block need store it."""
    when: str | None = None
    """A variable that says whether the operand is packed; None: always."""

    def _sizes(self, assignment: Mapping[str, int]) -> dict[str, int]:
        sizes = {}
        for name, factors in self.tiles:
            size = 1
            for factor in factors:
                size *= 1 if factor is None else value_of(factor, assignment)
            sizes[name] = size
        return sizes

    def _packs(self, assignment: Mapping[str, int]) -> bool:
        return self.operand is not None and (self.when is None or bool(value_of(self.when, assignment)))

    def apply(self, program: Program) -> None:
        sizes, pack = self._sizes(program.assignment), None
        if self.operand is not None and self._packs(program.assignment):
            pack = PackedAxes(self.operand, self.outer, self.vector, sizes.get(self.vector, 1), self.group)
        result = restage(program.function, self.block, sizes, self.vector, pack, program.constants, self.fuse)
        program.function = result.function
        if result.packed is not None:
            program.pack(result.packed)

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
    takes_symbols: ClassVar[bool] = True
    block: str
    width: int

    def apply(self, program: Program) -> None:
        program.function = peel_tail(program.function, self.block, self.width)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"func = peel_tail(func, {self.block!r}, {self.width}); sch = Schedule(func)"


@dataclass(frozen=True, slots=True)
class PeelColumns(Step):
    """Split a spatial axis of a reduction into whole widths and a tail: see `peel_columns`."""

    kind: ClassVar[str] = "peel_columns"
    rewrites: ClassVar[bool] = True
    block: str
    axis: str
    width: int
    overlap: int = 0

    def apply(self, program: Program) -> None:
        program.function = peel_columns(program.function, self.block, self.axis, self.width, self.overlap)

    def python(self, assignment: Mapping[str, int]) -> str:
        sizes = f"{self.width}, {self.overlap}" if self.overlap else str(self.width)
        return f"func = peel_columns(func, {self.block!r}, {self.axis!r}, {sizes}); sch = Schedule(func)"


@dataclass(frozen=True, slots=True)
class SplitReduction(Step):
    """Reduce parts of a reduce axis on their own, and then their results: see `split_reduction`."""

    kind: ClassVar[str] = "split_reduction"
    rewrites: ClassVar[bool] = True
    block: str
    axis: str
    parts: int

    def apply(self, program: Program) -> None:
        program.function = split_reduction(program.function, self.block, self.axis, self.parts)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"func = split_reduction(func, {self.block!r}, {self.axis!r}, {self.parts}); sch = Schedule(func)"


@dataclass(frozen=True, slots=True)
class SplitGroups(Step):
    """Make the groups along an axis of a contraction a loop of their own: see `split_groups`."""

    kind: ClassVar[str] = "split_groups"
    rewrites: ClassVar[bool] = True
    takes_symbols: ClassVar[bool] = True
    block: str
    axis: str
    size: int

    def apply(self, program: Program) -> None:
        result = split_groups(program.function, self.block, self.axis, self.size, program.constants)
        program.function = result.function
        program.packs += result.viewed

    def python(self, assignment: Mapping[str, int]) -> str:
        arguments = f"func, {self.block!r}, {self.axis!r}, {self.size}, constants"
        return f"func = split_groups({arguments}).function; sch = Schedule(func)"


@dataclass(frozen=True, slots=True)
class SplitPhases(Step):
    """Compute a transposed convolution by the phases of its stride: see `split_phases`."""

    kind: ClassVar[str] = "split_phases"
    rewrites: ClassVar[bool] = True
    block: str

    def apply(self, program: Program) -> None:
        program.function = split_phases(program.function, self.block)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"func = split_phases(func, {self.block!r}); sch = Schedule(func)"


@dataclass(frozen=True, slots=True)
class BlockScan(Step):
    """Compute prefix sums in blocks: see `block_scan`."""

    kind: ClassVar[str] = "block_scan"
    rewrites: ClassVar[bool] = True
    block: str
    width: int

    def apply(self, program: Program) -> None:
        program.function = block_scan(program.function, self.block, self.width)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"func = block_scan(func, {self.block!r}, {self.width}); sch = Schedule(func)"


@dataclass(frozen=True, slots=True)
class WriteOut(Step):
    """Write a short sum out as one expression: see `write_out`."""

    kind: ClassVar[str] = "write_out"
    rewrites: ClassVar[bool] = True
    block: str

    def apply(self, program: Program) -> None:
        program.function = write_out(program.function, self.block)

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"func = write_out(func, {self.block!r}); sch = Schedule(func)"
