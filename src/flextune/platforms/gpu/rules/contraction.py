"""Contractions: which iterators are rows, columns and steps, and what rules for tiles of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from flextune.analysis.program_facts import Access, BlockFacts, BlockKind, ProgramFacts
from flextune.csp import Divides, Prod, Sum
from flextune.platforms.gpu.contraction_step import ContractionStep
from flextune.platforms.gpu.limits import GpuLimits
from flextune.platforms.gpu.matrix_form import MatrixAxes
from flextune.schedule.space import Draft, VariableRole
from flextune.workload.element_type import element_type

LARGEST_TILE = 256

_LEAST_EXTENT = 8
"""Of rows and columns together with the reduction: smaller products are left to one thread per element."""


class ContractionRule:
    """A rule at work on one contraction: its variables and constraints by their purposes."""

    def __init__(
        self, rule: str, draft: Draft, block: BlockFacts, axes: MatrixAxes, limits: GpuLimits, prefix: str
    ) -> None:
        self.rule, self.draft, self.block, self.axes, self.limits, self.prefix = (
            rule, draft, block, axes, limits, prefix
        )  # fmt: skip
        self.rows, self.columns, self.steps = (
            size_of(block, names) for names in (axes.rows, axes.columns, axes.reduce)
        )
        self.operands = {"left": axes.left, "right": 1 - axes.left}
        self.bytes = {
            side: element_type(block.reads[operand].buffer.dtype).bytes for side, operand in self.operands.items()
        }
        draft.used(rule)

    def variable(self, purpose: str, *values: int) -> str:
        return self.draft.variable(VariableRole(purpose, prefix=self.prefix), values)

    def derived(self, purpose: str) -> str:
        return self.draft.derived(VariableRole(purpose, prefix=self.prefix))

    def label(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def copy_variables(self) -> dict[str, str]:
        """How long copies into shared memory are, and by how much rows are longer there."""
        found: dict[str, str] = {}
        for side, operand in self.operands.items():
            found[f"{side}_vector"] = self.variable(f"{side}_vector", *copy_widths(self.block, operand, self.limits))
            found[f"{side}_pad"] = self.variable(f"{side}_pad", 0, self.limits.copy_bytes // self.bytes[side])
        return found

    def tile_bytes(self, side: str, other: str, names: Mapping[str, str]) -> str:
        """The bytes of a tile with its padding; its copies are shared evenly, and start where they are aligned."""
        inside = self.axes.left_rows_inside if side == "left" else self.axes.right_columns_inside
        row, outer = (other, names["depth"]) if inside else (names["depth"], other)
        padded, total = self.derived(f"{side}_row"), self.derived(f"{side}_bytes")
        copied, share = self.derived(f"{side}_copied"), self.derived(f"{side}_share")
        threads, vector = VariableRole("threads", prefix=self.prefix).name, names[f"{side}_vector"]
        self.draft.require(
            Sum(padded, (row, names[f"{side}_pad"]), name=f"{padded}_sum", rule=self.rule),
            Prod(total, (outer, padded, self.bytes[side]), name=f"{total}_count", rule=self.rule),
            Prod(copied, (row, outer), name=f"{copied}_count", rule=self.rule),
            Prod(share, (threads, vector), name=f"{share}_count", rule=self.rule),
            Divides(share, copied, name=self.label(f"{side}_copies_even"), rule=self.rule,
                    reason="every thread copies equally much of a tile"),
            Divides(vector, row, name=self.label(f"{side}_copies_aligned"), rule=self.rule,
                    reason="a copy lies in one row of the tile, at a multiple of its length"),
        )  # fmt: skip
        return total

    def add(self, kind: Callable[..., ContractionStep], names: Mapping[str, str]) -> None:
        """The step, which computes what surrounds the contraction too."""
        axes, inlined = self.axes, surrounding_blocks(self.draft.program, self.block)
        self.draft.add(
            kind(
                self.block.name, axes.batch, axes.rows, axes.columns, axes.reduce, axes.left,
                int(axes.left_rows_inside), int(axes.right_columns_inside), inlined, **names,
            )
        )  # fmt: skip
        self.draft.scheduled |= {self.block.name, *inlined}


def product_axes(block: BlockFacts) -> MatrixAxes | None:
    """A contraction's iterators by what they are; None where it is no product of two matrices."""
    if block.kind is not BlockKind.CONTRACTION or block.is_symbolic or len(block.reads) != 2:
        return None
    if block.reads[0].buffer == block.reads[1].buffer:
        return None
    used = [access.iterators for access in block.reads]
    if any(not (it.name in used[0] and it.name in used[1]) for it in block.reduce):
        return None
    if block.writes[0].plain_axes() is None:
        return None
    spatial = [it.name for it in block.spatial]
    batch = tuple(name for name in spatial if name in used[0] and name in used[1])
    own = [tuple(name for name in spatial if name in used[side] and name not in used[1 - side]) for side in (0, 1)]
    if len(batch) + len(own[0]) + len(own[1]) != len(spatial) or not own[0] or not own[1]:
        return None
    innermost = [name for name in spatial if block.extent(name) > 1][-1:]
    right = 0 if innermost and innermost[0] in own[0] else 1
    left = 1 - right
    inside = [_contiguous(block.reads[side], own[side]) for side in (left, right)]
    reduce = tuple(it.name for it in block.reduce)
    return MatrixAxes(batch, own[left], own[right], reduce, left, inside[0], inside[1])


def _contiguous(access: Access, names: Sequence[str]) -> bool:
    """Whether memory is contiguous along one of these iterators."""
    return any(access.stride_of(name) == 1 for name in names)


def size_of(block: BlockFacts, names: Sequence[str]) -> int:
    return math.prod(block.extent(name) for name in names)


def tileable(block: BlockFacts, axes: MatrixAxes) -> bool:
    """Whether there is enough to reuse for a tile to be worth its padding."""
    rows, columns, steps = (size_of(block, names) for names in (axes.rows, axes.columns, axes.reduce))
    return min(rows, columns) >= _LEAST_EXTENT and steps >= _LEAST_EXTENT


def copy_widths(block: BlockFacts, operand: int, limits: GpuLimits) -> list[int]:
    """Elements of an operand per copy, where memory is contiguous and aligned for them."""
    access = block.reads[operand]
    size = element_type(access.buffer.dtype).bytes
    row = access.buffer.shape[-1] if access.plain_axes() is not None else 1
    whole = all(it.extent % LARGEST_TILE == 0 for it in block.iterators)
    widest = limits.copy_bytes // size if whole else 4  # TVM has no longer vectors of zeros for what lies past the end
    return [n for n in (1, 2, 4, 8, 16) if n * size <= limits.copy_bytes and n <= widest and row % n == 0]


def tile_extents(extent: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes that are at most twice an extent, or the smallest."""
    return tuple(size for size in sizes if size < 2 * extent) or (min(sizes),)


def surrounding_blocks(program: ProgramFacts, block: BlockFacts) -> tuple[str, ...]:
    """Blocks that only feed this one and only move elements, and the chain of element-wise blocks after it."""
    found: list[str] = []
    front = [block]
    while front:
        for producer in program.producers(front.pop()):
            if is_cheap(producer) and all(each.name in (*found, block.name) for each in program.consumers(producer)):
                found.append(producer.name)
                front.append(producer)
    last = block
    while True:
        consumers = program.consumers(last)
        if len(consumers) != 1 or not follows(consumers[0], last) or last.output.parameter is not None:
            return tuple(found)
        last = consumers[0]
        found.append(last.name)


def is_cheap(block: BlockFacts) -> bool:
    """Whether a block may be computed again wherever it is read: padding, casts, reshapes."""
    return block.kind is BlockKind.ELEMENTWISE and len(block.reads) == 1


def follows(block: BlockFacts, producer: BlockFacts) -> bool:
    """Whether a block has an element for each of the producer's, at the same place, and reads it once."""
    if block.kind is not BlockKind.ELEMENTWISE or block.is_symbolic:
        return False
    reads = [access for access in block.reads if access.buffer == producer.output]
    own = tuple(it.name for it in block.spatial)
    extents = [it.extent for it in block.spatial] == list(producer.output.shape)
    return len(reads) == 1 and extents and _identity(reads[0], own) and _identity(block.writes[0], own)


def _identity(access: Access, names: tuple[str, ...]) -> bool:
    axes = access.plain_axes()
    return (
        axes is not None
        and all(axis in (name, None) for axis, name in zip(axes, names, strict=True))
        and (len(axes) == len(names))
    )
