"""What every CPU's kernels go through before TVM makes machine code of them."""

from __future__ import annotations

from flextune.platforms.cpu.ieee import as_written
from flextune.platforms.cpu.lane_trees import lanes_combined_in_halves
from flextune.platforms.cpu.scopes import on_the_stack, without_scopes
from flextune.tvm_types import Statement


def finished(body: Statement) -> Statement:
    """A kernel's body: lanes combined in trees, small memory on the stack, floats computed as they are written."""
    return as_written(on_the_stack(lanes_combined_in_halves(without_scopes(body))))
