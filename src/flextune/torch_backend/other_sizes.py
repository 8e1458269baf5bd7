"""Inputs of a captured graph at other sizes than those at hand, made of what these hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flextune.torch_backend.graph_sizes import GraphSizes, Sizes


def resized(torch: Any, graph: GraphSizes, inputs: Sequence[Any], sizes: Sizes) -> list[Any]:
    """The inputs with axes of other lengths, and numbers that fit them; elements repeat, so that indices stay valid."""
    by_symbol = graph.by_symbol(sizes)
    values = list(inputs)
    for position, number in graph.numbers.items():
        values[position] = number.bind(by_symbol)
    for position, shape in graph.shapes.items():
        value = inputs[position].detach()
        for axis, size in enumerate(shape):
            value = value.index_select(axis, torch.arange(size.bind(by_symbol)) % value.shape[axis])
        values[position] = _in_layout_of(value, inputs[position])
    return values


def _in_layout_of(value: Any, like: Any) -> Any:
    """A tensor with its axes in memory in the order of another one's."""
    order = sorted(range(like.dim()), key=lambda axis: (-like.stride(axis), axis))
    dense = value.permute(order).contiguous()
    return dense.permute([order.index(axis) for axis in range(like.dim())])
