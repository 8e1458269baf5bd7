"""The steps of a Winograd schedule.

One task is a block of tiles times a block of output channels: its products (all points of the plane) are computed into
a buffer of its own and transformed back from there. The transformed data are computed by the task for
itself, or before, in a parallel loop of their own.
"""

from __future__ import annotations

from flextune.platforms.cpu.rules.winograd_geometry import WinogradGeometry
from flextune.schedule.rewriting_steps import Restage
from flextune.schedule.step import Factor, Step
from flextune.schedule.steps import Choose, ComputeAt, Decompose, Fuse, Inline, Loops, Mark, Reorder, SetScope, Split

TASK = "winograd.task"


def winograd_steps(shape: WinogradGeometry) -> list[Step]:
    """All steps."""
    return [
        _restage(shape),
        *(Inline(block.name) for block in (shape.result, *shape.chain.blocks)[:-1]),
        *_result_nest(shape),
        *_back_rows_nest(shape),
        *_store_nest(shape),
        *_product_nest(shape),
        _spectrum_steps(shape),
        *_rows_nest(shape),
        *_pad_steps(shape),
        *_init_steps(shape),
    ]


def _restage(shape: WinogradGeometry) -> Step:
    e, _, ty, tx, co = (it.name for it in shape.product.spatial)
    tiles: tuple[tuple[str, tuple[Factor, ...]], ...] = (
        (ty, (shape.name("tile", "ty"),)),
        (tx, (shape.name("tile", "tx"),)),
        (co, (shape.name("vectors"), shape.lanes(shape.co))),
    )
    outer = (e, co, shape.product.reduce[0].name)
    return Restage(shape.product.name, tiles, co, operand=1, outer=outer, fuse=False)


def _result_nest(shape: WinogradGeometry) -> list[Step]:
    """Tasks, then the task's tiles and vectors of channels, then the pixels of a tile, unrolled."""
    m, lanes = shape.outputs, shape.lanes(shape.co)
    names = {axis: f"out.{loop}" for loop, axis in shape.axis_of_loop.items() if axis is not None}
    free = tuple(f"out.{loop}" for loop, axis in shape.axis_of_loop.items() if axis is None or axis == "n")
    steps: list[Step] = [
        Loops(shape.last.name, tuple(f"out.{loop}" for loop in shape.axis_of_loop)),
        Split(names["y"], (None, shape.name("block", "ty"), m), ("y.task", "y.tile", "y.pixel")),
        Split(names["x"], (None, shape.name("block", "tx"), m), ("x.task", "x.tile", "x.pixel")),
        Split(
            names["co"],
            (None, shape.name("cache", "co"), shape.name("vectors"), lanes),
            ("co.task", "co.panel", "co.vector", "co.lanes"),
        ),
    ]
    inner = ("y.tile", "x.tile", "co.panel", "co.vector", "y.pixel", "x.pixel", "co.lanes")
    outer = ((*free, "y.task", "x.task", "co.task"), ("co.task", *free, "y.task", "x.task"))
    order = shape.name("grid_order")
    steps += [
        Reorder(tuple((*tasks, *inner) for tasks in outer), order),
        Choose(order, tuple((Fuse(tasks, TASK),) for tasks in outer)),
        Mark(TASK, "parallel"),
        Mark("co.lanes", "vectorize"),
        Mark("x.pixel", "unroll"),
    ]
    return steps


def _back_rows_nest(shape: WinogradGeometry) -> list[Step]:
    name = shape.back_rows.name
    loops = tuple(f"back.{it.name}" for it in shape.back_rows.iterators)
    return [
        ComputeAt(name, "co.vector"),
        Loops(name, loops),
        SetScope(name, "local"),
        Reorder(((loops[1], loops[0]),)),
        Mark(loops[-1], "vectorize"),
        *(Mark(loop, "unroll") for loop in (*reversed(loops[2:-1]), loops[0])),
    ]


def _store_nest(shape: WinogradGeometry) -> list[Step]:
    name = shape.store_block
    e, n, ty, tx, co = (f"store.{it.name}" for it in shape.product.spatial)
    lanes = shape.lanes(shape.co)
    panels_outside = (e, "store.panel", n, "store.ty.tiles", "store.tx.tiles")
    tiles_outside = (e, n, "store.ty.tiles", "store.tx.tiles", "store.panel")
    inner = ("store.ty.tile", "store.tx.tile", "store.vectors", "store.lanes")
    order = shape.name("cache_order")
    return [
        ComputeAt(name, TASK),
        Loops(name, (e, n, ty, tx, co)),
        Split(ty, (None, shape.name("tile", "ty")), ("store.ty.tiles", "store.ty.tile")),
        Split(tx, (None, shape.name("tile", "tx")), ("store.tx.tiles", "store.tx.tile")),
        Split(co, (None, shape.name("vectors"), lanes), ("store.panel", "store.vectors", "store.lanes")),
        Reorder(((*panels_outside, *inner), (*tiles_outside, *inner)), order),
        Choose(
            order,
            (
                (ComputeAt(shape.product.name, panels_outside[-1]),),
                (ComputeAt(shape.product.name, tiles_outside[-1]),),
            ),
        ),
        Mark("store.lanes", "vectorize"),
        *(Mark(loop, "unroll") for loop in reversed(inner[:-1])),
    ]


def _product_nest(shape: WinogradGeometry) -> list[Step]:
    spatial = [f"acc.{it.name}" for it in shape.product.spatial[:-1]]
    lanes = shape.lanes(shape.co)
    return [
        Loops(shape.product.name, (*spatial, "acc.co", "acc.ci")),
        Split("acc.co", (None, lanes), ("acc.vectors", "acc.lanes")),
        Reorder((("acc.ci", *spatial, "acc.vectors", "acc.lanes"),)),
        Mark("acc.lanes", "vectorize"),
        *(Mark(loop, "unroll") for loop in ("acc.vectors", *reversed(spatial))),
    ]


def _spectrum_steps(shape: WinogradGeometry) -> Step:
    """Choice 0: by each task for itself. Choice 1: before the tasks, in parallel over the tiles."""
    own = [*_spectrum_nest(shape), Fuse(("in.n", "in.ty"), "in.rows"), Mark("in.rows", "parallel")]
    return Choose(
        shape.name("spectrum_at"),
        ((ComputeAt(shape.spectrum.name, TASK), *_spectrum_nest(shape)), tuple(own)),
    )


def _spectrum_nest(shape: WinogradGeometry) -> list[Step]:
    lanes = shape.lanes(shape.ci)
    return [
        Loops(shape.spectrum.name, ("in.e", "in.n", "in.ty", "in.tx", "in.c")),
        Split("in.e", (shape.inputs, shape.inputs), ("in.a", "in.b")),
        Split("in.c", (None, lanes), ("in.vector", "in.lanes")),
        Reorder((("in.n", "in.ty", "in.tx", "in.vector", "in.a", "in.b", "in.lanes"),)),
        Mark("in.lanes", "vectorize"),
        Mark("in.b", "unroll"),
    ]


def _rows_nest(shape: WinogradGeometry) -> list[Step]:
    name = shape.rows.name
    loops = tuple(f"rows.{it.name}" for it in shape.rows.iterators)
    return [
        ComputeAt(name, "in.vector"),
        Loops(name, loops),
        SetScope(name, "local"),
        Reorder(((loops[1], loops[0]),)),
        Mark(loops[-1], "vectorize"),
        *(Mark(loop, "unroll") for loop in (*reversed(loops[2:-1]), loops[0])),
    ]


def _pad_steps(shape: WinogradGeometry) -> list[Step]:
    """Choice 0: where the data are loaded. Choice 1: a copy, by each task (or row of tiles) for itself."""
    if shape.pad is None:
        return []
    name, lanes = shape.pad.name, shape.lanes(shape.ci)
    loops = tuple(f"pad.{it.name}" for it in shape.pad.iterators)
    vectors: tuple[Step, ...] = (
        Loops(name, loops),
        Split(loops[-1], (None, lanes), ("pad.vectors", "pad.lanes")),
        Mark("pad.lanes", "vectorize"),
    )
    first = Choose(shape.name("spectrum_at"), ((ComputeAt(name, TASK),), (ComputeAt(name, "in.rows"),)))
    return [Choose(shape.name("pad_at"), ((Inline(name),), (first, *vectors)))]


def _init_steps(shape: WinogradGeometry) -> list[Step]:
    """Split the zeroing off, last: the primitives before need the reduction whole."""
    init = f"{shape.product.name}_init"
    loops = [f"{init}.{axis}" for axis in ("e", "n", "ty", "tx", "vectors", "lanes")]
    return [
        Decompose(shape.product.name, "acc.ci"),
        Loops(init, tuple(loops)),
        Mark(loops[-1], "vectorize"),
        *(Mark(loop, "unroll") for loop in reversed(loops[:-1])),
    ]
