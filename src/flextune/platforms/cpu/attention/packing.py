"""What an attention kernel brings into order first: transposed panels of keys, values, query rows of a strip."""

from __future__ import annotations

from functools import partial

from tvm import tirx

from flextune.platforms.cpu.attention.attention_tiles import KeyBlock, Layout, Panels, holding, panels
from flextune.platforms.cpu.attention.pair_packing import load_query_pairs, pack_panel_pairs, pack_value_pairs
from flextune.platforms.cpu.attention.statements import (
    index,
    lanes,
    line,
    loop,
    number,
    ramp,
    sequence,
    transposed_square,
    vectors,
)
from flextune.tvm_types import Expression, Statement


def pack_keys(layout: Layout, block: KeyBlock) -> Statement:
    """Panels of keys as wide as a register tile, transposed. What fills the last vector is not used."""
    pack = pack_panel_pairs if layout.facts.narrow else _pack_panel
    return sequence(
        [
            loop(kind.count, partial(pack, layout, block, kind), "panel")
            for kind in panels(block.size, layout.tiles.score_vectors, layout.tiles.lanes)
        ]
    )


def _pack_panel(layout: Layout, block: KeyBlock, kind: Panels, panel: Expression) -> Statement:
    key, depth, step = layout.facts.key, layout.facts.depth, layout.tiles.lanes
    width = kind.vectors * step
    first = panel * width + kind.first
    base = block.packed + first * depth

    def read(d: Expression, j: Expression) -> Expression:
        place = first + j if kind.true == width else tirx.min(first + j, index(block.size - 1))
        return key.at([*block.batch, d, block.start + place])

    def copied(before: int) -> Statement:
        """All of the keys' elements from `before` on, vectors along the keys."""

        def copy(d: Expression, j: Expression) -> Statement:
            return tirx.BufferStore(layout.packed_keys, read(d + before, j), [base + (d + before) * width + j])

        return loop(depth - before, lambda d: vectors(width, step, lambda j: copy(d, j)), "d")

    def square(v: Expression, d: Expression) -> Statement:
        work = [line(f"square{half}", step * step, "local") for half in range(2)]

        def store(column: int, value: Expression) -> Statement:
            place = base + (d * step + column) * width + v * step
            return tirx.BufferStore(layout.packed_keys, value, [ramp(place, step)])

        def load(j: int) -> Statement:
            def load_lane(lane: Expression) -> Statement:
                return tirx.BufferStore(work[0], read(d * step + lane, v * step + j), [j * step + lane])

            return lanes(step, load_lane)

        return holding(work, transposed_square(step, load, store, work))

    if key.contiguous_in(-1) or not key.contiguous_in(-2) or depth < step:
        return copied(0)
    squares = loop(kind.vectors, lambda v: loop(depth // step, lambda d: square(v, d), "d"), "v")
    return squares if depth % step == 0 else sequence([squares, copied(depth - depth % step)])


def pack_values(layout: Layout, block: KeyBlock) -> Statement:
    """Rows of values one behind the other, whole vectors each; zeros fill the last one."""
    columns, padded = layout.facts.columns, layout.padded_columns
    if layout.facts.narrow:
        return pack_value_pairs(layout, block)

    def row(k: Expression) -> Statement:
        def copy(c: Expression) -> Statement:
            value = layout.facts.value.at([*block.batch, block.start + k, c])
            return tirx.BufferStore(layout.packed_values, value, [k * padded + c])

        def clear(lane: Expression) -> Statement:
            return tirx.BufferStore(layout.packed_values, number(0), [k * padded + columns + lane])

        found = [vectors(columns, layout.tiles.lanes, copy)]
        return sequence([*found, lanes(padded - columns, clear)] if padded > columns else found)

    return loop(block.size, row, "k")


def load_queries(layout: Layout, block: KeyBlock, row: Expression) -> Statement:
    """The query rows of a strip, its first one being `row` of the task."""
    depth = layout.facts.depth
    if layout.facts.narrow:
        return load_query_pairs(layout, block, row)

    def load(i: Expression) -> Statement:
        def copy(d: Expression) -> Statement:
            value = layout.facts.query.at([*block.batch, layout.row(block.first_row + row + i), d])
            return tirx.BufferStore(layout.queries, value, [i * depth + d])

        return vectors(depth, layout.tiles.lanes, copy)

    return loop(layout.tiles.rows, load, "i")
