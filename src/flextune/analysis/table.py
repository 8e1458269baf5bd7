"""Prints an analysis as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flextune.analysis.report import BlockAnalysis, ProgramAnalysis
from flextune.analysis.roofline import Roofline

_ACCESS_TITLES = ["buffer", "mode", "type", "accesses", "elements", "bytes", "reuse", "reuse of inner loops"]
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def render_table(analysis: ProgramAnalysis, bound: Roofline | None = None) -> str:
    """Lines for people: totals, graph, then loops and accesses of each block."""
    return "\n".join(_lines(analysis, bound))


def _lines(analysis: ProgramAnalysis, bound: Roofline | None) -> Iterator[str]:
    graph = analysis.graph
    yield f"operations   {_short(analysis.flops)}FLOP ({analysis.dtype})"
    yield f"bytes        {_short(analysis.bytes)}B at least; {_short(analysis.unfused_bytes)}B block by block"
    yield f"intensity    {analysis.intensity:.2f} operations per byte"
    if bound is not None:
        yield (
            f"roofline     {bound.bound_secs * 1e6:.2f} us, limited by {bound.limited_by} "
            f"(compute {bound.compute_secs * 1e6:.2f} us, memory {bound.memory_secs * 1e6:.2f} us, "
            f"ridge {bound.ridge_intensity:.1f} operations per byte); data fit {bound.fits}"
        )
    ends = f"{', '.join(graph.inputs)} -> {', '.join(graph.outputs)}"
    yield f"graph        {graph.nodes} blocks, {graph.edges} edges, {ends}"
    for block in analysis.blocks:
        yield ""
        yield from _block_lines(block)


def _block_lines(block: BlockAnalysis) -> Iterator[str]:
    yield (
        f"block {block.name}: {block.spatial_loops} spatial and {block.reduce_loops} reduce loops, "
        f"{_short(block.trips)} trips, {_short(block.flops)}FLOP, {block.intensity:.2f} operations per byte"
    )
    yield (
        f"  inputs {len(block.inputs)} ({', '.join(block.inputs) or 'none'}), outputs {len(block.outputs)} "
        f"({', '.join(block.outputs)}), consumers {len(block.consumers)} ({', '.join(block.consumers) or 'none'})"
    )
    marks = [loop.kind if loop.mark == "serial" else f"{loop.kind}, {loop.mark}" for loop in block.loops]
    rows = [["loop", "extent", "kind"]]
    rows += [[loop.name, str(loop.extent), mark] for loop, mark in zip(block.loops, marks, strict=True)]
    yield from _grid(rows)
    rows = [
        ["buffer", "mode", "type", "accesses", "elements", "bytes", "reuse", "reuse of inner loops, outermost first"]
    ]
    for access in block.accesses:
        inner = " ".join(f"{level.loop}:{level.reuse:.3g}" for level in access.levels[1:])
        about = "" if access.exact else "<="
        rows.append(
            [
                access.buffer,
                access.mode,
                access.dtype,
                _short(access.accesses),
                about + _short(access.footprint_elements),
                about + _short(access.footprint_bytes),
                f"{access.reuse:.4g}",
                inner,
            ]
        )
    yield from _grid(rows)


def _grid(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()


def _short(number: float) -> str:
    for size, prefix in _PREFIXES:
        if number >= size:
            return f"{number / size:.4g} {prefix}"
    return f"{number:.4g} "
