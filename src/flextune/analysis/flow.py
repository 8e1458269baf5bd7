"""How the parameters of a program reach its result: what is passed on element by element, and what is normalised.

    s[i, j] = x[i, j] + r[i, j];   m[i] = sum over j of s[i, j];   y[i, j] = (s[i, j] - m[i] / n) * w[j]
        x, r and w are carried into y; x and r are normalised
    c[i, j] = sum over k of a[i, k] * b[k, j];   y[i, j] = c[i, j] + r[i, j]
        r is carried, a and b are neither
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm import tirx

from flextune.analysis.blocks import BlockFacts, BlockKind, BufferFacts, ProgramFacts


@dataclass(frozen=True, slots=True)
class Flow:
    """Positions of the parameters that element-wise blocks alone carry into the result, and of those among them whose
    whole rows are summed on the way, in a result of the same size: layer norm's and RMS norm's, not softmax's.
    """

    carried: frozenset[int]
    normalised: frozenset[int]


def read_flow(program: ProgramFacts) -> Flow:
    """The flow of a program of plain blocks with one result, its last parameter."""
    result = program.parameters[-1]
    inputs = program.parameters[:-1]
    reached = {buffer.parameter: _reached(program.blocks, buffer) for buffer in inputs}
    carried = frozenset(position for position, buffers in reached.items() if position is not None and result in buffers)
    normalised = {
        position
        for position in carried
        if program.parameters[position].elements == result.elements and _is_summed(program.blocks, reached[position])
    }
    return Flow(carried, frozenset(normalised))


def _reached(blocks: Sequence[BlockFacts], source: BufferFacts) -> set[BufferFacts]:
    """The buffers that element-wise blocks compute from one, with itself."""
    found = {source}
    for block in blocks:
        if block.kind is BlockKind.ELEMENTWISE and any(access.buffer in found for access in block.reads):
            found.add(block.output)
    return found


def _is_summed(blocks: Sequence[BlockFacts], buffers: set[BufferFacts]) -> bool:
    """Whether reductions read these buffers, all of them sums, and one at least sums whole rows."""
    readers = [
        block
        for block in blocks
        if block.kind is BlockKind.REDUCTION and any(access.buffer in buffers for access in block.reads)
    ]
    sums = all(isinstance(block.block.body.value, tirx.Add) for block in readers)
    return sums and any(_sums_rows(block, buffers) for block in readers)


def _sums_rows(block: BlockFacts, buffers: set[BufferFacts]) -> bool:
    reduced = [it for it in block.reduce if it.extent > 1]
    return len(reduced) == 1 and any(
        access.buffer in buffers
        and access.stride_of(reduced[0].name) == 1
        and access.buffer.shape[-1] == reduced[0].extent
        for access in block.reads
    )
