"""Separable convolutions: every task computes the windows that it needs, and a register tile multiplies them.

The depthwise convolution is written out, so that with its epilogue it is one element-wise block: a data stage of the
product behind it. A task computes that stage for its pixels and all channels, vector by vector, so that the weights
of the window can stay in registers; it stays in L2 until the register tile has read it.
"""

from __future__ import annotations

import math

from flextune.csp import Le, Prod
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import Anchor, choose_anchor
from flextune.platforms.cpu.rules.separable_estimate import SeparableEstimate
from flextune.platforms.cpu.rules.separable_pair import SeparablePair, find_pair
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.platforms.cpu.rules.tile_steps import all_at_once, by_each_task, parallel_loop, tile_steps
from flextune.platforms.cpu.rules.tile_variables import declare_tile_variables
from flextune.schedule.rewriting_steps import WriteOut
from flextune.schedule.space import Draft
from flextune.schedule.step import Step
from flextune.schedule.steps import Choose, ComputeAt, Inline, Loops, Mark, Reorder, Split
from flextune.schedule.written_out import write_out

RULE = "separable"

_NEIGHBOURS = (1, 2, 4, 8)
_PIXELS_PER_CORE = 8
_WEIGHTS_IN_SHARE = 2  # so often the weights must fit a core's share of L3 for one task to take all of them


def apply_separable(draft: Draft, limits: CpuLimits, prefix: str = "") -> bool:
    """Schedule the depthwise convolution of the program and the product that reads it, if it has them.

    Returns whether it has. Names of variables begin with `prefix`.
    """
    pair = find_pair(draft.program)
    if pair is None or not draft.scheduled.isdisjoint(pair.blocks) or _anchor(draft, pair, limits) is None:
        return False
    draft.used(RULE)
    draft.rewrite(write_out(draft.function, pair.window.name), WriteOut(pair.window.name))
    draft.add(*map(Inline, pair.inlined))
    anchor = _anchor(draft, pair, limits)
    assert anchor is not None
    tile = TileGeometry(draft.program, anchor, limits, prefix, frozenset({pair.stage}))
    declare_tile_variables(draft, tile)
    _declare_stage(draft, tile, pair)
    _declare_limits(draft, tile)
    draft.add(*tile_steps(tile, frozenset(draft.scheduled)), *_stage_steps(tile, pair))
    draft.estimates.append(SeparableEstimate(tile, pair))
    draft.scheduled |= {*pair.blocks, *(block.name for block in anchor.chain.blocks)}
    return True


def _anchor(draft: Draft, pair: SeparablePair, limits: CpuLimits) -> Anchor | None:
    """The register tile of the product, if it has one that takes what it multiplies element by element."""
    anchor = choose_anchor(draft.program, draft.program.block(pair.product.name), limits, draft.constants)
    return anchor if anchor is not None and anchor.packed == 1 and anchor.intrinsic is None else None


def _declare_stage(draft: Draft, tile: TileGeometry, pair: SeparablePair) -> None:
    """In which vectors windows are computed, for how many neighbours at once, and where the image is padded."""
    draft.variable(tile.role("window_lanes"), _widths(tile, pair))
    draft.variable(tile.role("neighbours"), [count for count in _NEIGHBOURS if count <= pair.columns.extent])
    if pair.padding is not None:
        draft.variable(tile.role("at", block=pair.padding.name), (0, 1, 2))


def _widths(tile: TileGeometry, pair: SeparablePair) -> list[int]:
    """Whole vectors, and shorter ones where these leave a tail."""
    full, channels = tile.limits.lanes(pair.window.output.dtype), pair.channels.extent
    widths = (full, full // 2, full // 4) if channels % full else (full,)
    return [width for width in widths if 1 < width <= channels] or [1]


def _declare_limits(draft: Draft, tile: TileGeometry) -> None:
    limits, pixel_bytes = tile.limits, tile.anchor.reduction * tile.element_bytes
    sizes: list[str | int] = [pixel_bytes, *(tile.name("cache", axis) for axis in tile.outer_axes)]
    sizes += [tile.name("tile", axis) for axis in tile.row_axes]
    stage_bytes = draft.derived(tile.role("stage_bytes"))
    draft.require(
        Prod(stage_bytes, tuple(sizes), name=f"{stage_bytes}_size", rule=RULE),
        Le(stage_bytes, max(limits.l2_bytes * 3 // 4, pixel_bytes), name=f"{stage_bytes}_in_l2", rule=RULE,
           reason="what a task computes for the product stays in L2"),
    )  # fmt: skip
    if _WEIGHTS_IN_SHARE * pixel_bytes * tile.extent(tile.vector) <= limits.l3_bytes // limits.cores:
        pixels = math.prod(tile.extent(axis) for axis in tile.outer_axes)
        most = math.ceil(limits.cores * _PIXELS_PER_CORE / pixels)
        reason = "tasks that share the results of a pixel compute its windows twice: only where pixels are few"
        draft.require(
            Le(tile.name("grid", tile.vector), most, name=tile.name("windows_once"), rule=RULE, reason=reason)
        )


def _stage_steps(tile: TileGeometry, pair: SeparablePair) -> list[Step]:
    """Where a task begins: for every vector of channels all of its pixels, some neighbours at a time."""
    stage = pair.stage
    loops = tuple(f"{stage}.{it.name}" for it in pair.window.spatial)
    *before, rows, columns, channels = loops
    blocks, neighbours = (f"{columns}.{part}" for part in ("blocks", "neighbours"))
    vectors, lanes = (f"{channels}.{part}" for part in ("vectors", "lanes"))
    order = (*before, vectors, rows, blocks, neighbours, lanes)
    steps: list[Step] = [
        ComputeAt(stage, parallel_loop(tile)),
        Loops(stage, loops),
        Split(columns, (None, tile.name("neighbours")), (blocks, neighbours)),
        Split(channels, (None, tile.name("window_lanes")), (vectors, lanes)),
        Reorder((order,)),
        Mark(lanes, "vectorize"),
        Mark(neighbours, "unroll"),
    ]
    if pair.padding is not None:
        places = (all_at_once(tile, pair.padding), by_each_task(tile, pair.padding), _by_vector(tile, pair, vectors))
        steps.append(Choose(tile.name("at", block=pair.padding.name), places))
    return steps


def _by_vector(tile: TileGeometry, pair: SeparablePair, vectors: str) -> tuple[Step, ...]:
    """The padded image of one vector of channels at a time, just before its windows."""
    assert pair.padding is not None
    name = pair.padding.name
    channels, lanes = f"{name}.channels", f"{name}.lanes"
    return (
        ComputeAt(name, vectors),
        Loops(name, (channels,)),
        Split(channels, (None, tile.name("window_lanes")), (f"{name}.vectors", lanes)),
        Mark(lanes, "vectorize"),
    )
