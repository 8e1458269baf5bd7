"""The product of weights and values, and how results are finished and stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tvm import tirx

from flextune.platforms.cpu.attention.attention_tiles import LOWEST, KeyBlock, Layout, Panels, holding, panels
from flextune.platforms.cpu.attention.products import products
from flextune.platforms.cpu.attention.statements import (
    UNROLLED,
    each,
    index,
    lanes,
    line,
    loop,
    number,
    product_tile,
    sequence,
    vectors,
)
from flextune.tvm_types import Expression, Statement
from flextune.workload.rounding import bfloat16_of


def strip_values(layout: Layout, block: KeyBlock, row: Expression) -> Statement:
    """Results of a strip, its first one being `row` of the task: stored, or kept for the next block of keys."""
    kinds = panels(layout.facts.columns, layout.tiles.value_vectors, layout.tiles.lanes)
    return sequence([loop(kind.count, partial(_value_tile, layout, block, row, kind), "panel") for kind in kinds])


def _value_tile(layout: Layout, block: KeyBlock, row: Expression, kind: Panels, panel: Expression) -> Statement:
    facts, tiles, step = layout.facts, layout.tiles, layout.tiles.lanes
    width = kind.vectors * step
    first = panel * width + kind.first
    accumulators = line("value_tile", tiles.rows * width, "local")

    def left(i: Expression, k: Expression) -> Expression:
        return tirx.BufferLoad(layout.weights, [i * layout.weight_stride + k])

    def right(k: Expression, c: Expression) -> Expression:
        if tiles.pack_values:
            return tirx.BufferLoad(layout.packed_values, [k * layout.padded_columns + first + c])
        return facts.value.at([*block.batch, block.start + k, first + c])

    def place(i: Expression, c: Expression) -> list[Expression]:
        return [(row + i) * layout.padded_columns + first + c]

    def before(i: Expression, c: Expression) -> Expression:
        return tirx.BufferLoad(layout.kept_results, place(i, c)) * tirx.BufferLoad(layout.factors, [i])

    def result(i: Expression, c: Expression) -> Expression:
        return tirx.BufferLoad(accumulators, [i * width + c])

    def keep(i: Expression, v: Expression) -> Statement:
        def keep_lane(lane: Expression) -> Statement:
            return tirx.BufferStore(layout.kept_results, result(i, v * step + lane), place(i, v * step + lane))

        return lanes(step, keep_lane)

    def finish(i: Expression) -> Statement:
        scale = _Scale(tirx.BufferLoad(layout.totals, [i]), tirx.BufferLoad(layout.factors, [i]))
        return _store_row(layout, block, row + i, (first, kind.true), partial(result, i), scale)

    start = before if layout.online else None
    shape = (tiles.rows, width, step)
    add = products(layout, accumulators, shape, left, right)
    tile = product_tile(accumulators, shape, layout.key_steps(block.size), add, start, tiles.unroll)
    last = each((tiles.rows, kind.vectors), keep) if layout.online else loop(tiles.rows, finish, "i", UNROLLED)
    return holding([accumulators], sequence([tile, last]))


class _Scale:
    """The sum of a row's weights, and one over it."""

    def __init__(self, total: Expression, factor: Expression) -> None:
        self.total, self.factor = total, factor

    def of(self, value: Expression, guarded: bool) -> Expression:
        """The value over the sum. Guarded, where that is NaN: 0; with a sum of 0 all weights are 0 themselves."""
        if not guarded:
            return value * self.factor
        nothing = tirx.Select(self.total >= 0, value, number(0))
        return tirx.Select(self.total > 0, value * self.factor, nothing)


def _store_row(
    layout: Layout,
    block: KeyBlock,
    row: Expression,
    columns: tuple[Expression, int],
    value: Callable[[Expression], Expression],
    scale: _Scale,
) -> Statement:
    """The finished elements of a row of the task, if there is such a row: so many columns from the first one on."""
    facts, step, (first, count) = layout.facts, layout.tiles.lanes, columns

    def store(c: Expression) -> Statement:
        where = [*block.batch, block.first_row + row, first + c]
        result = facts.result.at(where, scale.of(value(c), facts.guarded))
        stored = bfloat16_of(result) if facts.rounds_result else result
        return tirx.BufferStore(facts.output, stored, [axis.at(where) for axis in facts.target])

    def vector(start: int, lane: Expression) -> Statement:
        return store(start + lane)

    starts = range(0, count, step)
    stored = sequence([lanes(min(step, count - start), partial(vector, start)) for start in starts])
    is_there = block.first_row + row < facts.queries
    return tirx.IfThenElse(is_there, stored, None) if layout.ragged else stored


def start_rows(layout: Layout) -> Statement:
    """Nothing is summed before the first block of keys."""
    rows = layout.task_rows
    cleared = ((layout.kept_results, 0.0, rows * layout.padded_columns), (layout.kept_totals, 0.0, rows))
    return sequence(
        [
            vectors(extent, layout.tiles.lanes, partial(_set, buffer, value))
            for buffer, value, extent in (*cleared, (layout.kept_largest, LOWEST, rows))
        ]
    )


def _set(buffer: Expression, value: float, place: Expression) -> Statement:
    return tirx.BufferStore(buffer, number(value), [place])


def finish_rows(layout: Layout, block: KeyBlock) -> Statement:
    """After the last block of keys the results of all rows of the task are stored."""

    def finish(row: Expression) -> Statement:
        total = tirx.BufferLoad(layout.kept_totals, [row])

        def value(c: Expression) -> Expression:
            return tirx.BufferLoad(layout.kept_results, [row * layout.padded_columns + c])

        columns = (index(0), layout.facts.columns)
        return _store_row(layout, block, row, columns, value, _Scale(total, number(1.0) / total))

    return loop(layout.task_rows, finish, "row")
