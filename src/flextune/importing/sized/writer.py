"""Writing nodes whose parameters are expressions over sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import numpy_helper

from flextune.importing.shapes.names import unused_name
from flextune.importing.shapes.standard import dimensions
from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracked import Shape, Tracked, constant_array
from flextune.importing.sized.nodes import sized_node
from flextune.workload.dim_expr import DimExpr

INT64, FLOAT = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT


@dataclass
class SizedWriter:
    """Collects the nodes that replace others; what is known of the model is in `table`."""

    table: ShapeTable
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    known: list[onnx.ValueInfoProto] = field(default_factory=list)
    """Types of results that ONNX's inference cannot find."""
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._names |= self.table.tensors.keys()

    def dtype(self, name: str) -> int:
        """The element type of a tensor of the model."""
        found = self.table.tensors[name]
        return found.dtype if isinstance(found, Tracked) else 0

    def constant_values(self, name: str) -> np.ndarray | None:
        """A small constant, in its element type."""
        found = self.table.tensors.get(name)
        if not isinstance(found, Tracked) or found.elements is None:
            return None
        return constant_array(found.elements, found.dtype)

    def name(self, stem: str) -> str:
        """A name that no value has."""
        found = unused_name(stem, self._names)
        self._names.add(found)
        return found

    def emit(self, operator: str, inputs: Sequence[str], output: str = "", stem: str = "sized", **given: object) -> str:
        """A node of ONNX's; returns the name of its result."""
        output = output or self.name(f"{stem}_{operator}")
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [output], name=output, **given))
        return output

    def constant(self, array: np.ndarray, stem: str = "sized") -> str:
        """The name of a constant."""
        name = self.name(f"{stem}_constant")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def sized(
        self,
        operator: str,
        inputs: Sequence[str],
        sizes: Shape,
        dtype: int,
        output: str = "",
        shape: Shape | None = None,
        **given: object,
    ) -> str:
        """A node of `flextune.importing.sized.nodes`, whose result has the shape `sizes` unless another is given."""
        output = output or self.name(f"sized_{operator}")
        self.nodes.append(sized_node(operator, inputs, output, sizes, **given))
        kind = onnx.helper.make_tensor_value_info(output, dtype, dimensions(sizes if shape is None else shape))
        self.known.append(kind)
        return output

    def sizes(self, elements: Iterable[DimExpr], dims: Sequence[int] | None = None, output: str = "") -> str:
        """An int64 tensor of sizes: a vector, or of the shape `dims`."""
        found = tuple(elements)
        values = [each.value for each in found]
        dims = [len(found)] if dims is None else list(dims)
        if None not in values and not output:
            return self.constant(np.array(values, np.int64).reshape(dims))
        if len(dims) == 1:
            return self.sized("Sizes", [], found, INT64, output, (DimExpr.of(len(found)),))
        vector = self.sized("Sizes", [], found, INT64, shape=(DimExpr.of(len(found)),))
        return self.reshaped(vector, tuple(map(DimExpr.of, dims)), INT64, output)

    def floats(self, elements: Iterable[DimExpr]) -> str:
        """A float32 vector of sizes."""
        return self.emit("Cast", [self.sizes(elements)], to=FLOAT)

    def iota(self, count: DimExpr, output: str = "") -> str:
        """0, 1, 2, ... as int64."""
        return self.sized("Iota", [], (count,), INT64, output)

    def reshaped(self, name: str, shape: Shape, dtype: int, output: str = "") -> str:
        return self.sized("ReshapeTo", [name], shape, dtype, output)
