"""The variables and constraints of a register tile: what fits the registers, the caches and the cores."""

from __future__ import annotations

import math

from flextune.analysis.sharing import is_worth_sharing
from flextune.csp import Eq, In, Le, Prod, Select, Sum, When
from flextune.platforms.cpu.rules.tile_geometry import MAX_WASTE_PERCENT, TileGeometry
from flextune.schedule.space import Draft

RULE = "register-tile"

_LEAST_REGISTERS = 3  # an accumulator, a vector, a broadcast


def declare_tile_variables(draft: Draft, tile: TileGeometry) -> None:
    """Declare everything that is searched about `tile`."""
    _declare_tile(draft, tile)
    _declare_grid(draft, tile)
    _declare_cache_limits(draft, tile)
    _declare_choices(draft, tile)


def _declare_tile(draft: Draft, tile: TileGeometry) -> None:
    rows = tuple(draft.variable(tile.role("tile", axis), tile.row_tiles(axis)) for axis in tile.row_axes)
    vectors = draft.variable(tile.role("vectors"), tile.vectors)
    lanes = draft.variable(tile.role("lanes"), tile.lanes)
    panel, accumulators, registers = (draft.derived(tile.role(n)) for n in ("panel", "accumulators", "registers"))
    extent, limit = tile.extent(tile.vector), tile.limits.vector_registers
    draft.require(
        Prod(panel, (vectors, lanes), name=f"{panel}_size", rule=RULE),
        In(panel, tile.panels, name=f"{panel}_waste", rule=RULE,
           reason=f"at most {MAX_WASTE_PERCENT}% of the {extent} elements of {tile.vector} may be padding, "
                  "or what fills the last vector"),
        Prod(accumulators, (*rows, vectors), name=f"{accumulators}_count", rule=RULE),
        Sum(registers, (accumulators, vectors, *[vectors] * tile.scales, 1), name=f"{registers}_count", rule=RULE),
        Le(registers, max(limit, _LEAST_REGISTERS), name=f"{registers}_limit", rule=RULE,
           reason=f"accumulators, one row of vectors and one broadcast fit the {limit} registers"),
    )  # fmt: skip


def _declare_grid(draft: Draft, tile: TileGeometry) -> None:
    """Tiles of every axis = cache tiles x grid; the grid of all axes is shared among the cores."""
    grids, most = [], 1
    for axis in (*tile.outer_axes, tile.vector):
        tiles, counts = _tile_counts(draft, tile, axis)
        possible = sorted({divisor for count in counts for divisor in _divisors(count)})
        cache = draft.variable(tile.role("cache", axis), possible)
        grids.append(draft.variable(tile.role("grid", axis), possible))
        reason = "cache tiles times grid cover the axis"
        draft.require(Prod(tiles, (cache, grids[-1]), name=f"{cache}_split", rule=RULE, reason=reason))
        most *= max(counts)
    tasks = draft.derived(tile.role("tasks"))
    least = min(tile.limits.cores, most) if is_worth_sharing(tile.cycles) else 1
    draft.require(
        Prod(tasks, tuple(grids), name=f"{tasks}_count", rule=RULE),
        Le(least, tasks, name=f"{tasks}_parallel", rule=RULE, reason="every core gets work"),
    )


def _tile_counts(draft: Draft, tile: TileGeometry, axis: str) -> tuple[str | int, list[int]]:
    """The number of register tiles along `axis`: a literal or a derived variable, and its possible values."""
    extent = tile.extent(axis)
    if axis == tile.vector:
        index, widths = tile.name("panel"), list(tile.panels)
    elif axis in tile.row_axes:
        index, widths = tile.name("tile", axis), tile.row_tiles(axis)
    else:
        return extent, [extent]
    counts = [0] + [math.ceil(extent / width) for width in range(1, max(widths) + 1)]
    name = draft.derived(tile.role("tiles", axis))
    reason = "a tail tile counts as a whole one"
    draft.require(Select(name, index, tuple(counts), name=f"{name}_count", rule=RULE, reason=reason))
    return name, [counts[width] for width in widths]


def _declare_cache_limits(draft: Draft, tile: TileGeometry) -> None:
    if tile.anchor.packed is None or not tile.outer_axes:  # without rows nothing packed is loaded twice
        return
    panel_bytes, block_bytes = draft.derived(tile.role("panel_bytes")), draft.derived(tile.role("block_bytes"))
    column = tile.anchor.reduction * tile.element_bytes
    least = column * min(tile.panels)
    limits = tile.limits
    draft.require(
        Prod(panel_bytes, (column, tile.name("panel")), name=f"{panel_bytes}_size", rule=RULE),
        Le(panel_bytes, max(limits.l2_bytes * 3 // 4, least), name=f"{panel_bytes}_in_l2", rule=RULE,
           reason="the packed panel of a register tile stays in L2"),
        Prod(block_bytes, (panel_bytes, tile.name("cache", tile.vector)), name=f"{block_bytes}_size", rule=RULE),
        Le(block_bytes, max(limits.l3_bytes // limits.cores, least), name=f"{block_bytes}_in_l3", rule=RULE,
           reason="the panels of a cache tile stay in a core's share of L3"),
    )  # fmt: skip


def _declare_choices(draft: Draft, tile: TileGeometry) -> None:
    steps = math.ceil(tile.extent(tile.reduce_order[-1]) / tile.group)
    unrolls = [times for times in (1, 2, 4) if steps % times == 0]
    draft.variable(tile.role("unroll"), [steps] if tile.reads_words else unrolls)
    if tile.outer_axes:
        draft.variable(tile.role("grid_order"), (0, 1))
        draft.variable(tile.role("cache_order"), (0, 1))
    if tile.anchor.packed is not None and not tile.anchor.must_pack:
        _declare_packing(draft, tile)
    for stage in tile.stages:
        draft.variable(tile.role("at", block=stage.name), (0, 1))


def _declare_packing(draft: Draft, tile: TileGeometry) -> None:
    pack = draft.variable(tile.role("pack"), (0, 1))
    exact = tuple(width for width in tile.panels if tile.extent(tile.vector) % width == 0)
    reason = "an operand that is not packed has no padding to load a tail from"
    unpacked = In(tile.name("panel"), exact or (0,))
    draft.require(When(Eq(pack, 0), unpacked, name=f"{pack}_unpacked_exact", rule=RULE, reason=reason))


def _divisors(number: int) -> set[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return {*small, *(number // d for d in small)}
