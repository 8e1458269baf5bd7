"""Which blocks around a reduction can be computed together with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import tvm_ffi
from tvm.ir import Call

from flextune.analysis.moves import is_transpose
from flextune.analysis.program_facts import Access, BlockFacts, BlockKind, BufferFacts, ProgramFacts

_LONG_FUNCTIONS = frozenset(
    f"tirx.{name}" for name in ("atanh", "erf", "exp", "exp10", "log", "pow", "sigmoid", "tanh")
)
_MOST_NESTED = 3
"""Of such functions: four in a row take a second to compile, six a minute."""


@dataclass(frozen=True, slots=True)
class EpilogueChain:
    """Element-wise blocks after a reduction, each reading the one before at its own iterators.

    `axes` maps the reduction's spatial iterators to the loops of the last block (of the reduction itself when the chain
    is empty); iterators of extent 1 may be missing.
    """

    blocks: tuple[BlockFacts, ...]
    axes: Mapping[str, str]


def epilogue_chain(program: ProgramFacts, anchor: BlockFacts) -> EpilogueChain:
    """The longest chain of single element-wise consumers over the anchor's own index space."""
    dims = anchor.writes[0].plain_axes()
    axes = {it.name: it.name for it in anchor.spatial}
    blocks: list[BlockFacts] = []
    current = anchor
    while dims is not None and current.output.parameter is None:
        consumers = program.consumers(current)
        if len(consumers) != 1 or consumers[0].kind is not BlockKind.ELEMENTWISE:
            break
        link = _link(current, consumers[0], dims)
        if link is None:
            break
        axes = {name: link[loop] for name, loop in axes.items() if loop in link}
        current = consumers[0]
        blocks.append(current)
        dims = current.writes[0].plain_axes()
    return EpilogueChain(tuple(blocks), axes)


def _link(block: BlockFacts, consumer: BlockFacts, dims: tuple[str | None, ...]) -> dict[str, str] | None:
    """Loop of `block` -> loop of `consumer`, if the consumer reads each element once, at its own iterators."""
    reads = [r for r in consumer.reads if r.buffer == block.output]
    axes = reads[0].plain_axes() if len(reads) == 1 else None
    if axes is None or consumer.writes[0].separate_axes(consumer.extents) is None:
        return None
    link = {dim: axis for dim, axis in zip(dims, axes, strict=True) if dim is not None and axis is not None}
    mapped = set(link.values())
    if any(it.extent > 1 and it.name not in mapped for it in consumer.iterators):
        return None
    return link if all(consumer.extent(loop) == block.extent(name) for name, loop in link.items()) else None


def stage_of(program: ProgramFacts, anchor: BlockFacts, operand: Access) -> BlockFacts | None:
    """The element-wise block that computes `operand` for `anchor` alone, if there is one."""
    for producer in program.producers(anchor):
        if producer.output == operand.buffer and producer.kind is BlockKind.ELEMENTWISE:
            return producer if len(program.consumers(producer)) == 1 else None
    return None


def inlinable(program: ProgramFacts, block: BlockFacts) -> bool:
    """Whether an element-wise block is best computed inside its one consumer: always if that is element-wise too.

    A contraction packs what it reads, or reads it row by row, so it takes in transposes: they change where it reads.
    What computes an operand before its transpose stays a block, or every multiplication would compute it again.
    """
    if block.kind is not BlockKind.ELEMENTWISE or block.output.parameter is not None:
        return False
    consumers = program.consumers(block)
    if len(consumers) != 1 or block.writes[0].plain_axes() is None:
        return False
    if consumers[0].kind is BlockKind.ELEMENTWISE:
        return is_transpose(block) or not _moves_operand(program, consumers[0])
    return consumers[0].kind is BlockKind.CONTRACTION and is_transpose(block)


def within_nesting(program: ProgramFacts, names: Collection[str]) -> list[str]:
    """Of blocks that may be inlined, in program order, those that leave no expression of too many nested functions.

    An exponential is written out with what it is of in several places, and so is an exponential of that: what such a
    chain compiles to doubles with every link. It is cut where a value is stored.
    """
    nested: dict[BufferFacts, int] = {}
    kept = []
    for block in program.blocks:
        depth = _functions(block) + max((nested.get(access.buffer, 0) for access in block.reads), default=0)
        if block.name in names and depth <= _MOST_NESTED:
            kept.append(block.name)
            nested[block.output] = depth
    return kept


def _functions(block: BlockFacts) -> int:
    """How many functions that are computed by many instructions are in a block."""
    found: list[str] = []

    def visit(call: Call) -> None:
        name = str(getattr(call.op, "name", ""))
        if name in _LONG_FUNCTIONS:
            found.append(name)

    tvm_ffi.structural_walk(block.block.body, (Call, visit))
    return len(found)


def _moves_operand(program: ProgramFacts, block: BlockFacts) -> bool:
    """Whether the block is a transpose that a contraction takes in."""
    consumers = program.consumers(block)
    return is_transpose(block) and len(consumers) == 1 and consumers[0].kind is BlockKind.CONTRACTION
