"""What is no product of matrices: rows that a block of threads reduces together, and nests of independent elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flextune.analysis.program_facts import BlockFacts, BlockKind, ProgramFacts
from flextune.csp import Divides, Le, Prod, Sum
from flextune.platforms.gpu.limits import GpuLimits
from flextune.platforms.gpu.thread_steps import BlockRows, ThreadNest
from flextune.schedule.space import Columns, Draft, VariableRole
from flextune.workload.element_type import element_type

ROW_RULE, NEST_RULE = "gpu-rows", "gpu-threads"

_LEAST_ROW = 16
_THREADS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def row_loops(blocks: Sequence[BlockFacts]) -> int:
    """How many leading loops all blocks share as rows; 0 where the blocks do not form rows."""
    reductions = [block for block in blocks if block.reduce]
    if not reductions or any(block.kind is BlockKind.OPAQUE or block.is_symbolic for block in blocks):
        return 0
    if not all(_reduces_contiguously(block) for block in reductions):
        return 0
    shared = min(len(block.spatial) for block in blocks)
    last = [it.extent for it in blocks[-1].spatial]
    while shared and any([it.extent for it in block.spatial][:shared] != last[:shared] for block in blocks):
        shared -= 1
    if any(len(block.spatial) > shared and block.reduce for block in blocks):
        return 0
    inner = [block for block in blocks if len(block.spatial) == shared and not block.reduce]
    return 0 if inner or not _connected(blocks) else shared


def _reduces_contiguously(block: BlockFacts) -> bool:
    innermost = block.reduce[-1]
    return innermost.extent >= _LEAST_ROW and any(a.stride_of(innermost.name) == 1 for a in block.operands)


def _connected(blocks: Sequence[BlockFacts]) -> bool:
    """Whether every block but the last is read by a later one, so that they are one computation in rows."""
    written = [block.output for block in blocks[:-1]]
    read = {access.buffer for block in blocks for access in block.reads}
    return all(buffer in read and buffer.parameter is None for buffer in written)


def apply_rows(draft: Draft, blocks: Sequence[BlockFacts], loops: int, limits: GpuLimits) -> None:
    """All blocks, row by row."""
    draft.used(ROW_RULE)
    count = math.prod(it.extent for it in blocks[-1].spatial[:loops])
    alone = loops == 1 and len(blocks) == 1  # TVM 0.27 leaves barriers out between stages of several rows
    several = [n for n in (1, 2, 4, 8) if count % n == 0]  # and reduces wrongly where rows are left over
    rows = draft.variable(VariableRole("rows"), several if alone else (1,))
    threads = draft.variable(VariableRole("row_threads"), (limits.warp, *(n for n in _THREADS if n > limits.warp)))
    block_threads, kept = (draft.derived(VariableRole(name)) for name in ("threads", "kept_bytes"))
    bytes_per_row = sum(_kept_bytes(block, loops) for block in blocks[:-1])
    draft.require(
        Prod(block_threads, (rows, threads), name="threads_count", rule=ROW_RULE),
        Le(block_threads, limits.threads, name="threads_limit", rule=ROW_RULE,
           reason=f"a block has at most {limits.threads} threads"),
        Divides(limits.warp, threads, name="whole_warps", rule=ROW_RULE,
                reason=f"lanes of one warp of {limits.warp} reduce a row together"),
        Prod(kept, (rows, bytes_per_row), name="kept_bytes_count", rule=ROW_RULE),
        Le(kept, min(limits.shared_bytes, 40960), name="shared_limit", rule=ROW_RULE,
           reason="what a row keeps between its stages is static shared memory, which is 48 KB on every GPU"),
    )  # fmt: skip
    if limits.reduces_in_shared:
        _require_trees(draft, blocks, block_threads, kept, limits)
    width = max(math.prod(it.extent for it in (*block.spatial[loops:], *block.reduce)) for block in blocks)

    def estimate(columns: Columns) -> np.ndarray:
        """A few elements of a row for each thread, and enough blocks."""
        each = width / columns[threads]
        even = np.minimum(each, 1.0) / (1.0 + each / 64)
        filled = np.minimum(1.0, np.ceil(count / columns[rows]) / limits.processors)
        return np.asarray(even * filled / (1.0 + np.abs(columns[block_threads] - 256) / 1024))

    draft.estimates.append(estimate)
    draft.add(BlockRows(tuple(block.name for block in blocks), loops, rows, threads))
    draft.scheduled |= {block.name for block in blocks}


def _require_trees(draft: Draft, blocks: Sequence[BlockFacts], threads: str, kept: str, limits: GpuLimits) -> None:
    """Every reduction has an element of each of its results for each thread."""
    trees, shared = (draft.derived(VariableRole(name)) for name in ("tree_bytes", "row_shared_bytes"))
    reduced = [write for block in blocks if block.reduce for write in block.writes]
    each = sum(element_type(write.buffer.dtype).bytes for write in reduced)
    draft.require(
        Prod(trees, (threads, each), name="tree_bytes_count", rule=ROW_RULE),
        Sum(shared, (kept, trees), name="row_shared_bytes_sum", rule=ROW_RULE),
        Le(shared, limits.shared_bytes, name="row_shared_limit", rule=ROW_RULE,
           reason="what a row keeps, and what its threads exchange as they reduce, fit the "
           f"{limits.shared_bytes} bytes of a block"),
    )  # fmt: skip


def _kept_bytes(block: BlockFacts, loops: int) -> int:
    inner = math.prod(it.extent for it in block.spatial[loops:])
    return inner * element_type(block.output.dtype).bytes


def apply_nest(draft: Draft, block: BlockFacts, limits: GpuLimits, prefix: str) -> None:
    """One block as independent elements."""
    draft.used(NEST_RULE)
    elements = math.prod(it.extent for it in block.spatial)
    most = [n for n in _THREADS if limits.warp <= n <= limits.threads]
    threads = draft.variable(VariableRole("threads", prefix=prefix), most)
    vectors = _vectors(block, limits)
    vector = draft.variable(VariableRole("vector", prefix=prefix), vectors)
    whole = draft.derived(VariableRole("block_elements", prefix=prefix))
    draft.require(
        Prod(whole, (threads, vector), name=f"{prefix}block_elements_count", rule=NEST_RULE),
        Le(threads, limits.threads, name=f"{prefix}threads_limit", rule=NEST_RULE,
           reason=f"a block has at most {limits.threads} threads"),
        Divides(limits.warp, threads, name=f"{prefix}whole_warps", rule=NEST_RULE,
                reason=f"threads run in warps of {limits.warp}"),
    )  # fmt: skip

    def estimate(columns: Columns) -> np.ndarray:
        """Wide accesses, enough blocks, and not too many threads that wait for each other."""
        blocks = np.ceil(elements / columns[whole])
        filled = np.minimum(1.0, blocks / limits.processors)
        return np.asarray(filled * columns[vector] ** 0.3 / (1.0 + np.abs(columns[threads] - 256) / 512))

    draft.estimates.append(estimate)
    in_register = int(block.kind in (BlockKind.REDUCTION, BlockKind.CONTRACTION) and _plain_result(block))
    draft.add(ThreadNest(block.name, threads, vector, in_register))
    draft.scheduled.add(block.name)


def _plain_result(block: BlockFacts) -> bool:
    return block.writes[0].plain_axes() is not None


def _vectors(block: BlockFacts, limits: GpuLimits) -> list[int]:
    """Elements of one access where all of a block's arrays lie alike and are aligned for it."""
    if block.kind is not BlockKind.ELEMENTWISE or block.is_symbolic or not block.spatial:
        return [1]
    innermost = block.spatial[-1]
    accesses = (*block.reads, *block.writes)
    if any(access.plain_axes() is None for access in accesses):
        return [1]
    if any(access.stride_of(innermost.name) not in (0, 1) for access in accesses):
        return [1]
    widest = max(element_type(access.buffer.dtype).bytes for access in accesses)
    return [n for n in (1, 2, 4, 8) if n * widest <= limits.copy_bytes and innermost.extent % n == 0]


def remaining(program: ProgramFacts, scheduled: set[str]) -> list[BlockFacts]:
    return [block for block in program.blocks if block.name not in scheduled]
