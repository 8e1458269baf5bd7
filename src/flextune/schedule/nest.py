"""Loop nests made from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm import tirx
from tvm.ir import Range
from tvm.s_tir import SBlock, SBlockRealize

from flextune.tvm_types import Annotation, Buffer, BufferRegion, Expression, Statement


class LoopNest:
    """Loops with one block inside, iterators bound one to one."""

    def __init__(self, spatial: Sequence[tuple[str, int]], reduce: Sequence[tuple[str, int]]) -> None:
        self.spatial, self.reduce = list(spatial), list(reduce)
        self.vars = {name: tirx.Var(f"v_{name}", "int32") for name, _ in [*self.spatial, *self.reduce]}

    def wrap(
        self,
        name: str,
        body: Statement,
        reads: Sequence[BufferRegion],
        writes: Sequence[BufferRegion],
        init: Statement | None = None,
        annotations: Mapping[str, Annotation] | None = None,
    ) -> Statement:
        axes = [(n, e, tirx.IterVar.DataPar) for n, e in self.spatial] + [
            (n, e, tirx.IterVar.CommReduce) for n, e in self.reduce
        ]
        iterators = [tirx.IterVar(Range(0, extent), self.vars[n], kind) for n, extent, kind in axes]
        loops = [tirx.Var(n, "int32") for n, _, _ in axes]
        block = SBlock(iterators, list(reads), list(writes), name, body, init, annotations=annotations)
        statement: Statement = SBlockRealize(loops, True, block)
        for loop, (_, extent, _) in zip(reversed(loops), reversed(axes), strict=True):
            statement = tirx.For(loop, 0, extent, tirx.ForKind.SERIAL, statement)
        return statement


def element_region(buffer: Buffer, indices: Sequence[Expression]) -> BufferRegion:
    """The region of one element."""
    return tirx.BufferRegion(buffer, [Range.from_min_extent(index, 1) for index in indices])
