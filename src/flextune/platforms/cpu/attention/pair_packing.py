"""What an attention in bfloat16 brings into order first: as in `packing`, in pairs of neighbours along the sums."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tvm import tirx

from flextune.platforms.cpu.attention.attention_tiles import KeyBlock, Layout, Panels, holding
from flextune.platforms.cpu.attention.pairs import LANES, line_of_pairs, pairs_across, pairs_along
from flextune.platforms.cpu.attention.statements import index, loop, ramp, sequence, transposed_square
from flextune.tvm_types import Expression, Statement

_ROW = 2 * LANES  # elements of a vector of pairs


def pack_panel_pairs(layout: Layout, block: KeyBlock, kind: Panels, panel: Expression) -> Statement:
    """A panel of keys: for each pair along the depth, that pair of all of its keys."""
    key, depth, width = layout.facts.key, layout.facts.depth, kind.vectors * LANES
    first = panel * width + kind.first
    base = block.packed + first * layout.depth_steps

    def read(d: Expression, j: Expression) -> Expression:
        place = first + j if kind.true == width else tirx.min(first + j, block.size - 1)
        return key.at([*block.batch, d, block.start + place])

    def store(step: Expression, v: Expression, pairs: Expression) -> Statement:
        return tirx.BufferStore(layout.packed_keys, pairs, [ramp(base + step * width + v * LANES, LANES)])

    def across(v: Expression, step: Expression, count: int) -> Statement:
        """Two neighbours along the depth of a vector of keys."""
        rows = [partial(_row, read, 2 * step + half, v * LANES) for half in range(count)]
        return pairs_across(rows, LANES, partial(store, step, v))

    def square(v: Expression, place: Expression, count: int) -> Statement:
        """As many neighbours along the depth as make a vector of pairs, of a vector of keys."""
        work = [line_of_pairs(f"square{half}", LANES * LANES, "local") for half in range(2)]

        def load(j: int) -> Statement:
            def into(pairs: Expression) -> Statement:
                return tirx.BufferStore(work[0], pairs, [ramp(index(j * LANES), LANES)])

            return pairs_along(lambda lane: read(place * _ROW + lane, v * LANES + j), count, into)

        def column(step: int, pairs: Expression) -> Statement | None:
            return store(place * LANES + step, v, pairs) if 2 * step < count else None

        return holding(work, transposed_square(LANES, load, column, work))

    part, length = (across, 2) if key.contiguous_in(-1) else (square, _ROW)
    return loop(kind.vectors, lambda v: _parts(depth, length, partial(part, v)), "v")


def pack_value_pairs(layout: Layout, block: KeyBlock) -> Statement:
    """Pairs of rows of values, whole vectors each; zeros fill the last one."""

    def element(k: Expression, c: Expression) -> Expression:
        return layout.facts.value.at([*block.batch, block.start + k, c])

    def rows(step: Expression, count: int) -> Statement:
        def vector(v: Expression, columns: int) -> Statement:
            def store(pairs: Expression) -> Statement:
                place = step * layout.padded_columns + v * LANES
                return tirx.BufferStore(layout.packed_values, pairs, [ramp(place, LANES)])

            return pairs_across(
                [partial(_row, element, 2 * step + half, v * LANES) for half in range(count)], columns, store
            )

        return _parts(layout.facts.columns, LANES, vector)

    return _parts(block.size, 2, rows)


def load_query_pairs(layout: Layout, block: KeyBlock, row: Expression) -> Statement:
    """The query rows of a strip, its first one being `row` of the task."""

    def load(i: Expression) -> Statement:
        def vector(v: Expression, count: int) -> Statement:
            def read(lane: Expression) -> Expression:
                where = layout.row(block.first_row + row + i)
                return layout.facts.query.at([*block.batch, where, v * _ROW + lane])

            def store(pairs: Expression) -> Statement:
                place = i * layout.query_stride + v * LANES
                return tirx.BufferStore(layout.queries, pairs, [ramp(place, LANES)])

            return pairs_along(read, count, store)

        return _parts(layout.facts.depth, _ROW, vector)

    return loop(layout.tiles.rows, load, "i")


def _row(
    read: Callable[[Expression, Expression], Expression], row: Expression, first: Expression, lane: Expression
) -> Expression:
    return read(row, first + lane)


def _parts(extent: int, length: int, part: Callable[[Expression, int], Statement]) -> Statement:
    """`part(place, length)` for all whole lengths of an extent, and a shorter one for what is left."""
    whole, rest = divmod(extent, length)
    found = [loop(whole, lambda place: part(place, length), "part")] if whole else []
    return sequence([*found, *([part(index(whole), rest)] if rest else [])])
