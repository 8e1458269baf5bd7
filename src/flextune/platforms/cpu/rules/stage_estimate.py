"""The analytical estimate of a data stage (padding, casts) beside the register tile that reads it."""

from __future__ import annotations

import math

import numpy as np

from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import Access, BlockFacts
from flextune.platforms.cpu.rules.cache_rates import L3_BYTES_PER_CYCLE, Floats, load_rate
from flextune.platforms.cpu.rules.stages import copied_width, follows_vector
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.schedule.space import Columns

TRAFFIC = 3.0  # an element that goes out to a cache is fetched, written and read again
START_CYCLES = 2000.0  # of a parallel loop of its own
_SHORT_LINE_BYTES = 32.0  # of a tensor in L3, fetched at twice the price
_GUARDED_CYCLES = 3.0  # of an element that is copied alone


def stage_cycles(tile: TileGeometry, stage: BlockFacts, columns: Columns) -> Floats:
    """Cycles of one core for `stage`, all cores together, for columns of assignments.

    All at once it goes through the cache that holds the whole result. By each task for what it reads, it goes through
    the one that holds that part, but what tasks share, and the halo of their windows, is computed several times.
    """
    element_bytes = dtype_bits(stage.output.dtype) / 8
    elements = float(np.prod([it.extent for it in stage.iterators]))
    at_once, there = 1.0 / tile.limits.lanes(stage.output.dtype), _copy_cycles(tile, stage, columns)
    part, tasks = part_of_task(tile, stage, columns)
    whole = elements * (
        at_once + element_bytes * TRAFFIC / load_rate(tile.limits, np.full(1, elements * element_bytes))
    )
    parts = tasks * part * (there + element_bytes * TRAFFIC / load_rate(tile.limits, part * element_bytes))
    if stage.output == tile.packed_buffer:
        packed = columns.get(tile.name("pack"), np.ones(len(part)))
        parts = np.where(packed == 1, elements * _packing_cycles(tile), parts)
        at_once = 1.0 / width if (width := copied_width(tile, stage)) > 1 else _GUARDED_CYCLES
        whole = whole + elements * at_once
    return np.asarray(
        np.where(columns[tile.name("at", block=stage.name)] == 0, whole + START_CYCLES, parts), dtype=float
    )


def _packing_cycles(tile: TileGeometry) -> float:
    """Cycles per element of a stage that is computed as its result is packed, which goes by vectors or one by one."""
    assert tile.anchor.packed is not None
    in_order = tile.facts.operands[tile.anchor.packed].stride_of(tile.vector) == 1
    return 1.0 / tile.limits.lanes("float32") if in_order else _GUARDED_CYCLES


def _copy_cycles(tile: TileGeometry, stage: BlockFacts, columns: Columns) -> Floats:
    """Cycles per element of a task's part.

    One by one where the tile is padded, since the tail has a guard. Where tasks share the channels of an image that
    is not in L2, each fetches short pieces of lines, which no prefetcher follows.
    """
    vectors = np.full(1, 1.0 / tile.limits.lanes(stage.output.dtype))
    if not follows_vector(tile, stage):
        return vectors
    panel = columns[tile.name("vectors")] * columns[tile.name("lanes")]
    copied = np.where(tile.extent(tile.vector) % panel == 0, vectors, _GUARDED_CYCLES)
    if math.prod(stage.output.shape) * dtype_bits(stage.output.dtype) / 8 <= tile.limits.l2_bytes / 2:
        return copied
    return copied + _SHORT_LINE_BYTES / L3_BYTES_PER_CYCLE / _steps(tile, tile.vector, columns)


def part_of_task(tile: TileGeometry, stage: BlockFacts, columns: Columns) -> tuple[Floats, Floats]:
    """Elements of the stage that one task reads, and the number of tasks."""
    count = len(columns[tile.name("vectors")])
    part, tasks = np.ones(count), np.ones(count)
    for axis in (*tile.outer_axes, tile.vector):
        tasks = tasks * columns[tile.name("grid", axis)]
    access = next(operand for operand in tile.facts.operands if operand.buffer == stage.output)
    for dimension, extent in enumerate(access.buffer.shape):
        part = part * np.minimum(span_of_task(tile, access, dimension, columns), extent)
    return part, tasks


def span_of_task(tile: TileGeometry, access: Access, dimension: int, columns: Columns) -> Floats:
    """Neighbours in one dimension that a task reads; all of them where the index is not linear."""
    terms = access.terms[dimension]
    if terms is None:
        return np.full(1, float(access.buffer.shape[dimension]))
    span = np.ones(1)
    for term in terms:
        span = span + (np.ceil(_steps(tile, term.iterator, columns) / term.divisor) - 1) * abs(term.coefficient)
    return span


def _steps(tile: TileGeometry, axis: str, columns: Columns) -> Floats:
    """Values of an iterator that a task goes through."""
    grid = columns.get(tile.name("grid", axis))
    extent = np.full(1, float(tile.extent(axis)))
    return extent if grid is None else np.ceil(extent / grid)
