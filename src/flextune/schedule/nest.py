"""Loop nests made from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tvm_ffi
from tvm import tirx
from tvm.ir import Range
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.symbols import is_symbolic
from flextune.tvm_types import Annotation, Buffer, BufferRegion, Expression, Statement


class LoopNest:
    """Loops with one block inside, iterators bound one to one. `index` is the type that the function counts in."""

    def __init__(
        self, spatial: Sequence[tuple[str, Expression]], reduce: Sequence[tuple[str, Expression]], index: str = "int32"
    ) -> None:
        self.spatial, self.reduce, self.index = list(spatial), list(reduce), index
        self.vars = {name: tirx.Var(f"v_{name}", index) for name, _ in [*self.spatial, *self.reduce]}

    def wrap(
        self,
        name: str,
        body: Statement,
        reads: Sequence[BufferRegion],
        writes: Sequence[BufferRegion],
        init: Statement | None = None,
        annotations: Mapping[str, Annotation] | None = None,
    ) -> Statement:
        axes = [(n, counted(e, self.index), tirx.IterVar.DataPar) for n, e in self.spatial] + [
            (n, counted(e, self.index), tirx.IterVar.CommReduce) for n, e in self.reduce
        ]
        iterators = [tirx.IterVar(Range(counted(0, self.index), e), self.vars[n], kind) for n, e, kind in axes]
        loops = [tirx.Var(n, self.index) for n, _, _ in axes]
        block = SBlock(iterators, list(reads), list(writes), name, body, init, annotations=annotations)
        statement: Statement = SBlockRealize(loops, True, block)
        for loop, (_, extent, _) in zip(reversed(loops), reversed(axes), strict=True):
            statement = tirx.For(loop, counted(0, self.index), extent, tirx.ForKind.SERIAL, statement)
        return statement


def counted(extent: Expression, index: str) -> Expression:
    """An extent in a function that counts in this type; int32 is what numbers are without being told."""
    return tirx.IntImm(index, extent) if isinstance(extent, int) and index != "int32" else extent


def element_region(buffer: Buffer, indices: Sequence[Expression]) -> BufferRegion:
    """The region of one element."""
    return tirx.BufferRegion(buffer, [Range.from_min_extent(index, 1) for index in indices])


def round_up(extent: Expression, multiple: int) -> Expression:
    """The extent, a number or an expression over symbols, up to the next multiple."""
    if multiple == 1:
        return extent
    return (extent + (multiple - 1)) // multiple * multiple


def same_size(one: Expression, other: Expression) -> bool:
    """Whether two extents are one at all sizes of their symbols, as far as that can be seen."""
    if is_symbolic(one) or is_symbolic(other):
        return bool(tvm_ffi.structural_equal(one, other))
    return int(one) == int(other)
