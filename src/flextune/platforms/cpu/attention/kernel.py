"""Attention as one kernel: rows of scores are computed into a buffer of the task, normalised, and multiplied at once.

A task is some strips of query rows of one matrix. For every strip

    scores  = score(query rows x packed keys)     register tiles; the largest score per lane is kept beside them
    weights = exp(scores - largest)               and their sum
    result += weights x values                    register tiles; divided by the sum at the end

so that scores never leave the core's cache. In bfloat16 both products take pairs (`attention.pairs`): queries, keys,
values and weights are rounded as they are brought into order, all else is float32.

With blocks of keys (`key_block` smaller than the keys) this is the online softmax of Milakov and Gimelshein (2018,
algorithm 3), blocked as by Dao et al. (2022): largest scores, sums and results of the task's rows are kept between
blocks, and rescaled when a larger score turns up.
"""

from __future__ import annotations

from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.attention_facts import read_attention
from flextune.errors import ScheduleError
from flextune.platforms.cpu.attention.attention_tiles import AttentionTiles, KeyBlock, Layout, block
from flextune.platforms.cpu.attention.packing import load_queries, pack_keys, pack_values
from flextune.platforms.cpu.attention.scores import strip_scores, strip_weights
from flextune.platforms.cpu.attention.statements import PARALLEL, index, loop, sequence
from flextune.platforms.cpu.attention.values import finish_rows, start_rows, strip_values
from flextune.tvm_types import Expression, PrimFunc, Statement


def attention_kernel(function: PrimFunc, tiles: AttentionTiles) -> PrimFunc:
    """The attention that `function` computes, as one kernel. ScheduleError where it is none, or the sizes are wrong."""
    facts = read_attention(function)
    if facts is None:
        raise ScheduleError("the program is no attention")
    tiles.check(facts)
    layout = Layout(facts, tiles)
    body = [loop(layout.matrices * layout.row_blocks, lambda task: _task(layout, task), "task", PARALLEL)]
    if tiles.keys_before:
        body.insert(0, loop(layout.matrices, lambda matrix: _packing(layout, matrix), "matrix", PARALLEL))
    shared = [layout.packed_keys] if tiles.keys_before else []
    root = SBlockRealize([], True, SBlock([], [], [], "root", sequence(body), alloc_buffers=shared))
    return tirx.PrimFunc(list(function.params), root, function.ret_type, attrs=function.attrs)


def _packing(layout: Layout, matrix: Expression) -> Statement:
    """All keys of a matrix packed, before any task."""
    keys = layout.facts.keys
    start = matrix * (layout.depth_steps * layout.padded_keys)
    whole = KeyBlock(layout.batch_of(matrix), index(0), index(0), keys, start)
    return block("pack_keys", pack_keys(layout, whole), layout.facts.key.reads(), [layout.packed_keys], [])


def _task(layout: Layout, task: Expression) -> Statement:
    """Some strips of a matrix: block after block of keys."""
    facts = layout.facts
    matrix, row_block = tirx.floordiv(task, layout.row_blocks), tirx.floormod(task, layout.row_blocks)
    batch, first_row = layout.batch_of(matrix), row_block * layout.task_rows
    whole, rest = divmod(facts.keys, layout.key_block)

    def keys(place: Expression, size: int) -> Statement:
        start = place * layout.key_block
        before = matrix * (layout.depth_steps * layout.padded_keys) + start * layout.depth_steps
        return _strips(
            layout, KeyBlock(batch, first_row, start, size, before if layout.tiles.keys_before else index(0))
        )

    body = [loop(whole, lambda place: keys(place, layout.key_block), "key_block")]
    body += [keys(index(whole), rest)] if rest else []
    if layout.online:
        last = KeyBlock(batch, first_row, index(0), facts.keys, index(0))
        body = [start_rows(layout), *body, finish_rows(layout, last)]
    shared = [layout.packed_keys] if layout.tiles.keys_before else []
    return block("attention", sequence(body), [*facts.reads(), *shared], [facts.output], layout.own_buffers())


def _strips(layout: Layout, keys: KeyBlock) -> Statement:
    """All strips of a task with one block of keys."""

    def strip(place: Expression) -> Statement:
        row = place * layout.tiles.rows
        return sequence(
            [
                load_queries(layout, keys, row),
                strip_scores(layout, keys, row),
                strip_weights(layout, row, keys.size),
                strip_values(layout, keys, row),
            ]
        )

    packing = [] if layout.tiles.keys_before else [pack_keys(layout, keys)]
    packing += [pack_values(layout, keys)] if layout.tiles.pack_values else []
    return sequence([*packing, loop(layout.tiles.strips, strip, "strip")])
