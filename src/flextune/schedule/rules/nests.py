"""Single loop nests: element-wise blocks, and whatever no other rule knows."""

from __future__ import annotations

import math

import numpy as np

from flextune.analysis.blocks import BlockFacts, BlockKind
from flextune.csp import Le, Prod
from flextune.schedule.limits import CpuLimits
from flextune.schedule.space import Columns, Draft
from flextune.schedule.steps import Fuse, Loops, Mark, Split

ELEMENTWISE_RULE = "element-wise"
PARALLEL_RULE = "parallel-nest"

_PARALLEL_ELEMENTS = 1 << 14


class ElementwiseRule:
    """Parallel over the outer loops, vectors along the contiguous one; the vector width and unrolling are searched."""

    def __init__(self, draft: Draft, block: BlockFacts, limits: CpuLimits, prefix: str) -> None:
        self.draft, self.block, self.limits, self.prefix = draft, block, limits, prefix

    def apply(self) -> None:
        draft, block = self.draft, self.block
        draft.used(ELEMENTWISE_RULE)
        draft.scheduled.add(block.name)
        loops = tuple(f"{block.name}.{it.name}" for it in block.iterators)
        if not loops:
            return
        draft.add(Loops(block.name, loops))
        inner = loops[-1]
        if len(loops) == 1:
            inner, loops = f"{block.name}.chunk", (f"{block.name}.all", f"{block.name}.chunk")
            draft.add(Split(f"{block.name}.{block.iterators[0].name}", (self._cores(), None), loops))
        outer = loops[:-1]
        if len(outer) > 1:
            draft.add(Fuse(outer, f"{block.name}.all"))
            outer = (f"{block.name}.all",)
        if math.prod(it.extent for it in block.iterators) >= _PARALLEL_ELEMENTS:
            draft.add(Mark(outer[0], "parallel"))
        self._vectorize(inner)

    def _cores(self) -> int:
        extent = self.block.iterators[0].extent
        return max(d for d in range(1, self.limits.cores + 1) if extent % d == 0)

    def _vectorize(self, loop: str) -> None:
        draft, block = self.draft, self.block
        inner = block.iterators[-1]
        extent = inner.extent if len(block.iterators) > 1 else inner.extent // self._cores()
        full = self.limits.lanes(block.output.dtype)
        widths = [n for n in (full // 4, full // 2, full, 2 * full) if n > 1 and extent % n == 0]
        accesses = (*block.reads, *block.writes)
        if not widths or any(a.stride_of(inner.name) not in (0, 1) for a in accesses):
            return
        lanes = draft.variable(f"{self.prefix}lanes_{block.name}", widths)
        unroll = draft.variable(f"{self.prefix}unroll_{block.name}", [u for u in (1, 2, 4) if extent % u == 0])
        step = draft.derived(f"{self.prefix}step_{block.name}")
        draft.require(
            Prod(step, (lanes, unroll), name=f"{step}_size", rule=ELEMENTWISE_RULE),
            Le(
                step,
                extent,
                name=f"{step}_fits",
                rule=ELEMENTWISE_RULE,
                reason="an unrolled step is no longer than the loop",
            ),
        )
        parts = (f"{loop}.steps", f"{loop}.unroll", f"{loop}.lanes")
        draft.add(Split(loop, (None, unroll, lanes), parts), Mark(parts[2], "vectorize"), Mark(parts[1], "unroll"))
        draft.merits.append(lambda columns: _prefer(columns, lanes, full) * _prefer(columns, unroll, 1))


def _prefer(columns: Columns, name: str, value: int) -> np.ndarray:
    return 1.0 / (1.0 + np.abs(np.log2(columns[name] / value)))


class ParallelNestRule:
    """The outermost spatial loops in parallel, nothing else: correct for every block, tuned for none."""

    def __init__(self, draft: Draft, block: BlockFacts) -> None:
        self.draft, self.block = draft, block

    def apply(self) -> None:
        draft, block = self.draft, self.block
        draft.used(PARALLEL_RULE)
        draft.scheduled.add(block.name)
        leading = []
        for it in block.iterators:
            if it.kind != "spatial":
                break
            leading.append(f"{block.name}.{it.name}")
        if not leading or block.kind is BlockKind.OPAQUE or block.trips < _PARALLEL_ELEMENTS:
            return
        draft.add(Loops(block.name, tuple(f"{block.name}.{it.name}" for it in block.iterators)))
        outer = leading[:-1] if len(leading) == len(block.iterators) and len(leading) > 1 else leading
        draft.add(Fuse(tuple(outer), f"{block.name}.all"), Mark(f"{block.name}.all", "parallel"))
