"""What is known of the sizes of a model's values while it is cut, and the sizes of a part by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from flextune.importing.shapes.names import unused_name
from flextune.importing.shapes.standard import dimensions
from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracked import Shape, Tracked
from flextune.importing.types import element_text
from flextune.importing.values import ValueSpec
from flextune.workload.dim import LARGEST, Dim
from flextune.workload.dim_expr import DimExpr

_TYPICAL = 64
"""A size of which only the range is known is taken to be this, where its range allows it."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownSizes:
    """The sizes of a model with ranges, as the Shape Tracker finds them."""

    table: ShapeTable

    def spec(self, name: str) -> ValueSpec | None:
        """Of a tensor whose shape is known."""
        found = self.table.tensors.get(name)
        if not isinstance(found, Tracked) or found.shape is None or not found.dtype:
            return None
        return ValueSpec.symbolic(name, found.shape, element_text(found.dtype))

    def is_arithmetic(self, node: onnx.NodeProto, outputs: Iterable[str]) -> bool:
        """Whether a node computes nothing but sizes, and the model does not give them."""
        names = [name for name in node.output if name]
        given = frozenset(outputs)
        return bool(names) and all(name not in given and self.table.elements(name) is not None for name in names)

    def decides(self, node: onnx.NodeProto, inputs: Iterable[str]) -> str:
        """A size of a node's results that it decides while it runs; empty if there is none."""
        decided = {each.dim.name for each in self.table.decided}
        there = {name for each in inputs for size in self.table.shape(each) or () for name in size.names}
        made = {name for each in node.output for size in self.table.shape(each) or () for name in size.names}
        return next(iter(sorted((made & decided) - there)), "")

    def typical(self, size: DimExpr) -> int:
        """About how large it is."""
        sizes = {name: min(max(self.table.dims[name].lo, _TYPICAL), self.table.dims[name].hi) for name in size.names}
        return max(size.bind(sizes), 0)

    def own_sizes(self, names: Sequence[str]) -> tuple[dict[str, Shape], tuple[Dim, ...]]:
        """Shapes for the inputs of a part, over dimensions that are axes of them, and the ranges of these.

        x[2*seq, 8], z[batch, 8]   -->   x[size, 8], z[batch, 8]
        """
        shapes = {name: self.table.shape(name) or () for name in names}
        bare = {size.name for shape in shapes.values() for size in shape if size.name is not None}
        own: dict[DimExpr, Dim] = {}
        for shape in shapes.values():
            for size in shape:
                if size.value is None and not size.names <= bare and size not in own:
                    own[size] = self._dim(size, bare | {dim.name for dim in own.values()})
        given = {
            name: tuple(DimExpr.of(own[size].name) if size in own else size for size in shape)
            for name, shape in shapes.items()
        }
        used = dict.fromkeys(name for shape in given.values() for size in shape for name in sorted(size.names))
        ranges: Mapping[str, Dim] = {**self.table.dims, **{dim.name: dim for dim in own.values()}}
        return given, tuple(ranges[name] for name in used)

    def _dim(self, size: DimExpr, taken: Iterable[str]) -> Dim:
        low, high = size.bounds(self.table.dims)
        return Dim(unused_name("size", {*taken, *self.table.dims}), max(low, 0), min(max(high, 0), LARGEST))


def state_shape(value: onnx.ValueInfoProto, shape: Shape) -> None:
    """Write a shape into a declaration."""
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, dimensions(shape)))
