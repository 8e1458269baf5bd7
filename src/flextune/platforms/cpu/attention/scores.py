"""The scores of a strip, and what they become: weights that the values are multiplied with."""

from __future__ import annotations

import math
from functools import partial

from tvm import tirx

from flextune.platforms.cpu.attention.attention_tiles import LOWEST, KeyBlock, Layout, Panels, holding, panels
from flextune.platforms.cpu.attention.pairs import LANES
from flextune.platforms.cpu.attention.products import products
from flextune.platforms.cpu.attention.statements import (
    UNROLLED,
    apart,
    fold_lanes,
    index,
    lanes,
    line,
    loop,
    number,
    product_tile,
    ramp,
    sequence,
    vectors,
)
from flextune.tvm_types import Buffer, Expression, Statement
from flextune.workload.rounding import bfloat16_of


def strip_scores(layout: Layout, block: KeyBlock, row: Expression) -> Statement:
    """Scores of a strip, its first one being `row` of the task, and the largest of every lane of a row."""
    tiles = layout.tiles

    def clear(place: Expression) -> Statement:
        return tirx.BufferStore(layout.largest, number(LOWEST), [place])

    kinds = panels(block.size, tiles.score_vectors, tiles.lanes)
    found = [loop(kind.count, partial(_score_tile, layout, block, row, kind), "panel") for kind in kinds]
    return sequence([vectors(tiles.rows * tiles.lanes, tiles.lanes, clear), *found])


def _score_tile(layout: Layout, block: KeyBlock, row: Expression, kind: Panels, panel: Expression) -> Statement:
    facts, tiles, step = layout.facts, layout.tiles, layout.tiles.lanes
    width = kind.vectors * step
    first = panel * width + kind.first
    accumulators = line("score_tile", tiles.rows * width, "local")

    def left(i: Expression, d: Expression) -> Expression:
        return tirx.BufferLoad(layout.queries, [i * layout.query_stride + d])

    def right(d: Expression, c: Expression) -> Expression:
        return tirx.BufferLoad(layout.packed_keys, [block.packed + first * layout.depth_steps + d * width + c])

    def store(v: int, i: Expression) -> Statement:
        inside = min(step, kind.true - v * step)

        def place(lane: Expression) -> list[Expression]:
            return [i * layout.score_stride + first + v * step + lane]

        def keep(lane: Expression) -> Statement:
            where = [*block.batch, layout.row(block.first_row + row + i), block.start + first + v * step + lane]
            score = facts.score.at(where, tirx.BufferLoad(accumulators, [i * width + v * step + lane]))
            return tirx.BufferStore(layout.scores, score, place(lane))

        def beyond(lane: Expression) -> Statement:
            return tirx.BufferStore(layout.scores, number(-math.inf), place(inside + lane))

        def compare(lane: Expression) -> Statement:
            known, score = (
                tirx.BufferLoad(layout.largest, [i * step + lane]),
                tirx.BufferLoad(layout.scores, place(lane)),
            )
            return tirx.BufferStore(layout.largest, tirx.max(known, score), [i * step + lane])

        tail = [lanes(step - inside, beyond)] if inside < step else []
        return sequence([lanes(inside, keep), *tail, lanes(step, compare)])

    shape = (tiles.rows, width, step)
    add = products(layout, accumulators, shape, left, right)
    tile = product_tile(accumulators, shape, layout.depth_steps, add, unroll=tiles.unroll)
    stores = [loop(tiles.rows, partial(store, v), "i", UNROLLED) for v in range(kind.vectors)]
    return holding([accumulators], sequence([tile, *stores]))


def strip_weights(layout: Layout, row: Expression, size: int) -> Statement:
    """Scores become exp(score - largest); their sums, and what results are multiplied by, are kept by row."""
    return apart("weights", loop(layout.tiles.rows, partial(_row_weights, layout, row, size), "i"))


def _row_weights(layout: Layout, row: Expression, size: int, i: Expression) -> Statement:
    step = layout.tiles.lanes
    tops, sums = line("lane_largest", step, "local"), line("lane_sums", step, "local")
    largest = tirx.BufferLoad(tops, [index(0)])

    def clear(lane: Expression) -> Statement:
        return tirx.BufferStore(sums, number(0), [lane])

    def load(lane: Expression) -> Statement:
        return tirx.BufferStore(tops, tirx.BufferLoad(layout.largest, [i * step + lane]), [lane])

    def vector(v: Expression) -> Statement:
        def place(lane: Expression) -> list[Expression]:
            return [i * layout.score_stride + v * step + lane]

        def weigh(lane: Expression) -> Statement:
            weight = tirx.exp(tirx.BufferLoad(layout.scores, place(lane)) - largest)
            return tirx.BufferStore(layout.scores, weight, place(lane))

        def add(lane: Expression) -> Statement:
            total = tirx.BufferLoad(sums, [lane]) + tirx.BufferLoad(layout.scores, place(lane))
            return tirx.BufferStore(sums, total, [lane])

        rounds = [_round_weights(layout, i, v)] if layout.facts.narrow else []
        return sequence([lanes(step, weigh), lanes(step, add), *rounds])

    body = [
        lanes(step, load),
        fold_lanes(tops, step, tirx.max),
        *([_raise_largest(layout, tops, i, row + i)] if layout.online else []),
        lanes(step, clear),
        loop(math.ceil(size / step), vector, "v"),
        fold_lanes(sums, step, lambda left, right: left + right),
        _keep_total(layout, i, row + i, tirx.BufferLoad(sums, [index(0)])),
    ]
    return holding([tops, sums], sequence(body))


def _round_weights(layout: Layout, i: Expression, v: Expression) -> Statement:
    """A vector of a row's weights as pairs; their sum is that of the weights before."""
    weights = tirx.BufferLoad(layout.scores, [ramp(i * layout.score_stride + v * LANES, LANES)])
    pairs = tirx.reinterpret(f"int32x{LANES // 2}", bfloat16_of(weights))
    place = i * layout.weight_stride + v * (LANES // 2)
    return tirx.BufferStore(layout.weights, pairs, [ramp(place, LANES // 2)])


def _raise_largest(layout: Layout, tops: Buffer, i: Expression, row: Expression) -> Statement:
    """The largest score so far, and what rescales all that was summed before."""
    first = [index(0)]
    before, now = tirx.BufferLoad(layout.kept_largest, [row]), tirx.BufferLoad(tops, first)
    return sequence(
        [
            tirx.BufferStore(tops, tirx.max(before, now), first),
            tirx.BufferStore(layout.factors, tirx.exp(before - tirx.BufferLoad(tops, first)), [i]),
            tirx.BufferStore(layout.kept_largest, tirx.BufferLoad(tops, first), [row]),
        ]
    )


def _keep_total(layout: Layout, i: Expression, row: Expression, total: Expression) -> Statement:
    if layout.online:
        before = tirx.BufferLoad(layout.kept_totals, [row]) * tirx.BufferLoad(layout.factors, [i])
        return tirx.BufferStore(layout.kept_totals, before + total, [row])
    kept = tirx.BufferStore(layout.totals, total, [i])
    return sequence([kept, tirx.BufferStore(layout.factors, number(1.0) / total, [i])])
