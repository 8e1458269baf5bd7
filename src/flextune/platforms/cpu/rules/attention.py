"""Attention: how many rows a strip has, how wide both register tiles are, what a task takes, and blocks of keys.

The kernel is that of `flextune.platforms.cpu.attention`; what is fixed before anything is searched is in
`AttentionShape`.
"""

from __future__ import annotations

import math

from flextune.analysis.attention_facts import read_attention
from flextune.csp import Divides, Le, Prod, Select, Sum
from flextune.platforms.cpu.attention.attention_step import Attention
from flextune.platforms.cpu.attention.pairs import CODE, LANES
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.attention_estimate import AttentionEstimate
from flextune.platforms.cpu.rules.attention_shape import AttentionShape
from flextune.schedule.space import Draft
from flextune.schedule.step import Step
from flextune.schedule.steps import Choose, ImportCode, Loops

RULE = "attention"

_LEAST_REGISTERS = 3  # an accumulator, a vector, a broadcast


def apply_attention(draft: Draft, limits: CpuLimits) -> bool:
    """Schedule the attention that is all of the program, if it is one; whether it was."""
    facts = read_attention(draft.function)
    if facts is None or limits.lanes("float32") < 2 or (facts.narrow and not _has_pairs(limits)):
        return False
    shape = AttentionShape.of(facts, limits)
    draft.used(RULE)
    _declare_tiles(draft, shape)
    _declare_tasks(draft, shape)
    _declare_blocks(draft, shape)
    draft.add(
        Attention(
            rows="rows",
            strips="strips",
            score_vectors="score_vectors",
            value_vectors="value_vectors",
            key_block="key_block" if shape.online else shape.keys,
            lanes=shape.lanes,
            keys_before="keys_before",
            pack_values="pack_values",
            unroll="unroll",
        )
    )
    if facts.narrow:
        draft.add(Choose("keys_before", tuple(_importing(block) for block in ("attention", "pack_keys"))))
    draft.estimates.append(AttentionEstimate(shape))
    draft.scheduled |= {block.name for block in draft.program.blocks}
    return True


def _has_pairs(limits: CpuLimits) -> bool:
    """Whether there are products of pairs of bfloat16, for vectors of the length that the kernel takes."""
    return limits.lanes("float32") == LANES and any(intrinsic.code == CODE for intrinsic in limits.intrinsics)


def _importing(block: str) -> tuple[Step, ...]:
    """The code that the kernel calls, imported where the first of its loops begins, which is that of `block`."""
    return (Loops(block, (f"{block}.tasks",)), ImportCode(f"{block}.tasks", CODE))


def _declare_tiles(draft: Draft, shape: AttentionShape) -> None:
    """Two register tiles of the same rows: scores over vectors of keys, results over vectors of columns."""
    draft.variable("rows", shape.rows)
    limit = max(shape.limits.vector_registers, _LEAST_REGISTERS)
    for name, widths in (("score", shape.score_vectors), ("value", shape.value_vectors)):
        vectors = draft.variable(f"{name}_vectors", widths)
        accumulators, registers = draft.derived(f"{name}_accumulators"), draft.derived(f"{name}_registers")
        draft.require(
            Prod(accumulators, ("rows", vectors), name=f"{accumulators}_count", rule=RULE),
            Sum(registers, (accumulators, vectors, 1), name=f"{registers}_count", rule=RULE),
            Le(registers, limit, name=f"{registers}_limit", rule=RULE,
               reason=f"accumulators, one row of vectors and one broadcast fit the {limit} registers"),
        )  # fmt: skip
    draft.variable("unroll", (1, 2))


def _declare_tasks(draft: Draft, shape: AttentionShape) -> None:
    """Strips of a matrix = strips of a task x grid; the grids of all matrices are shared among the cores."""
    counts = [0] + [math.ceil(shape.queries / rows) for rows in range(1, max(shape.rows) + 1)]
    possible = sorted({divisor for rows in shape.rows for divisor in _divisors(counts[rows])})
    whole, tasks = draft.derived("all_strips"), draft.derived("tasks")
    strips, grid = draft.variable("strips", possible), draft.variable("grid", possible)
    most = shape.matrices * max(counts)
    reason = "a last strip that is not whole counts as one"
    draft.require(
        Select(whole, "rows", tuple(counts), name="strips_count", rule=RULE, reason=reason),
        Prod(whole, (strips, grid), name="strips_split", rule=RULE, reason="strips of a task times grid cover them"),
        Prod(tasks, (grid, shape.matrices), name="tasks_count", rule=RULE),
        Le(min(shape.limits.cores, most), tasks, name="tasks_parallel", rule=RULE, reason="every core gets work"),
    )  # fmt: skip


def _declare_blocks(draft: Draft, shape: AttentionShape) -> None:
    """What is packed by whom, and, of an online softmax, how many keys are taken at once."""
    draft.variable("keys_before", (0, 1))
    draft.variable("pack_values", (1,) if shape.columns % shape.lanes or shape.group > 1 else (0, 1))
    l2_share = shape.limits.l2_bytes * 3 // 4
    row_bytes: str | int = shape.element_bytes * shape.keys
    if shape.online:
        draft.variable("key_block", shape.key_blocks)
        panel, row_bytes, packed = (draft.derived(name) for name in ("panel", "row_bytes", "block_bytes"))
        least = min(shape.key_blocks) * shape.depth_steps * shape.element_bytes
        draft.require(
            Prod(panel, ("score_vectors", shape.lanes), name="panel_size", rule=RULE),
            Divides(panel, "key_block", name="panel_divides", rule=RULE, reason="whole panels make a block of keys"),
            Prod(row_bytes, ("key_block", shape.element_bytes), name="row_size", rule=RULE),
            Prod(packed, (row_bytes, shape.depth_steps), name="block_size", rule=RULE),
            Le(packed, max(l2_share, least), name="block_in_l2", rule=RULE, reason="a block of keys stays in L2"),
        )
    scores = draft.derived("score_bytes")
    least = shape.element_bytes * (min(shape.key_blocks) if shape.online else shape.keys) * min(shape.rows)
    draft.require(
        Prod(scores, ("rows", row_bytes), name="scores_size", rule=RULE),
        Le(scores, max(l2_share, least), name="scores_in_l2", rule=RULE, reason="the scores of a strip stay in L2"),
    )


def _divisors(number: int) -> set[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return {*small, *(number // d for d in small)}
