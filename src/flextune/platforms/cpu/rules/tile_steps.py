"""The steps of a register tile: the storing nest, the accumulating nest in it, data stages, packing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flextune.analysis.program_facts import BlockFacts
from flextune.platforms.cpu.rules.stages import copied_width, follows_vector
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.schedule.rewriting_steps import Restage
from flextune.schedule.stage_names import data_block_name, pack_block_name
from flextune.schedule.step import Factor, Step
from flextune.schedule.steps import (
    Choose,
    ComputeAt,
    Decompose,
    Fuse,
    ImportCode,
    Inline,
    Loops,
    Mark,
    Reorder,
    Split,
    Tensorize,
)


def tile_steps(tile: TileGeometry, inlined: frozenset[str]) -> list[Step]:
    """All steps of the tile; epilogue blocks in `inlined` are inlined already."""
    between = [block.name for block in tile.anchor.chain.blocks[:-1] if block.name not in inlined]
    return [
        _restage(tile),
        *map(Inline, between),
        *_storing_nest(tile),
        *_accumulating_nest(tile),
        *(_stage_steps(tile, stage) for stage in tile.stages),
        *([ComputeAt(data_block_name(tile.facts.name), parallel_loop(tile))] if tile.copies_data else []),
        *_pack_steps(tile),
        *_init_steps(tile),
    ]


def _restage(tile: TileGeometry) -> Step:
    anchor = tile.anchor
    tiles: list[tuple[str, tuple[Factor, ...]]] = [(axis, (tile.name("tile", axis),)) for axis in tile.row_axes]
    tiles.append((tile.vector, (tile.name("vectors"), tile.name("lanes"))))
    return Restage(
        tile.facts.name,
        tuple(tiles),
        tile.vector,
        operand=anchor.packed,
        outer=(*tile.packed_outer, *tile.packed_reduce),
        group=tile.group,
        fuse=anchor.last is not None,
        when=tile.name("pack") if anchor.packed is not None and not anchor.must_pack else None,
    )


# the nest that stores the finished result: grid x cache tiles x register tile


@dataclass(frozen=True, slots=True)
class _Levels:
    """One loop of the storing block split into levels, outermost first. `factors` pairs names with sizes."""

    axis: str | None
    factors: tuple[tuple[str, Factor], ...]
    cached: bool

    @property
    def grid(self) -> str:
        return self.factors[0][0]

    @property
    def cache(self) -> tuple[str, ...]:
        return (self.factors[1][0],) if self.cached else ()

    @property
    def inner(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.factors[2:])


def _levels(tile: TileGeometry, loop: str) -> _Levels:
    axis = tile.axis_of_loop[loop]
    if axis is None or (axis not in tile.outer_axes and axis != tile.vector):
        return _Levels(axis, ((tile.loop("out", loop), None),), cached=False)
    parts = ["cache"] + (["tile"] if axis in tile.row_axes else [])
    factors: list[tuple[str, Factor]] = [(tile.loop("grid", axis), None)]
    factors += [(tile.loop(part, axis), tile.name(part, axis)) for part in parts]
    if axis == tile.vector:
        factors += [(tile.loop(part, axis), tile.name(part)) for part in ("vectors", "lanes")]
    return _Levels(axis, tuple(factors), cached=True)


def parallel_loop(tile: TileGeometry) -> str:
    """The fused loop over the grid."""
    return tile.loop("grid", "all")


def _storing_nest(tile: TileGeometry) -> list[Step]:
    levels = [_levels(tile, loop) for loop in tile.axis_of_loop]
    names = {loop: tile.loop("out", loop) for loop in tile.axis_of_loop}
    splits = [
        Split(name, tuple(factor for _, factor in level.factors), tuple(part for part, _ in level.factors))
        for name, level in zip(names.values(), levels, strict=True)
        if level.cached
    ]
    return [Loops(tile.store_block, tuple(names.values())), *splits, *_order_steps(tile, levels)]


def _order_steps(tile: TileGeometry, levels: Sequence[_Levels]) -> list[Step]:
    vector = next(level for level in levels if level.axis == tile.vector)
    others = [level for level in levels if level is not vector]
    grid, rows = [level.grid for level in others], [name for level in others for name in level.cache]
    grids = ((*grid, vector.grid), (vector.grid, *grid))
    caches = ((*rows, *vector.cache), (*vector.cache, *rows))
    inner = tuple(name for level in levels for name in level.inner)
    parallel = parallel_loop(tile)
    at = [ComputeAt(tile.facts.name, order[-1]) for order in caches]
    if not tile.outer_axes:
        order: list[Step] = [Reorder(((*grids[0], *caches[0], *inner),)), Fuse(grids[0], parallel)]
        return [*order, Mark(parallel, "parallel"), at[0], *_store_marks(tile, inner)]
    grid_order, cache_order = tile.name("grid_order"), tile.name("cache_order")
    return [
        Reorder(tuple((*outer, *caches[0], *inner) for outer in grids), grid_order),
        Choose(cache_order, ((), (Reorder((caches[1],)),))),
        Choose(grid_order, tuple((Fuse(outer, parallel),) for outer in grids)),
        Mark(parallel, "parallel"),
        Choose(cache_order, tuple((step,) for step in at)),
        *_store_marks(tile, inner),
    ]


def _store_marks(tile: TileGeometry, inner: Sequence[str]) -> list[Step]:
    """Vector stores where the vector axis is contiguous in the output; otherwise the tile is written element-wise."""
    lanes = tile.loop("lanes", tile.vector)
    if inner[-1] != lanes:
        return []
    return [Mark(lanes, "vectorize"), *(Mark(loop, "unroll") for loop in reversed(inner[:-1]))]


# the nest that accumulates, inside the register tile: reduction outside, then rows, vectors, lanes


def _accumulating_nest(tile: TileGeometry) -> list[Step]:
    rows = [tile.loop("acc", axis) for axis in tile.other_axes]
    reduce = [tile.loop("acc", axis) for axis in tile.reduce_order]
    whole = [tile.loop("acc", axis) for axis in (tile.vector, *(it.name for it in tile.facts.reduce))]
    vectors, lanes, steps, unroll = (tile.loop("acc", part) for part in ("vectors", "lanes", "steps", "unroll"))
    dot: tuple[tuple[str, Factor], ...] = ((tile.loop("acc", "dot"), tile.group),) if tile.group > 1 else ()
    split: tuple[tuple[str, Factor], ...] = ((steps, None), (unroll, tile.name("unroll")), *dot)
    order = (*reduce[:-1], steps, unroll, *rows, vectors, lanes, *(name for name, _ in dot))
    vectorize = [Mark(lanes, "vectorize")] if tile.anchor.intrinsic is None else []
    return [
        Loops(tile.facts.name, (*rows, *whole)),
        Split(tile.loop("acc", tile.vector), (None, tile.name("lanes")), (vectors, lanes)),
        Split(reduce[-1], tuple(factor for _, factor in split), tuple(name for name, _ in split)),
        Reorder((order,)),
        *vectorize,
        *(Mark(loop, "unroll") for loop in (vectors, *reversed(rows), unroll)),
    ]


def _init_steps(tile: TileGeometry) -> list[Step]:
    """Split the zeroing off, and tensorize, last: the primitives before need the reduction whole."""
    init = f"{tile.facts.name}_init"
    loops = [f"{init}.{axis}" for axis in (*tile.other_axes, "vectors", "lanes")]
    first = tile.loop("acc", tile.reduce_order[0] if len(tile.reduce_order) > 1 else "steps")
    steps: list[Step] = [
        Decompose(tile.facts.name, first),
        Loops(init, tuple(loops)),
        Mark(loops[-1], "vectorize"),
        *(Mark(loop, "unroll") for loop in reversed(loops[:-1])),
    ]
    if (intrinsic := tile.anchor.intrinsic) is not None:
        steps.append(Tensorize(tile.loop("acc", "lanes"), intrinsic.name))
        if intrinsic.code is not None:
            steps.append(ImportCode(parallel_loop(tile), intrinsic.code))
    return steps


# what is computed before: data stages, the packed operand


def _stage_steps(tile: TileGeometry, stage: BlockFacts) -> Step:
    """A data stage (padding, casts): all at once in parallel, or by each core for the part it needs.

    What is packed is read once, so its stage is computed as it is packed.
    """
    part = by_each_task(tile, stage)
    if stage.output == tile.packed_buffer:
        packing: tuple[Step, ...] = (Inline(stage.name),)
        part = packing if tile.anchor.must_pack else (Choose(tile.name("pack"), (part, packing)),)
    return Choose(tile.name("at", block=stage.name), (all_at_once(tile, stage), part))


def all_at_once(tile: TileGeometry, stage: BlockFacts) -> tuple[Step, ...]:
    """A data stage in a parallel loop of its own."""
    loops = tuple(f"{stage.name}.{it.name}" for it in stage.iterators)
    steps: list[Step] = [Loops(stage.name, loops)]
    if len(loops) > 1:
        steps += [Fuse(loops[:-1], f"{stage.name}.all"), Mark(f"{stage.name}.all", "parallel")]
    width = copied_width(tile, stage)
    return (*steps, *(_vectors(stage, loops[-1], width) if width > 1 else ()))


def by_each_task(tile: TileGeometry, stage: BlockFacts) -> tuple[Step, ...]:
    """A data stage where a task begins, as far as the task needs it."""
    part, width = f"{stage.name}.part", copied_width(tile, stage)
    steps = (ComputeAt(stage.name, parallel_loop(tile)), Loops(stage.name, (part,)))
    lanes = tile.name("lanes") if follows_vector(tile, stage) else width
    return (*steps, *(_vectors(stage, part, lanes) if width > 1 else ()))


def _vectors(stage: BlockFacts, loop: str, width: int | str) -> list[Step]:
    parts = (f"{stage.name}.v", f"{stage.name}.l")
    return [Split(loop, (None, width), parts), Mark(parts[1], "vectorize")]


def _pack_steps(tile: TileGeometry) -> list[Step]:
    anchor = tile.anchor
    if anchor.packed is None or anchor.constant:
        return []
    block = pack_block_name(tile.facts.name)
    outer = tuple(f"{block}.{axis}" for axis in tile.packed_outer)
    inner = tuple(f"{block}.{axis}" for axis in tile.packed_reduce)
    tail = [f"{block}.tile"] + ([f"{block}.group"] if tile.group > 1 else [])
    copied = tile.facts.operands[anchor.packed].stride_of(tile.vector) == 1
    shared = (*outer, *inner[:-1]) if copied else outer  # fewer loops inside, of which LLVM would unroll the short ones
    steps: list[Step] = [
        Loops(block, (*outer, *inner, *tail)),
        Fuse(shared, f"{block}.panels"),
        Mark(f"{block}.panels", "parallel"),
    ]
    if copied:
        steps += _copy_vectors(tile, block, tail)
    elif _contiguous_reduction(tile):
        steps.append(Reorder(((*tail, *inner),)))
    return steps if anchor.must_pack else [Choose(tile.name("pack"), ((), tuple(steps)))]


def _contiguous_reduction(tile: TileGeometry) -> bool:
    """Whether what is packed lies along the innermost axis of the reduction, so that it is best read that way."""
    packed = tile.anchor.packed
    return packed is not None and tile.facts.operands[packed].stride_of(tile.packed_reduce[-1]) == 1


def _copy_vectors(tile: TileGeometry, block: str, tail: Sequence[str]) -> list[Step]:
    vectors, lanes, copied = (f"{block}.{part}" for part in ("vectors", "lanes", "copied"))
    split = Split(tail[0], (None, tile.name("lanes")), (vectors, lanes))
    if tile.group == 1:
        return [split, Mark(lanes, "vectorize")]
    if tile.limits.interleaved_stores:  # of the rows of a group: LLVM finds that
        return [Mark(tail[1], "unroll")]
    return [split, Fuse((lanes, tail[1]), copied), Mark(copied, "vectorize")]
