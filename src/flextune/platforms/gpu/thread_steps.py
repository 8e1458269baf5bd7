"""Steps that give loops to threads: nests whose elements are independent, and rows that a block reduces together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from flextune.errors import ScheduleError
from flextune.schedule.step import Program, Step, value_of
from flextune.tvm_types import BlockHandle, LoopHandle, Schedule


@dataclass(frozen=True, slots=True)
class ThreadNest(Step):
    """One element (or `vector` neighbours) of a block's result per thread, its reductions in a register.

    The spatial loops become one, cut into blocks of `threads`.
    """

    kind: ClassVar[str] = "gpu_thread_nest"
    block: str
    threads: int | str
    vector: int | str = 1
    in_register: int = 0
    """Whether a reduction's partial result stays in a register until it is whole."""

    def apply(self, program: Program) -> None:
        schedule, threads, vector = program.schedule, program.value(self.threads), program.value(self.vector)
        block = schedule.get_sblock(self.block)
        spatial, reduce = _loops_by_kind(schedule, block)
        if not spatial:
            spatial = [schedule.add_unit_loop(block if not reduce else reduce[0])]
        if reduce:
            schedule.reorder(*spatial, *reduce)
        whole = schedule.fuse(*spatial, preserve_unit_iters=False)
        elements = int(schedule.get(whole).extent)
        grid, thread, lanes = schedule.split(whole, [None, threads, vector], preserve_unit_iters=True)
        schedule.bind(grid, "blockIdx.x")
        schedule.bind(thread, "threadIdx.x")
        if self.in_register and reduce and elements % (threads * vector) == 0:  # TVM drops the bounds of a tail
            result = schedule.cache_write(block, 0, "local")
            schedule.reverse_compute_at(result, thread, preserve_unit_loops=True)
        if vector > 1:
            schedule.vectorize(lanes)

    def python(self, assignment: Mapping[str, int]) -> str:
        numbers = f"threads={value_of(self.threads, assignment)}, vector={value_of(self.vector, assignment)}"
        return f"gpu_thread_nest(sch, {self.block!r}, {numbers})"


@dataclass(frozen=True, slots=True)
class BlockRows(Step):
    """Blocks that reduce along rows, stage by stage while a block of threads has the row.

    A block of threads takes `rows` rows (one, where several loops are rows) with `threads` threads each; a reduction is
    finished by all threads of the row together, across lanes and warps, and what it finds stays in shared memory for
    the stages after it.
    """

    kind: ClassVar[str] = "gpu_block_rows"
    blocks: tuple[str, ...]
    """In the order of the program; the last one writes the result."""
    row_loops: int
    """How many leading loops of each are rows."""
    rows: int | str
    threads: int | str

    def apply(self, program: Program) -> None:
        schedule, rows, threads = program.schedule, program.value(self.rows), program.value(self.threads)
        last = schedule.get_sblock(self.blocks[-1])
        loops = schedule.get_loops(last)
        if len(loops) < self.row_loops:
            raise ScheduleError(
                f"block {self.blocks[-1]!r} has {len(loops)} loops, {self.row_loops} rows were expected"
            )
        inner = loops[self.row_loops :]
        if not inner:
            raise ScheduleError(f"block {self.blocks[-1]!r} has nothing beside its rows")
        whole = schedule.fuse(*loops[: self.row_loops], preserve_unit_iters=False)
        grid, row = schedule.split(whole, [None, rows], preserve_unit_iters=True)
        schedule.bind(grid, "blockIdx.x")
        schedule.bind(row, "threadIdx.y")
        _share_among_threads(schedule, inner, threads)
        for name in reversed(self.blocks[:-1]):
            block = schedule.get_sblock(name)
            schedule.set_scope(block, 0, "shared")
            schedule.compute_at(block, grid, preserve_unit_loops=True)
            own = schedule.get_loops(block)[1:]
            row = schedule.fuse(*own[: self.row_loops], preserve_unit_iters=False)
            schedule.bind(row, "threadIdx.y")
            _share_among_threads(schedule, own[self.row_loops :], threads)

    def python(self, assignment: Mapping[str, int]) -> str:
        numbers = f"rows={value_of(self.rows, assignment)}, threads={value_of(self.threads, assignment)}"
        return f"gpu_block_rows(sch, {self.blocks!r}, {self.row_loops}, {numbers})"


def _share_among_threads(schedule: Schedule, loops: list[LoopHandle], threads: int) -> None:
    whole = schedule.fuse(*loops, preserve_unit_iters=False)
    _, thread = schedule.split(whole, [None, threads], preserve_unit_iters=True)
    schedule.bind(thread, "threadIdx.x")


def _loops_by_kind(schedule: Schedule, block: BlockHandle) -> tuple[list[LoopHandle], list[LoopHandle]]:
    """A block's loops that are spatial and those that reduce, outermost first."""
    statement = schedule.get(block)
    kinds = [int(iterator.iter_type) for iterator in statement.iter_vars]
    loops = schedule.get_loops(block)
    if len(loops) != len(kinds):
        raise ScheduleError(f"block {statement.name_hint!r} has {len(loops)} loops and {len(kinds)} iterators")
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind != 2]
    return spatial, [loop for loop, kind in zip(loops, kinds, strict=True) if kind == 2]
