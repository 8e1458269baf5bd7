"""Rows: reductions along the contiguous axis, all their stages computed row by row.

Softmax, layer norm, sums of rows, matrix-vector products: one core takes a row through every stage while it is in
cache; each reduction keeps one partial result per lane (rfactor) so that it vectorises without reassociating blindly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.analysis.sharing import LAUNCH_CYCLES, is_worth_sharing, work_of
from flextune.platforms.cpu.limits import CpuLimits
from flextune.schedule.peel import peel_tail, peelable, tail_block_name
from flextune.schedule.rewriting_steps import PeelTail
from flextune.schedule.space import Columns, Draft, VariableRole
from flextune.schedule.step import Step
from flextune.schedule.steps import ComputeAt, Decompose, Fuse, Loops, Mark, Reorder, RFactor, SetScope, Split

RULE = "rows"

LEAST_ROW = 8
"""Elements of a row that are worth partial results in lanes."""
_LONG_ROW_VECTORS = 8
_STEPS_PER_HALVING = 2.0
"""What moving half of the lanes under the others takes, with combining them, in steps along the row."""
_TASK_ELEMENTS = 100.0  # what starting a task costs, in elements of a row


def row_dimensions(blocks: Sequence[BlockFacts]) -> int:
    """How many leading dimensions all blocks share: the rows. 0 if the blocks do not form rows."""
    last = blocks[-1]
    extents = [it.extent for it in last.spatial]
    shared = min((len(b.spatial) - _trailing_units(b) for b in blocks if b.reduce), default=0)
    for block in blocks:
        own = [it.extent for it in block.spatial][:shared]
        if own != extents[: len(own)] or len(own) < shared:
            return 0
    return shared


def _trailing_units(block: BlockFacts) -> int:
    count = 0
    for it in reversed(block.spatial):
        if it.extent != 1:
            break
        count += 1
    return min(count, max(len(block.spatial) - 1, 0))


def reduces_contiguously(block: BlockFacts) -> bool:
    """Whether the innermost reduce axis is contiguous in some operand."""
    return bool(block.reduce) and any(a.stride_of(block.reduce[-1].name) == 1 for a in block.operands)


def peel_rows(draft: Draft, blocks: Sequence[BlockFacts], limits: CpuLimits) -> frozenset[str]:
    """Peel the tails of rows that vectors do not divide; returns the names of the blocks that reduce the tails."""
    tails = set()
    for block in blocks:
        width = limits.lanes(block.output.dtype)
        if reduces_contiguously(block) and peelable(block, width) and not _divides_in_halves(block, width):
            draft.rewrite(peel_tail(draft.function, block.name, width), PeelTail(block.name, width))
            tails.add(tail_block_name(block.name))
    return frozenset(tails)


def _divides_in_halves(block: BlockFacts, width: int) -> bool:
    """Whether a short row divides into half vectors, which is better than a tail."""
    extent = block.reduce[-1].extent
    return width > 2 and extent % (width // 2) == 0 and extent < _LONG_ROW_VECTORS * width


class RowRule:
    """Schedules connected blocks that share their leading dimensions; see the module text."""

    def __init__(
        self,
        draft: Draft,
        blocks: Sequence[BlockFacts],
        rows: int,
        limits: CpuLimits,
        tails: frozenset[str],
        prefix: str = "",
    ) -> None:
        self.draft, self.blocks, self.rows, self.limits, self.tails = draft, list(blocks), rows, limits, tails
        self.prefix = prefix
        self.last = self.blocks[-1]

    def apply(self) -> None:
        draft = self.draft
        draft.used(RULE)
        factored = {b.name: lanes for b in self.blocks if (lanes := self._declare_lanes(b)) is not None}
        for block in self.blocks:
            if block.name in factored:
                draft.add(*self._factor_steps(block, factored[block.name]))
        draft.add(*self._row_loop_steps())
        if self.last.name in factored:  # before what it reads: a block is moved to all that read it
            draft.add(ComputeAt(f"{self.last.name}_rf", self.row_loop))
        for block in reversed(self.blocks[:-1]):
            draft.add(ComputeAt(block.name, self.row_loop))
            if block.name in factored:
                draft.add(ComputeAt(f"{block.name}_rf", self.row_loop))
        for block in self.blocks:
            if block.name in factored:
                draft.add(*self._lane_steps(block))
            elif block.kind is BlockKind.ELEMENTWISE:
                draft.add(*self._vector_steps(block))
        draft.scheduled |= {b.name for b in self.blocks}

    def _declare_lanes(self, block: BlockFacts) -> str | None:
        """A variable for the partial results of a reduction, if its length allows any."""
        if not reduces_contiguously(block) or block.kind not in (BlockKind.REDUCTION, BlockKind.CONTRACTION):
            return None
        if block.name in self.tails:
            return None
        extent = block.reduce[-1].extent
        if extent < LEAST_ROW:
            return None
        full = self.limits.lanes(block.output.dtype)
        choices = [n for n in (full // 2, full, 2 * full, 4 * full, 8 * full) if n > 1 and extent % n == 0]
        if not choices:
            choices = [d for d in range(2, 4 * full + 1) if extent % d == 0][-2:]
        if not choices:
            return None
        name = self.draft.variable(VariableRole("lanes", block=block.name, prefix=self.prefix), choices)

        def estimate(columns: Columns) -> np.ndarray:
            """One chain of dependent steps along the row, and one down the tree of lanes at its end."""
            chains = extent / columns[name] + _STEPS_PER_HALVING * np.log2(columns[name])
            return np.asarray(np.where(columns[name] % full == 0, 1.0, 0.5) / chains)

        self.draft.estimates.append(estimate)
        return name

    def _factor_steps(self, block: BlockFacts, lanes: str) -> list[Step]:
        loops = tuple(f"{block.name}.{it.name}" for it in block.iterators)
        inner = block.iterators.index(block.reduce[-1])
        outer, lane = f"{block.name}.steps", f"{block.name}.lane"
        return [
            Loops(block.name, loops),
            Split(loops[inner], (None, lanes), (outer, lane)),
            RFactor(block.name, lane, len(block.spatial)),
            SetScope(f"{block.name}_rf", "local"),
        ]

    def _row_loop_steps(self) -> list[Step]:
        rows = tuple(f"{self.last.name}.row.{it.name}" for it in self.last.spatial[: self.rows])
        rest = tuple(f"{self.last.name}.col.{it.name}" for it in self.last.spatial[self.rows :])
        factored = any(isinstance(s, RFactor) and s.block == self.last.name for s in self.draft.steps)
        reduce = tuple(f"{self.last.name}.red.{it.name}" for it in self.last.reduce)
        if factored:
            reduce = (f"{self.last.name}.red.lane",)
        self.row_loop = f"{self.last.name}.row"
        fused = f"{self.last.name}.rows"
        return [
            Loops(self.last.name, (*rows, *rest, *reduce)),
            Fuse(rows, fused),
            Split(fused, (None, self._declare_block()), (f"{fused}.blocks", self.row_loop)),
            Mark(f"{fused}.blocks", "parallel"),
        ]

    def _declare_block(self) -> str:
        """How many rows one parallel task takes."""
        count = math.prod(it.extent for it in self.last.spatial[: self.rows])
        row = max((b.reduce[-1].extent for b in self.blocks if b.reduce), default=1)
        cycles = sum(map(work_of, self.blocks)) / self.limits.lanes(self.last.output.dtype)
        least = min(self.limits.cores, count) if is_worth_sharing(cycles) else 1
        sizes = {1, 2, 4, 8, 16, 32, 64, *([count] if least == 1 else [])}
        choices = [d for d in sorted(sizes) if count % d == 0 and count // d >= least]
        name = self.draft.variable(VariableRole("rows_per_task", prefix=self.prefix), choices)

        def estimate(columns: Columns) -> np.ndarray:
            tasks = count / columns[name].astype(np.float64)
            busy = tasks / (np.ceil(tasks / self.limits.cores) * self.limits.cores)
            launch = np.where(tasks > 1, LAUNCH_CYCLES * self.limits.cores, 0.0) / cycles
            return np.asarray(busy / (1.0 + _TASK_ELEMENTS / (columns[name] * row) + launch))

        self.draft.estimates.append(estimate)
        return name

    def _lane_steps(self, block: BlockFacts) -> list[Step]:
        """The partial sums: vectorised over the lanes, zeroed before the loop over steps.

        `RFactor` makes the lanes the first iterator, and moving the block leaves a loop for each of its iterators.
        """
        name = f"{block.name}_rf"
        spatial = [f"{name}.{it.name}" for it in block.spatial]
        reduce = [f"{name}.{it.name}" for it in block.reduce[:-1]]
        steps_loop, lane = f"{name}.steps", f"{name}.lanes"
        init = f"{name}_init"
        return (
            [
                Loops(name, (lane, *spatial, *reduce, steps_loop)),
                Reorder(((*spatial, *reduce, steps_loop, lane),)),
                Mark(lane, "vectorize"),
                Decompose(name, [*reduce, steps_loop][0]),
                Loops(init, (f"{init}.lane",)),
                Mark(f"{init}.lane", "vectorize"),
            ]
            if spatial
            else []
        )

    def _vector_steps(self, block: BlockFacts) -> list[Step]:
        """Vectorise an element-wise stage over its contiguous axis; a last vector that is not whole is split off."""
        cols = block.spatial[self.rows :]
        lanes = self.limits.lanes(block.output.dtype)
        if not cols or cols[-1].extent < lanes:
            return []
        if any(r.stride_of(cols[-1].name) not in (0, 1) for r in (*block.reads, *block.writes)):
            return []
        loop = f"{block.name}.col"
        return [
            Loops(block.name, (loop,)),
            Split(loop, (None, lanes), (f"{loop}.v", f"{loop}.l")),
            Mark(f"{loop}.l", "vectorize"),
        ]
