"""Single loop nests: element-wise blocks, and whatever no other rule knows."""

from __future__ import annotations

import itertools
import math

import numpy as np

from flextune.analysis.program_facts import SPATIAL, BlockFacts, BlockKind
from flextune.analysis.sharing import work_of
from flextune.csp import Constraint, Divides, Le, Prod
from flextune.platforms.cpu.limits import CpuLimits
from flextune.schedule.space import Columns, Draft, VariableRole
from flextune.schedule.steps import Fuse, Loops, Mark, Split

ELEMENTWISE_RULE = "element-wise"
PARALLEL_RULE = "parallel-nest"

PARALLEL_ELEMENTS = 1 << 14
"""Nests of less work are not shared among the cores."""
_TASKS_PER_CORE = (1, 2, 4, 8)
_LONG_VECTORS = 256
"""Of so many, a last one that is not whole costs nothing."""


class ElementwiseRule:
    """Parallel over the outer loops, vectors along the contiguous one.

    Searched: how much one parallel task takes, the vector width, unrolling.
    """

    def __init__(self, draft: Draft, block: BlockFacts, limits: CpuLimits, prefix: str) -> None:
        self.draft, self.block, self.limits, self.prefix = draft, block, limits, prefix

    def apply(self) -> None:
        draft, block = self.draft, self.block
        draft.used(ELEMENTWISE_RULE)
        draft.scheduled.add(block.name)
        if not block.iterators:
            return
        loops = tuple(self._loop(it.name) for it in block.iterators)
        draft.add(Loops(block.name, loops))
        if math.prod(it.extent for it in block.iterators[:-1]) == 1:
            self._share_line(loops[-1])
        else:
            self._share_rows(loops[:-1])
            self._vectorize(loops[-1])

    def _loop(self, part: str) -> str:
        return f"{self.block.name}.{part}"

    def _role(self, purpose: str) -> VariableRole:
        return VariableRole(purpose, block=self.block.name, prefix=self.prefix)

    @property
    def _parallel(self) -> bool:
        return work_of(self.block) >= PARALLEL_ELEMENTS

    def _share_line(self, loop: str) -> None:
        """One loop of any length: whole vectors are shared among the cores."""
        vectors = self._vectorize(loop)
        if self._parallel:
            share(
                self.draft,
                self.block,
                self.limits,
                self.prefix,
                vectors,
                math.ceil(self.block.iterators[-1].extent / self.limits.lanes(self.block.output.dtype)),
            )

    def _share_rows(self, outer: tuple[str, ...]) -> None:
        rows = self._loop("all")
        self.draft.add(Fuse(outer, rows))
        if self._parallel:
            share(
                self.draft,
                self.block,
                self.limits,
                self.prefix,
                rows,
                math.prod(it.extent for it in self.block.iterators[:-1]),
            )

    def _vectorize(self, loop: str) -> str:
        """Split off vectors; returns the loop over them. A width that leaves a tail is only a second choice."""
        draft, block = self.draft, self.block
        inner = block.iterators[-1]
        full = self.limits.lanes(block.output.dtype)
        if any(a.stride_of(inner.name) not in (0, 1) for a in (*block.reads, *block.writes)) or inner.extent < 2:
            return loop
        exact = [n for n in (full // 4, full // 2, full, 2 * full) if n > 1 and inner.extent % n == 0]
        lanes = draft.variable(self._role("lanes"), exact or sorted({1, min(full, inner.extent)}))
        unroll = draft.variable(self._role("unroll"), (1, 2, 4))
        step = draft.derived(self._role("step"))
        draft.require(
            Prod(step, (lanes, unroll), name=f"{step}_size", rule=ELEMENTWISE_RULE),
            self._fits(step, inner.extent, bool(exact)),
        )
        parts = (f"{loop}.steps", f"{loop}.unroll", f"{loop}.lanes")
        draft.add(Split(loop, (None, unroll, lanes), parts), Mark(parts[2], "vectorize"), Mark(parts[1], "unroll"))
        is_long = not block.is_symbolic and inner.extent >= _LONG_VECTORS * full
        widest = full if exact or is_long else 1
        draft.estimates.append(lambda columns: prefer(columns, lanes, widest) * prefer(columns, unroll, 1))
        return parts[0]

    def _fits(self, step: str, extent: int, exact: bool) -> Constraint:
        if exact:
            reason = "whole vectors need no check of the bounds"
            return Divides(step, extent, name=f"{step}_divides", rule=ELEMENTWISE_RULE, reason=reason)
        reason = "an unrolled step is no longer than the loop"
        return Le(step, extent, name=f"{step}_fits", rule=ELEMENTWISE_RULE, reason=reason)


def share(draft: Draft, block: BlockFacts, limits: CpuLimits, prefix: str, loop: str, extent: int) -> None:
    """Parallel tasks of `task` iterations of `loop` each; the last may be shorter."""
    cores = min(limits.cores, extent)
    largest = math.ceil(extent / cores)
    sizes = {1, *(math.ceil(extent / (cores * times)) for times in _TASKS_PER_CORE)}
    task = draft.variable(VariableRole("task", block=block.name, prefix=prefix), sorted(sizes))
    parts = (f"{block.name}.tasks", f"{block.name}.task")
    draft.add(Split(loop, (None, task), parts), Mark(parts[0], "parallel"))
    draft.estimates.append(lambda columns: prefer(columns, task, largest))


def prefer(columns: Columns, name: str, value: int) -> np.ndarray:
    """An estimate that is 1 where a variable has this value, and falls with the factor between them."""
    return 1.0 / (1.0 + np.abs(np.log2(columns[name] / value)))


class ParallelNestRule:
    """The outermost spatial loops in parallel: correct for every block. Searched: how much one task takes."""

    def __init__(self, draft: Draft, block: BlockFacts, limits: CpuLimits, prefix: str) -> None:
        self.draft, self.block, self.limits, self.prefix = draft, block, limits, prefix

    def apply(self) -> None:
        draft, block = self.draft, self.block
        draft.used(PARALLEL_RULE)
        draft.scheduled.add(block.name)
        outer = list(itertools.takewhile(lambda it: it.kind == SPATIAL, block.iterators))
        if len(outer) > 1 and len(outer) == len(block.iterators):
            del outer[-1]
        if not outer or block.kind is BlockKind.OPAQUE or work_of(block) < PARALLEL_ELEMENTS:
            return
        loops, rows = tuple(f"{block.name}.{it.name}" for it in block.iterators), f"{block.name}.all"
        draft.add(Loops(block.name, loops), Fuse(loops[: len(outer)], rows))
        share(draft, block, self.limits, self.prefix, rows, math.prod(it.extent for it in outer))
