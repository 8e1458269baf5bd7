"""What a rule sees: one node, what is known of its inputs, and what it may ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar, cast

import onnx

from flextune.errors import ModelError
from flextune.importing.shapes.ratio import Ratio
from flextune.importing.shapes.tracked import Elements, Known, Shape, Tracked, TrackedSequence
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr, maximum, minimum

Value = TypeVar("Value", int, float, str, tuple[int, ...])


class UntrackedError(ModelError):
    """The shape of a node's result cannot be found; the message says what is missing."""


class BlockedError(UntrackedError):
    """The shape of a node's result cannot be found because that of an input could not be: nothing new to report."""


class Scope(Protocol):
    """What a rule may ask the tracker for."""

    @property
    def dims(self) -> Mapping[str, Dim]: ...

    def fresh(self, stem: str, least: int, most: DimExpr | None, about: str) -> DimExpr:
        """A size that data decide, under a name of its own."""

    def require(self, left: DimExpr, right: DimExpr, about: str, stretches: bool = False) -> None:
        """The two are the same size in every run that is valid, or (if it `stretches`) one of them is 1."""

    def inside(self, graph: onnx.GraphProto, inputs: Sequence[Known]) -> tuple[Known, ...]:
        """What is known of the results of a graph inside a node."""


@dataclass
class Call:
    """One node with what is known of its inputs."""

    node: onnx.NodeProto
    opset: int
    inputs: tuple[Known | None, ...]
    scope: Scope

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        return {entry.name: onnx.helper.get_attribute_value(entry) for entry in self.node.attribute}

    def attribute(self, name: str, default: Value) -> Value:
        """An attribute, or its default; texts as `str`, lists of integers as tuples."""
        value = self._attributes.get(name, default)
        if isinstance(value, bytes):
            value = value.decode()
        return cast(Value, tuple(value) if isinstance(value, list) else value)

    def has(self, name: str) -> bool:
        """Whether an attribute is set."""
        return name in self._attributes

    def raw(self, name: str) -> Any:
        """An attribute as ONNX has it."""
        return self._attributes[name]

    def given(self, position: int) -> bool:
        """Whether an input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def input(self, position: int) -> Tracked:
        """A tensor that must be there."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise UntrackedError(f"it has no input {position}")
        if not isinstance(found, Tracked):
            raise UntrackedError(f"input {self._named(position)} is a sequence, where a tensor is expected")
        return found

    def sequence(self, position: int) -> TrackedSequence:
        """A sequence that must be there."""
        found = self.inputs[position]
        if not isinstance(found, TrackedSequence):
            raise BlockedError(f"nothing is known of the sequence {self._named(position)}")
        return found

    def shape(self, position: int) -> Shape:
        """That of an input; the rule ends here where it is not known."""
        found = self.input(position).shape
        if found is None:
            raise BlockedError(f"the shape of input {self._named(position)} is not known")
        return found

    def rank(self, position: int) -> int:
        return len(self.shape(position))

    def elements(self, position: int) -> Elements:
        """Those of an input; some of them may be None."""
        found = self.input(position)
        if found.shape is None:
            raise BlockedError(f"nothing is known of input {self._named(position)}")
        if found.elements is None:
            raise UntrackedError(f"the values of input {self._named(position)} are not known before the model runs")
        return found.elements

    def sizes(self, position: int) -> tuple[DimExpr, ...]:
        """The elements of an input, all of them integers."""
        return tuple(self._size(each, position) for each in self.elements(position).reshape(-1))

    def size(self, position: int) -> DimExpr:
        """The only element of an input, an integer."""
        found = self.sizes(position)
        if len(found) != 1:
            raise UntrackedError(f"input {self._named(position)} has {len(found)} elements, where one is expected")
        return found[0]

    def size_or_fresh(self, position: int, about: str, most: DimExpr | None = None) -> DimExpr:
        """The first element of an input, an integer; a size of its own where data decide it."""
        known = self.input(position).elements
        element = None if known is None or not known.size else known.reshape(-1)[0]
        size = None if element is None else element.size
        return self.fresh(most, f"{about}, which data decide") if size is None else size

    def _size(self, element: Ratio | None, position: int) -> DimExpr:
        size = None if element is None else element.size
        if size is None:
            raise UntrackedError(f"the values of input {self._named(position)} are not known before the model runs")
        return size

    def integers(self, position: int) -> tuple[int, ...]:
        """The elements of an input, all of them numbers that depend on no size."""
        values = [size.value for size in self.sizes(position)]
        if None in values:
            raise UntrackedError(f"input {self._named(position)} depends on sizes; only constants are supported there")
        return tuple(value for value in values if value is not None)

    def axes(self, position: int, default: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        """The attribute `axes` of older versions, or an input of newer ones."""
        if self.has("axes"):
            return self.attribute("axes", ())
        return self.integers(position) if self.given(position) else default

    def bounds(self, size: DimExpr) -> tuple[int, int]:
        return size.bounds(self.scope.dims)

    def same(self, left: DimExpr, right: DimExpr) -> DimExpr:
        """One of two sizes that are the same in every valid run: the number, if one of them is."""
        if left == right:
            return left
        self.scope.require(left, right, f"{self.label}: two sizes that must be the same")
        return right if right.value is not None else left

    def fresh(self, most: DimExpr | None, about: str, output: int = 0, least: int = 0) -> DimExpr:
        """A size that data decide, from `least` to `most`."""
        return self.scope.fresh(self.node.output[output] or self.node.op_type, least, most, f"{about} ({self.label})")

    def like(self, position: int, shape: Iterable[DimExpr] | None = None) -> Tracked:
        """A tensor of an input's element type, and of its shape unless another is given."""
        return self.input(position).with_shape(self.shape(position) if shape is None else shape)

    def smallest(self, *sizes: DimExpr) -> DimExpr:
        return minimum(*sizes).simplified(self.scope.dims)

    def largest(self, *sizes: DimExpr) -> DimExpr:
        return maximum(*sizes).simplified(self.scope.dims)

    @property
    def label(self) -> str:
        """How messages call the node."""
        return f"{self.node.op_type} {self.node.name or repr(self.node.output[0] if self.node.output else '')}"

    def _named(self, position: int) -> str:
        return repr(self.node.input[position])


Rule = Callable[[Call], Known | Sequence[Known]]


def positive_axis(axis: int, rank: int) -> int:
    """Counted from the front. UntrackedError where there is no such axis."""
    if not -rank <= axis < max(rank, 1):
        raise UntrackedError(f"axis {axis} is none of a tensor with {rank} dimensions")
    return axis % rank if rank else 0


def broadcast(call: Call, *shapes: Shape) -> Shape:
    """The shape of elementwise operations on tensors of these shapes."""
    rank = max(map(len, shapes), default=0)
    aligned = [(DimExpr.of(1),) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_broadcast_sizes(call, sizes) for sizes in zip(*aligned, strict=True))


def _broadcast_sizes(call: Call, sizes: Sequence[DimExpr]) -> DimExpr:
    """The size that is not 1. Where several may be: one that cannot be 1, or else the largest."""
    found = list(dict.fromkeys(size.simplified(call.scope.dims) for size in sizes if size.value != 1))
    if len(found) < 2:
        return found[0] if found else DimExpr.of(1)
    wide = [size for size in found if call.bounds(size)[0] > 1 or size.value == 0]
    chosen = next((size for size in wide if size.value is not None), wide[0] if wide else found[0])
    for other in found:
        if other in wide:
            call.same(chosen, other)
        else:
            call.scope.require(chosen, other, f"{call.label}: two sizes of operands", stretches=True)
    return chosen if wide else call.largest(*found)
