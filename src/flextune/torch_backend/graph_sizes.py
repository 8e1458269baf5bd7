"""Sizes of a captured graph that change from call to call: where they are read, and what they make of its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flextune.errors import ModelError
from flextune.importing.torch_sizes import size_expression
from flextune.torch_backend.layouts import Layout, SymbolicLayout
from flextune.workload.dim_expr import DimExpr

Sizes = tuple[int, ...]
"""Of the symbols of a graph, in their order."""


@dataclass(frozen=True, slots=True)
class SizePlace:
    """Where a symbol's size is found: an axis of an input, or the input itself, where that is a number."""

    position: int
    axis: int | None


@dataclass(frozen=True, slots=True)
class GraphSizes:
    """What Dynamo says of the sizes of a graph's inputs. A graph without symbols is for one combination of sizes."""

    places: dict[str, SizePlace]
    """By PyTorch's names of the symbols."""
    numbers: dict[int, DimExpr]
    """The inputs that are numbers rather than tensors, by position."""
    shapes: dict[int, tuple[DimExpr, ...]]
    """Of each input that is a tensor and has axes of changing size."""
    scalars: tuple[int, ...] = ()
    """The inputs that are real numbers, which Dynamo gives as tensors that are only asked for their number."""

    @classmethod
    def of(cls, torch: Any, graph: Any) -> GraphSizes:
        numbers: dict[int, DimExpr] = {}
        shapes: dict[int, tuple[DimExpr, ...]] = {}
        for position, value in enumerate(_example_values(graph, "placeholder")):
            if isinstance(value, torch.SymInt):
                numbers[position] = size_expression(value)
            elif isinstance(value, torch.Tensor) and not all(isinstance(size, int) for size in value.shape):
                shapes[position] = tuple(map(size_expression, value.shape))
        places: dict[str, SizePlace] = {}
        for position, shape in shapes.items():
            for axis, size in enumerate(shape):
                if size.name is not None:
                    places.setdefault(size.name, SizePlace(position, axis))
        for position, number in numbers.items():
            if number.name is not None:
                places.setdefault(number.name, SizePlace(position, None))
        return cls(places, numbers, shapes, _scalars(graph))

    def read_scalars(self, inputs: Sequence[Any]) -> tuple[float, ...]:
        """The real numbers in a call; a build has them as constants."""
        return tuple([inputs[position].item() for position in self.scalars])

    @property
    def are_fixed(self) -> bool:
        return not self.places and not self.numbers

    def read(self, inputs: Sequence[Any]) -> Sizes:
        """The sizes in a call."""
        return tuple(
            [
                inputs[place.position] if place.axis is None else inputs[place.position].shape[place.axis]
                for place in self.places.values()
            ]
        )

    def axes(self, position: int) -> tuple[int, ...]:
        """The axes of changing size of an input."""
        return tuple(axis for axis, size in enumerate(self.shapes.get(position, ())) if size.value is None)

    def axis_of(self, position: int) -> SizePlace:
        """The axis of a tensor that an input, which is a number, is the size of. ModelError where it is none."""
        place = self.places.get(self.numbers[position].name or "")
        if place is None or place.axis is None:
            raise ModelError(f"input {position} is a number that changes from call to call, and no size of a tensor")
        return place

    def others(self, inputs: Sequence[Any]) -> Iterator[Sizes]:
        """Combinations of sizes that differ from those of the inputs.

        First those that differ in each symbol by another number, then multiples, as graphs may ask for.
        """
        sizes = self.read(inputs)
        yield tuple(size + number for number, size in enumerate(sizes, 1))
        yield tuple(2 * size + 2 * number + 1 for number, size in enumerate(reversed(sizes)))[::-1]
        yield tuple((number + 1) * size for number, size in enumerate(sizes, 1))
        yield tuple(2 * size for size in sizes)
        yield tuple(3 * size for size in sizes)

    def by_symbol(self, sizes: Sizes) -> dict[str, int]:
        return dict(zip(self.places, sizes, strict=True))


@dataclass(frozen=True, slots=True)
class SymbolicOutputs:
    """The layouts of a graph's inputs and outputs over its symbols, and which of these are the very same tensor."""

    inputs: tuple[SymbolicLayout | DimExpr, ...]
    outputs: tuple[SymbolicLayout | DimExpr, ...]
    identities: tuple[int, ...]
    """Of the inputs, then of the outputs."""

    @classmethod
    def of(cls, torch: Any, graph: Any, identities: Sequence[int]) -> SymbolicOutputs:
        """ModelError where Dynamo does not know the layouts, or not as expressions."""
        inputs = _example_values(graph, "placeholder")
        return cls(
            tuple(_layout(torch, value) for value in inputs),
            tuple(_layout(torch, value) for value in output_values(graph)),
            tuple(identities),
        )

    def bind(self, sizes: Mapping[str, int]) -> tuple[list[Layout | int], list[Layout | int]]:
        """The layouts of inputs and outputs at these sizes."""
        bound = [
            each.bind(sizes) if isinstance(each, DimExpr) else each.bind(sizes, identity)
            for each, identity in zip((*self.inputs, *self.outputs), self.identities, strict=True)
        ]
        return bound[: len(self.inputs)], bound[len(self.inputs) :]


def output_values(graph: Any) -> list[Any]:
    """What Dynamo knows of each output: a tensor without elements, or a number; None where it knows nothing."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    return [value.meta.get("example_value") if type(value).__name__ == "Node" else value for value in output.args[0]]


def _scalars(graph: Any) -> tuple[int, ...]:
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    return tuple(
        position
        for position, node in enumerate(placeholders)
        if node.users and all(user.op == "call_method" and user.target == "item" for user in node.users)
    )


def is_size(torch: Any, value: Any) -> bool:
    """Whether a value of a graph is a whole number, known or not."""
    return isinstance(value, int | torch.SymInt) and not isinstance(value, bool)


def _example_values(graph: Any, kind: str) -> list[Any]:
    return [node.meta.get("example_value") for node in graph.graph.nodes if node.op == kind]


def _layout(torch: Any, value: Any) -> SymbolicLayout | DimExpr:
    if isinstance(value, torch.Tensor):
        return SymbolicLayout.of(value)
    if is_size(torch, value):
        return size_expression(value)
    raise ModelError("it is not known how all of its inputs and outputs lie in memory")
