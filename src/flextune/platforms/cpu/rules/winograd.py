"""Winograd convolutions: one schedule for all blocks of the algorithm, from the padding to the epilogue.

The arithmetic is that of Lavin and Gray (CVPR 2016, section 4), blocked so that what passes between the transforms and
the products stays in a core's own cache.
"""

from __future__ import annotations

from flextune.csp import Le, Prod, Sum
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.winograd_estimate import WinogradEstimate
from flextune.platforms.cpu.rules.winograd_geometry import RULE, WinogradGeometry, divisors
from flextune.platforms.cpu.rules.winograd_steps import winograd_steps
from flextune.schedule.space import Draft

_LEAST_REGISTERS = 3  # an accumulator, a vector, a broadcast
_LEAST_ACCUMULATORS = 6


def apply_winograd(draft: Draft, limits: CpuLimits, prefix: str = "") -> bool:
    """Schedule the Winograd convolution of the program, if there is one; whether there was."""
    shape = WinogradGeometry.of(draft.program, limits, draft.constants, prefix)
    if shape is None:
        return False
    draft.used(RULE)
    _declare_tile(draft, shape)
    _declare_blocks(draft, shape)
    _declare_choices(draft, shape)
    draft.add(*winograd_steps(shape))
    draft.estimates.append(WinogradEstimate(shape))
    draft.scheduled |= set(shape.blocks)
    return True


def _declare_tile(draft: Draft, shape: WinogradGeometry) -> None:
    """The register tile of the products: tiles of the image times vectors of output channels."""
    ty = draft.variable(shape.role("tile", "ty"), shape.heights)
    tx = draft.variable(shape.role("tile", "tx"), shape.widths)
    vectors = draft.variable(shape.role("vectors"), shape.vectors)
    accumulators, registers = (draft.derived(shape.role(n)) for n in ("accumulators", "registers"))
    limit = max(shape.limits.vector_registers, _LEAST_REGISTERS)
    least = min(_LEAST_ACCUMULATORS, _most_accumulators(shape, limit))
    draft.require(
        Prod(accumulators, (ty, tx, vectors), name=f"{accumulators}_count", rule=RULE),
        Sum(registers, (accumulators, vectors, 1), name=f"{registers}_count", rule=RULE),
        Le(registers, limit, name=f"{registers}_limit", rule=RULE,
           reason=f"accumulators, one row of vectors and one broadcast fit the {limit} registers"),
        Le(least, accumulators, name=f"{accumulators}_least", rule=RULE,
           reason="with fewer accumulators the multipliers would wait for their last results"),
    )  # fmt: skip


def _most_accumulators(shape: WinogradGeometry, limit: int) -> int:
    """The largest register tile that fits and leaves a task to every core (1 where none does)."""
    vectors = shape.co // shape.lanes(shape.co)
    return max(
        (
            ty * tx * v
            for ty in shape.heights
            for tx in shape.widths
            for v in shape.vectors
            if ty * tx * v + v < limit and shape.tiles * vectors >= shape.limits.cores * ty * tx * v
        ),
        default=1,
    )


def _declare_blocks(draft: Draft, shape: WinogradGeometry) -> None:
    """A task's block of tiles and channels = register tiles times cache; the grid of blocks is shared by the cores."""
    grids = []
    for axis, extent in (("ty", shape.tile_rows), ("tx", shape.tile_columns)):
        cache = draft.variable(shape.role("cache", axis), divisors(extent))
        grids.append(draft.variable(shape.role("grid", axis), divisors(extent)))
        block = draft.derived(shape.role("block", axis))
        reason = "register tiles times cache times grid are the axis"
        draft.require(
            Prod(block, (shape.name("tile", axis), cache), name=f"{block}_size", rule=RULE),
            Prod(extent, (block, grids[-1]), name=f"{block}_divides", rule=RULE, reason=reason),
        )
    vectors = shape.co // shape.lanes(shape.co)
    cache = draft.variable(shape.role("cache", "co"), divisors(vectors))
    grids.append(draft.variable(shape.role("grid", "co"), divisors(vectors)))
    panels = (shape.name("vectors"), cache, grids[-1])
    draft.require(Prod(vectors, panels, name=f"{cache}_split", rule=RULE, reason="whole panels cover the channels"))
    tasks = draft.derived(shape.role("tasks"))
    most = shape.batch * shape.tile_rows * shape.tile_columns * vectors
    draft.require(
        Prod(tasks, (shape.batch, *grids), name=f"{tasks}_count", rule=RULE),
        Le(min(shape.limits.cores, most), tasks, name=f"{tasks}_parallel", rule=RULE, reason="every core gets work"),
    )
    _declare_cache_limit(draft, shape)


def _declare_cache_limit(draft: Draft, shape: WinogradGeometry) -> None:
    """What a task keeps: its transformed data and its products, each in a core's share of L3."""
    tiles = (shape.name("block", "ty"), shape.name("block", "tx"))
    point = shape.inputs**2 * shape.element_bytes
    product, spectrum = draft.derived(shape.role("product_bytes")), draft.derived(shape.role("spectrum_bytes"))
    channels = (shape.name("vectors"), shape.name("cache", "co"), shape.lanes(shape.co))
    most = max(shape.limits.l3_bytes // shape.limits.cores, point * shape.ci * shape.limits.vector_registers)
    reason = "what a task keeps stays in a core's share of L3"
    for size, factors in ((product, (*tiles, *channels, point)), (spectrum, (*tiles, shape.ci * point))):
        draft.require(
            Prod(size, factors, name=f"{size}_size", rule=RULE),
            Le(size, max(most, point * shape.co), name=f"{size}_in_l3", rule=RULE, reason=reason),
        )


def _declare_choices(draft: Draft, shape: WinogradGeometry) -> None:
    draft.variable(shape.role("grid_order"), (0, 1))
    draft.variable(shape.role("cache_order"), (0, 1))
    whole = shape.inputs**2 * shape.tiles * shape.ci * shape.element_bytes
    draft.variable(shape.role("spectrum_at"), (0, 1) if whole <= shape.limits.l3_bytes // 2 else (0,))
    if shape.pad is not None:
        draft.variable(shape.role("pad_at"), (0, 1))
