"""Contractions as one product of matrices: `C[b, m, n] = sum_k A[b, m, k] * B[b, k, n]` over padded tiles.

Whatever its index expressions, a contraction whose iterators fall into these four groups becomes that product: both
operands are copied tile by tile into the order that the product wants (for a convolution this is the implicit gemm),
with zeros where a tile reaches past the end, and what is past the end of the result is not stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvm.tirx.function import IndexMap

from flextune.tvm_types import BlockHandle, Expression, Schedule


@dataclass(frozen=True, slots=True)
class MatrixAxes:
    """The iterators of a contraction by what they are in the product, and how the operands lie.

    `left_rows_inside` and `right_columns_inside` tell whether the tiles of the operands have k as their outer axis, as
    is best where memory is contiguous along the other.
    """

    batch: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    reduce: tuple[str, ...]
    left: int
    """Which operand of the program holds the rows: 0 or 1."""
    left_rows_inside: bool = False
    right_columns_inside: bool = False

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """In the order of the product's loops."""
        return (self.batch, self.rows, self.columns, self.reduce)

    def operand_groups(self, left: bool) -> tuple[tuple[str, ...], ...]:
        """In the order of the tile's axes."""
        other, inside = (self.rows, self.left_rows_inside) if left else (self.columns, self.right_columns_inside)
        return (self.batch, self.reduce, other) if inside else (self.batch, other, self.reduce)


@dataclass(frozen=True, slots=True)
class MatrixForm:
    """The blocks of the product: the one that multiplies, those that copy its operands, and the one that stores."""

    product: BlockHandle
    left: BlockHandle
    right: BlockHandle
    store: BlockHandle


def matrix_form(
    schedule: Schedule, block: str, axes: MatrixAxes, tile: tuple[int, int, int], inlined: Sequence[str]
) -> MatrixForm:
    """Bring `block` into this form, for tiles of so many rows, columns and steps.

    Blocks before it named in `inlined` are computed as operands are copied, those after it as the result is stored.
    """
    product = schedule.get_sblock(block)
    extents = {_name(it.var): int(it.dom.extent) for it in schedule.get(product).iter_vars}
    stages = [schedule.reindex(product, ("read", index)) for index in (axes.left, 1 - axes.left)]
    store = schedule.reindex(product, ("write", 0))
    for stage in stages:
        _inline_producers(schedule, stage, inlined)
    for index, groups in ((axes.left, axes.operand_groups(True)), (1 - axes.left, axes.operand_groups(False))):
        stage = stages[0] if index == axes.left else stages[1]
        names = _index_names(schedule.get(product).reads[index])
        mapping = _fused(names, groups, extents)
        schedule.transform_block_layout(stage, _index_map(mapping, len(names)))
        schedule.transform_layout(product, ("read", index), _index_map(mapping, len(names)))
    written = _index_names(schedule.get(product).writes[0])
    mapping = _fused(written, (axes.batch, axes.rows, axes.columns), extents)
    schedule.transform_layout(product, ("write", 0), _index_map(mapping, len(written)))
    iterators = list(extents)
    mapping = _fused(iterators, axes.groups(), extents)
    schedule.transform_block_layout(product, _index_map(mapping, len(iterators)))
    store = _padded(schedule, product, store, ([1] if axes.batch else []) + list(tile))
    store = _inline_consumers(schedule, store, inlined)
    mapping = _fused(written, (axes.batch, axes.rows, axes.columns), extents)
    schedule.transform_block_layout(store, _index_map(mapping, len(written)))
    left, right = (_inlined_into_padding(schedule, product, index) for index in (axes.left, 1 - axes.left))
    return MatrixForm(product, left, right, store)


def _padded(schedule: Schedule, product: BlockHandle, store: BlockHandle, tile: Sequence[int]) -> BlockHandle:
    """Pad the product to whole tiles; the block that stores its result reads the padded one."""
    schedule.pad_einsum(product, list(tile))
    [consumer] = schedule.get_consumers(product)
    if schedule.get(consumer) != schedule.get(store):
        schedule.compute_inline(consumer)
    return store


def _inlined_into_padding(schedule: Schedule, product: BlockHandle, index: int) -> BlockHandle:
    """The block that writes an operand of the product, with the one that it copies in it."""
    source = schedule.get(product).reads[index].source
    [stage] = [each for each in schedule.get_producers(product) if schedule.get(each).writes[0].source.same_as(source)]
    before = schedule.get_producers(stage)
    if len(before) == 1 and schedule.get(before[0]).name_hint.endswith("_reindex"):
        schedule.compute_inline(before[0])
    return stage


def _inline_producers(schedule: Schedule, stage: BlockHandle, inlined: Sequence[str]) -> None:
    while found := [each for each in schedule.get_producers(stage) if schedule.get(each).name_hint in inlined]:
        schedule.compute_inline(found[0])


def _inline_consumers(schedule: Schedule, store: BlockHandle, inlined: Sequence[str]) -> BlockHandle:
    while True:
        found = [each for each in schedule.get_consumers(store) if schedule.get(each).name_hint in inlined]
        if not found:
            return store
        schedule.compute_inline(store)
        store = found[0]


def _index_names(region: Expression) -> list[str]:
    return [_name(each.min) for each in region.region]


def _name(variable: Expression) -> str:
    return str(variable.name).removeprefix("v_")


Mapping = Callable[..., list[Expression]]


def _fused(names: Sequence[str], groups: Sequence[Sequence[str]], extents: dict[str, int]) -> Mapping:
    """The index map that fuses each group of iterators into one axis."""

    def mapping(*index: Expression) -> list[Expression]:
        at = dict(zip(names, index, strict=True))
        return [_one_axis([(at[name], extents[name]) for name in group if name in at]) for group in groups if group]

    return mapping


def _one_axis(parts: Sequence[tuple[Expression, int]]) -> Expression:
    value: Expression = 0
    for part, extent in parts:
        value = value * extent + part
    return value


def _index_map(mapping: Mapping, dimensions: int) -> Expression:
    return IndexMap.from_func(mapping, ndim=dimensions, index_dtype="int32")


def padded(extent: int, tile: int) -> int:
    """The extent in whole tiles."""
    return math.ceil(extent / tile) * tile
