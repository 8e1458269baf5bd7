"""How the parameters of a program reach its result: what is passed on element by element, and of what rows are summed.

s[i, j] = x[i, j] + r[i, j];   m[i] = sum over j of s[i, j];   y[i, j] = (s[i, j] - m[i] / n) * w[j]
    x, r and w are carried into y; rows of x and r are summed
c[i, j] = sum over k of a[i, k] * b[k, j];   y[i, j] = c[i, j] + r[i, j]
    r is carried, a and b are neither
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm import tirx

from flextune.analysis.program_facts import BlockFacts, BlockKind, BufferFacts, ProgramFacts


@dataclass(frozen=True, slots=True)
class Flow:
    """Positions of the parameters that element-wise blocks alone carry into the result, and of those whose whole rows
    are summed, or what element-wise blocks make of them: by a layer norm or its mean, not by a softmax or a pooling.
    """

    carried: frozenset[int]
    summed: frozenset[int]


def read_flow(program: ProgramFacts) -> Flow:
    """The flow of a program of plain blocks with one result, its last parameter."""
    *inputs, result = program.parameters
    reached = [_reached(program.blocks, buffer) for buffer in inputs]
    carried = frozenset(position for position, buffers in enumerate(reached) if result in buffers)
    summed = frozenset(position for position, buffers in enumerate(reached) if _is_summed(program.blocks, buffers))
    return Flow(carried, summed)


def _reached(blocks: Sequence[BlockFacts], source: BufferFacts) -> set[BufferFacts]:
    """The buffers that element-wise blocks compute from one, with itself."""
    found = {source}
    for block in blocks:
        if block.kind is BlockKind.ELEMENTWISE and any(access.buffer in found for access in block.reads):
            found.add(block.output)
    return found


def _is_summed(blocks: Sequence[BlockFacts], buffers: set[BufferFacts]) -> bool:
    """Whether reductions read these buffers, all of them sums, and one at least of whole rows."""
    readers = [block for block in blocks if _reduces(block) and any(access.buffer in buffers for access in block.reads)]
    sums = all(isinstance(block.block.body.value, tirx.Add) for block in readers)
    return sums and any(_sums_rows(block, buffers) for block in readers)


def _reduces(block: BlockFacts) -> bool:
    """Whether a block is a reduction of one tensor; a sum of squares is, though it has the form of a product."""
    is_square = block.kind is BlockKind.CONTRACTION and block.factors[0] == block.factors[1]
    return block.kind is BlockKind.REDUCTION or is_square


def _sums_rows(block: BlockFacts, buffers: set[BufferFacts]) -> bool:
    reduced = [it for it in block.reduce if it.extent > 1]
    return len(reduced) == 1 and any(
        access.buffer in buffers
        and access.stride_of(reduced[0].name) == 1
        and access.buffer.shape[-1] == reduced[0].extent
        for access in block.reads
    )
