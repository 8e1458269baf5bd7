"""Element-wise nests that read along another axis than they write along: transposes, and what is fused with them."""

from __future__ import annotations

import math

import numpy as np

from flextune.analysis.program_facts import BlockFacts, BlockKind, Iterator
from flextune.analysis.sharing import work_of
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.nests import PARALLEL_ELEMENTS, prefer, share
from flextune.schedule.space import Draft, VariableRole
from flextune.schedule.steps import Choose, Fuse, Loops, Mark, Reorder, Split

TRANSPOSE_RULE = "transpose"

_LANES = (4, 8, 16)
_ROWS = (4, 8, 16)
_USUAL = 8
"""Of rows and lanes: with 8 x 8 elements every line of the cache that is touched is used up while it is in L1."""


def transposed_axis(block: BlockFacts) -> Iterator | None:
    """The axis along which the block reads contiguously what it reads in strides along its innermost one.

    None for a block that is not element-wise, or reads nothing in that way.
    """
    if block.kind is not BlockKind.ELEMENTWISE or len(block.iterators) < 2:
        return None
    *outer, inner = block.iterators
    for access in block.reads:
        if access.stride_of(inner.name) not in (None, 0, 1):
            along = [it for it in outer if access.stride_of(it.name) == 1 and it.extent > 1]
            if along and inner.extent > 1:
                return along[-1]
    return None


class TransposeRule:
    """Squares of two axes, so that lines of the cache are read and written once; squares are shared by the cores.

    Searched: the extents of a square, along which of the axes vectors run (gathered as they are read, or scattered as
    they are written), how many squares one parallel task takes.
    """

    def __init__(self, draft: Draft, block: BlockFacts, across: Iterator, limits: CpuLimits, prefix: str) -> None:
        self.draft, self.block, self.across, self.limits, self.prefix = draft, block, across, limits, prefix

    def apply(self) -> None:
        draft, block, inner = self.draft, self.block, self.block.iterators[-1]
        draft.used(TRANSPOSE_RULE)
        draft.scheduled.add(block.name)
        lanes, rows = self._sizes(inner, _LANES, "lanes"), self._sizes(self.across, _ROWS, "rows")
        loops = {it.name: f"{block.name}.{it.name}" for it in block.iterators}
        square = [(f"{loops[it.name]}.squares", f"{loops[it.name]}.{part}") for it, part in self._split]
        draft.add(
            Loops(block.name, tuple(loops.values())),
            Split(loops[self.across.name], (None, rows), square[0]),
            Split(loops[inner.name], (None, lanes), square[1]),
        )
        others = [loops[it.name] for it in block.iterators[:-1] if it is not self.across]
        outer, inside = (*others, square[0][0], square[1][0]), (square[0][1], square[1][1])
        draft.add(Reorder(((*outer, *inside),)), Fuse(outer, f"{block.name}.all"))
        if work_of(block) >= PARALLEL_ELEMENTS:
            share(draft, block, self.limits, self.prefix, f"{block.name}.all", self._squares(inner))
        vector = draft.variable(VariableRole("vector", block=block.name, prefix=self.prefix), (0, 1))
        draft.add(Choose(vector, (_vectors(*inside), (Reorder((inside[::-1],)), *_vectors(*inside[::-1])))))
        draft.estimates.append(lambda columns: np.where(columns[vector] == 0, 1.0, 0.5))

    @property
    def _split(self) -> tuple[tuple[Iterator, str], tuple[Iterator, str]]:
        return (self.across, "rows"), (self.block.iterators[-1], "lanes")

    def _sizes(self, axis: Iterator, sizes: tuple[int, ...], name: str) -> str:
        """A variable for the extent of a square along an axis: without a tail, where that is possible."""
        fitting = [size for size in sizes if size <= axis.extent]
        whole = [size for size in fitting if axis.extent % size == 0]
        if axis.extent <= max(sizes):
            whole.append(axis.extent)
        values = sorted(set(whole or fitting))
        variable = self.draft.variable(VariableRole(name, block=self.block.name, prefix=self.prefix), values)
        usual = min(values, key=lambda size: abs(math.log2(size / _USUAL)))
        self.draft.estimates.append(lambda columns: prefer(columns, variable, usual))
        return variable

    def _squares(self, inner: Iterator) -> int:
        """Of the largest kind: there are no fewer."""
        others = self.block.trips // (inner.extent * self.across.extent)
        return others * math.ceil(inner.extent / max(_LANES)) * math.ceil(self.across.extent / max(_ROWS))


def _vectors(unrolled: str, vector: str) -> tuple[Mark, Mark]:
    return Mark(vector, "vectorize"), Mark(unrolled, "unroll")
