"""Analysis of a PrimFunc: loops, reuse, operations, bytes, and the graph of its blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flextune.analysis.footprint import Footprint, footprint
from flextune.analysis.loop_nests import REDUCE, SPATIAL, Nest, Reference, collect_nests
from flextune.tvm_types import PrimFunc
from flextune.workload.element_type import BFLOAT16, FLOAT32
from flextune.workload.stored_elements import bfloat16_buffers, is_among


@dataclass(frozen=True, slots=True)
class LoopAnalysis:
    """One loop of a block, outermost first in `BlockAnalysis.loops`. `kind` is spatial or reduce.

    `mark` says how a schedule runs it: serial, parallel, vectorized, unrolled or thread.
    """

    name: str
    extent: int
    kind: str
    mark: str


@dataclass(frozen=True, slots=True)
class LevelReuse:
    """What one run of the loops from `loop` inwards touches of a buffer (the whole block for the first level).

    `reuse` is accesses per distinct element.
    """

    loop: str
    accesses: int
    elements: int
    reuse: float


@dataclass(frozen=True, slots=True)
class BufferAccess:
    """How a block uses a buffer; `exact` is False where an index depends on data or the nest is too large to count."""

    buffer: str
    """Its name."""
    dtype: str
    """Its element type."""
    shape: tuple[int, ...]
    """Its extents."""
    mode: str
    """`read`, `write`, or `update` of a reduction's own result."""
    accesses: int
    """Elements read or written, all iterations together."""
    footprint_elements: int
    """Different elements among them."""
    footprint_bytes: int
    """The bytes of these."""
    reuse: float
    """Accesses per different element."""
    exact: bool
    levels: tuple[LevelReuse, ...]
    """The reuse within each loop."""


@dataclass(frozen=True, slots=True)
class BlockAnalysis:
    """One node: its loops in order, accesses, operations, and its place in the graph."""

    name: str
    """Of the block."""
    loops: tuple[LoopAnalysis, ...]
    """From the outermost in."""
    spatial_loops: int
    """How many of them give different results."""
    reduce_loops: int
    """How many of them results are summed over."""
    trips: int
    """Iterations of all loops."""
    flops: int
    """Operations."""
    bytes: int
    """Of the different elements that it reads and writes."""
    intensity: float
    """Operations per byte."""
    accesses: tuple[BufferAccess, ...]
    """How it uses each buffer."""
    inputs: tuple[str, ...]
    """Buffers it reads."""
    outputs: tuple[str, ...]
    """Buffers it writes."""
    producers: tuple[str, ...]
    """Blocks whose results it reads."""
    consumers: tuple[str, ...]
    """Blocks that read its results."""


@dataclass(frozen=True, slots=True)
class GraphStatistics:
    """The graph of blocks: an edge leads from the block that writes a buffer to one that reads it."""

    nodes: int
    """Blocks."""
    edges: int
    """Pairs of blocks, of which one reads what the other writes."""
    inputs: tuple[str, ...]
    """Parameters that are only read."""
    outputs: tuple[str, ...]
    """Parameters that are written."""
    intermediates: tuple[str, ...]
    """What is written and is no parameter."""
    most_consumers: int
    """Blocks that read from one block, where these are most."""


@dataclass(frozen=True, slots=True)
class ProgramAnalysis:
    """All facts about one program.

    `bytes` is the least traffic with memory: every parameter's touched part once. `unfused_bytes` is that of blocks
    which run one after the other with nothing kept in between. `intensity` is `flops / bytes`.
    """

    dtype: str
    """The element type whose peak bounds the program."""
    flops: int
    bytes: int
    unfused_bytes: int
    intensity: float
    graph: GraphStatistics
    """What is computed from what."""
    blocks: tuple[BlockAnalysis, ...]

    def block(self, name: str) -> BlockAnalysis:
        return next(block for block in self.blocks if block.name == name)

    def as_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists, numbers and texts, for JSON."""
        tree: dict[str, Any] = _plain(asdict(self))
        return tree


def analyze(func: PrimFunc) -> ProgramAnalysis:
    """Analyzes any PrimFunc: of an operator, out of a model, or scheduled."""
    nests = collect_nests(func)
    names = _unique_names([nest.name for nest in nests])
    accesses = [_accesses(nest) for nest in nests]
    blocks = tuple(
        _block(name, nest, found, nests, names) for name, nest, found in zip(names, nests, accesses, strict=True)
    )
    parameters = [str(param.name) for param in func.params]
    touched = _touched_bytes(blocks)
    least = sum(touched.get(name, 0) for name in parameters)
    flops = sum(block.flops for block in blocks)
    return ProgramAnalysis(
        dtype=_main_dtype(func),
        flops=flops,
        bytes=least,
        unfused_bytes=sum(block.bytes for block in blocks),
        intensity=_ratio(flops, least),
        graph=_graph(blocks, parameters),
        blocks=blocks,
    )


def _block(
    name: str, nest: Nest, accesses: tuple[BufferAccess, ...], nests: Sequence[Nest], names: Sequence[str]
) -> BlockAnalysis:
    loops = tuple(LoopAnalysis(loop.name, loop.extent, nest.kind_of(loop), loop.mark) for loop in nest.loops)
    moved = sum(access.footprint_bytes for access in accesses)
    inputs = _names(nest.reads, exclude=nest.writes)
    outputs = _names(nest.writes)
    others = [(other, label) for other, label in zip(nests, names, strict=True) if other is not nest]
    return BlockAnalysis(
        name=name,
        loops=loops,
        spatial_loops=sum(loop.kind == SPATIAL for loop in loops),
        reduce_loops=sum(loop.kind == REDUCE for loop in loops),
        trips=math.prod(loop.extent for loop in loops),
        flops=nest.flops,
        bytes=moved,
        intensity=_ratio(nest.flops, moved),
        accesses=accesses,
        inputs=inputs,
        outputs=outputs,
        producers=tuple(label for other, label in others if _share_buffer(other.writes, nest.reads)),
        consumers=tuple(label for other, label in others if _share_buffer(nest.writes, other.reads)),
    )


def _accesses(nest: Nest) -> tuple[BufferAccess, ...]:
    """One entry per distinct reference. A reduction's own accumulator appears once, as `update`."""
    found: list[tuple[str, Reference]] = []
    for write in _distinct(nest.writes):
        accumulates = any(_same_place(write, read) for read in nest.reads)
        found.append(("update" if accumulates else "write", write))
    reads = [read for read in _distinct(nest.reads) if not any(_same_place(read, write) for write in nest.writes)]
    found += [("read", read) for read in reads]
    return tuple(_access(mode, reference) for mode, reference in found)


def _access(mode: str, reference: Reference) -> BufferAccess:
    prints = [footprint(reference, level) for level in range(len(reference.loops))]
    whole = prints[0] if prints else Footprint(1, 1, True)
    dtype = str(reference.buffer.ty.dtype)
    return BufferAccess(
        buffer=str(reference.buffer.name),
        dtype=dtype,
        shape=tuple(int(extent) for extent in reference.buffer.ty.shape if hasattr(extent, "value")),
        mode=mode,
        accesses=whole.accesses,
        footprint_elements=whole.elements,
        footprint_bytes=whole.elements * _item_bytes(dtype),
        reuse=whole.reuse,
        exact=all(found.exact for found in prints),
        levels=tuple(
            LevelReuse(loop.name, found.accesses, found.elements, found.reuse)
            for loop, found in zip(reference.loops, prints, strict=True)
        ),
    )


def _graph(blocks: Sequence[BlockAnalysis], parameters: Sequence[str]) -> GraphStatistics:
    written = {name for block in blocks for name in block.outputs}
    read = {name for block in blocks for name in block.inputs}
    return GraphStatistics(
        nodes=len(blocks),
        edges=sum(len(block.consumers) for block in blocks),
        inputs=tuple(name for name in parameters if name in read and name not in written),
        outputs=tuple(name for name in parameters if name in written),
        intermediates=tuple(sorted(written - set(parameters))),
        most_consumers=max((len(block.consumers) for block in blocks), default=0),
    )


def _touched_bytes(blocks: Sequence[BlockAnalysis]) -> dict[str, int]:
    """Bytes of each buffer that the program needs: the larger of its accesses, which mostly overlap."""
    touched: dict[str, int] = {}
    for block in blocks:
        for access in block.accesses:
            touched[access.buffer] = max(touched.get(access.buffer, 0), access.footprint_bytes)
    return touched


def _main_dtype(func: PrimFunc) -> str:
    """The element type whose peak bounds the program: uint8, bfloat16 (kept in uint16) or float32."""
    dtypes = [str(param.ty.dtype) for param in func.params]
    if dtypes and dtypes[-1] == "int32" and any(dtype in ("uint8", "int8") for dtype in dtypes):
        return "uint8"
    stored = bfloat16_buffers(func)
    return BFLOAT16.name if any(is_among(param, stored) for param in func.params[:-1]) else FLOAT32.name


def _item_bytes(dtype: str) -> int:
    try:
        return np.dtype(dtype).itemsize
    except TypeError:  # a type that only TVM knows, such as bfloat16 or float8_e4m3fn
        digits = "".join(c if c.isdigit() else " " for c in dtype).split()
        return max(1, int(digits[0]) // 8) if digits else 4


def _distinct(references: Sequence[Reference]) -> list[Reference]:
    found: list[Reference] = []
    for reference in references:
        if not any(_same_place(reference, known) for known in found):
            found.append(reference)
    return found


def _same_place(one: Reference, other: Reference) -> bool:
    return bool(one.buffer.same_as(other.buffer)) and list(map(str, one.indices)) == list(map(str, other.indices))


def _share_buffer(writes: Sequence[Reference], reads: Sequence[Reference]) -> bool:
    return any(write.buffer.same_as(read.buffer) for write in writes for read in reads)


def _names(references: Sequence[Reference], exclude: Sequence[Reference] = ()) -> tuple[str, ...]:
    kept = [r for r in references if not any(r.buffer.same_as(other.buffer) for other in exclude)]
    return tuple(dict.fromkeys(str(reference.buffer.name) for reference in kept))


def _unique_names(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def _ratio(flops: int, moved: int) -> float:
    return flops / moved if moved else 0.0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
