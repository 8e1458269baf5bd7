"""How a step of either product is added to its register tile: elements of float32, or pairs of bfloat16."""

from __future__ import annotations

from collections.abc import Callable

from flextune.platforms.cpu.attention.attention_tiles import Layout
from flextune.platforms.cpu.attention.pairs import pair_products
from flextune.platforms.cpu.attention.statements import multiply_add
from flextune.tvm_types import Buffer, Expression, Statement


def products(
    layout: Layout,
    accumulators: Buffer,
    shape: tuple[int, int, int],
    left: Callable[[Expression, Expression], Expression],
    right: Callable[[Expression, Expression], Expression],
) -> Callable[[Expression, Expression, Expression], Statement]:
    """For `product_tile` of that shape: left(i, k) times the vector from right(k, c) on is added to row i."""
    if layout.facts.narrow:
        return pair_products(accumulators, shape[1], left, right)
    return multiply_add(accumulators, shape, left, right)
