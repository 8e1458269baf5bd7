"""What Dynamo knows to be true of the sizes of a captured graph: it calls a build with no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flextune.importing.shapes.tracked import Shape
from flextune.importing.torch_sizes import conditions_of, may_hold
from flextune.torch_backend.graph_sizes import GraphSizes
from flextune.torch_types import SizeCondition


@dataclass(frozen=True, slots=True, eq=False)
class GraphConditions:
    """Conditions over Dynamo's symbols, which are sizes of inputs that a model has dimensions of its own for."""

    conditions: tuple[SizeCondition, ...]
    sizes: GraphSizes
    shapes: Mapping[int, Shape]
    """Of the graph's inputs by position, over the dimensions of the model."""

    @classmethod
    def of(cls, torch: Any, graph: Any, sizes: GraphSizes, shapes: Mapping[int, Shape]) -> GraphConditions:
        return cls(tuple(conditions_of(torch, graph.graph, "example_value")), sizes, shapes)

    def hold(self, values: Mapping[str, int]) -> bool:
        """Whether Dynamo may call a build with these sizes of the model's dimensions."""
        symbols: dict[str, int] = {}
        for name, place in self.sizes.places.items():
            if place.axis is not None and place.position in self.shapes:
                symbols[name] = self.shapes[place.position][place.axis].bind(values)
        return self._agree(values, symbols) and all(may_hold(each, symbols) for each in self.conditions)

    def _agree(self, values: Mapping[str, int], symbols: Mapping[str, int]) -> bool:
        """Whether sizes that are made of the same symbols are the same."""
        pairs = (
            pair
            for position, shape in self.shapes.items()
            for pair in zip(shape, self.sizes.shapes.get(position, ()), strict=False)
        )
        return all(ours.bind(values) == size.bind(symbols) for ours, size in pairs if size.names <= symbols.keys())
