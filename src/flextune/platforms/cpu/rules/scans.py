"""Prefix sums along the rows of a matrix."""

from __future__ import annotations

from flextune.platforms.cpu.limits import CpuLimits
from flextune.schedule.blocked_scan import block_scan, prefix_sum
from flextune.schedule.rewriting_steps import BlockScan
from flextune.schedule.space import Draft

SCAN_RULE = "blocked-scan"

_LEAST_BLOCKS = 3
_MOST_VECTORS = 4


def apply_blocked_scan(draft: Draft, limits: CpuLimits) -> None:
    """Sum up in blocks of whole vectors; as many of these as there are blocks, or nearly."""
    facts = prefix_sum(draft.program)
    if facts is None or facts.name in draft.scheduled:
        return
    results, lanes = facts.spatial[1].extent, limits.lanes(facts.output.dtype)
    widths = [lanes * vectors for vectors in range(1, _MOST_VECTORS + 1) if _LEAST_BLOCKS * lanes * vectors <= results]
    if not widths:
        return
    exact = [width for width in widths if results % width == 0]
    width = min(exact or widths, key=lambda each: abs(each * each - results))
    draft.used(SCAN_RULE)
    draft.rewrite(block_scan(draft.function, facts.name, width), BlockScan(facts.name, width))
