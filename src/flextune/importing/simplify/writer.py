"""Nodes that are written in the place of one node of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import onnx
from onnx import TensorProto, helper

from flextune.errors import ModelError
from flextune.importing.kernels import kernel_node
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import PartialShape
from flextune.importing.simplify.links import Shape

MICROSOFT = "com.microsoft"
"""The domain of the operators that ONNX Runtime's tools write."""


class UnknownValueError(ModelError):
    """The shape or type of a value that is needed is not known, perhaps not yet."""


@dataclass(slots=True)
class Writer:
    """Nodes in the making, in the place of one node."""

    graph: OnnxGraph
    """It is part of."""
    node: onnx.NodeProto
    """What they replace."""
    shapes: Mapping[str, Shape]
    """Of the values that have a known one."""
    types: Mapping[str, int] = field(default_factory=dict)
    """Element types (`TensorProto.DataType`) of the values that have a known one."""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    """Written so far."""
    partial: Mapping[str, PartialShape] = field(default_factory=dict)
    """Shapes of all values that have a known rank."""

    def input(self, place: int) -> str:
        """The name of an input, empty where it is left out."""
        return self.node.input[place] if place < len(self.node.input) else ""

    def output(self, place: int) -> str:
        """The name of a result, empty where nothing reads it."""
        return self.node.output[place] if place < len(self.node.output) else ""

    def emit(self, operator: str, inputs: Sequence[str], result: str = "", **attributes: object) -> str:
        """A node with one result; without a name it gets one."""
        name = result or self.fresh()
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def kernel(
        self, kernel: str, inputs: Sequence[str], kind: int, shape: Shape, result: str = "", **given: object
    ) -> str:
        """A kernel of our own, whose result has this element type and shape; without a name it gets one."""
        name = result or self.fresh()
        self.nodes.append(kernel_node(self.graph, kernel, inputs, name, kind, shape, **given))
        return name

    def constant(self, value: np.ndarray | float, dtype: type | np.dtype = np.float32) -> str:
        name = self.fresh()
        self.graph.constants[name] = np.asarray(value, dtype)
        return name

    def integers(self, values: Sequence[int] | np.ndarray | int) -> str:
        """A constant of int64."""
        return self.constant(np.asarray(values), np.int64)

    def number(self, value: np.ndarray | float, like: str = "") -> str:
        """A constant of the element type of a value, which is the first input if none is named."""
        return self.constant(value, self.dtype(like or self.input(0)))

    def value(self, name: str) -> np.ndarray | None:
        """What a name holds, if it is a constant."""
        return self.graph.constants.get(name) if name else None

    def known(self, place: int, what: str) -> np.ndarray:
        """The value of an input that has to be a constant; `what` is what it says."""
        array = self.value(self.input(place))
        return self.refuse(f"{what} must be constants") if array is None else array

    def rank(self, name: str) -> int | None:
        array = self.value(name)
        shape = self.shapes.get(name) if array is None else array.shape
        return None if shape is None else len(shape)

    def shape(self, name: str) -> Shape:
        """The shape of a value, which has to be known."""
        array = self.value(name)
        shape = self.shapes.get(name) if array is None else array.shape
        if shape is None:
            raise UnknownValueError(f"{self.title}: the shape of {name!r} is not known")
        return shape

    def partial_shape(self, name: str) -> PartialShape | None:
        """The shape of a value as far as it is known; None where not even its rank is."""
        return self.partial.get(name, self.shapes.get(name))

    def kind(self, name: str) -> int:
        """The element type of a value, which has to be known."""
        array = self.value(name)
        found = self.types.get(name, 0) if array is None else helper.np_dtype_to_tensor_dtype(array.dtype)
        if not found:
            raise UnknownValueError(f"{self.title}: the element type of {name!r} is not known")
        return found

    def dtype(self, name: str) -> np.dtype:
        """The same for NumPy."""
        dtype: np.dtype = np.dtype(helper.tensor_dtype_to_np_dtype(self.kind(name)))
        return dtype

    def cast(self, name: str, kind: int) -> str:
        return self.emit("Cast", [name], to=kind)

    def shaped(self, name: str, shape: Sequence[int], result: str = "") -> str:
        return self.emit("Reshape", [name, self.integers(np.array(shape))], result)

    def transposed(self, name: str, order: Sequence[int], result: str = "") -> str:
        return self.emit("Transpose", [name], result, perm=list(order))

    def reduced(self, operator: str, name: str, axes: Sequence[int], keepdims: int = 1, result: str = "") -> str:
        """A reduction in the form that has the axes as an input."""
        return self.emit(operator, [name, self.integers(np.array(axes))], result, keepdims=keepdims)

    def sliced(self, name: str, axis: int, start: int, end: int, result: str = "") -> str:
        """The elements from `start` to before `end` along an axis."""
        bounds = [self.integers([each]) for each in (start, end, axis)]
        return self.emit("Slice", [name, *bounds], result)

    def chain(self, operator: str, names: Sequence[str], result: str = "") -> str:
        """All values joined by a binary operator, from left to right."""
        total = names[0]
        for place, name in enumerate(names[1:], start=2):
            total = self.emit(operator, [total, name], result if place == len(names) else "")
        return total if len(names) > 1 or not result else self.emit("Identity", [total], result)

    def copied(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A copy of a node, written as it is; it may be changed."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        self.nodes.append(copy)
        return copy

    def refuse(self, reason: str) -> NoReturn:
        """Raise ModelError that names the node."""
        raise ModelError(f"{self.title}: {reason}")

    @property
    def title(self) -> str:
        return f"{self.node.op_type} {self.node.name or next(filter(None, self.node.output), '')}"

    def fresh(self) -> str:
        """A name for a new value."""
        stem = next((name for name in self.node.output if name), self.node.op_type)
        return self.graph.fresh_name(f"{stem}_{self.node.op_type}_{len(self.nodes)}")


FLOAT = TensorProto.FLOAT
BOOL = TensorProto.BOOL
INT64 = TensorProto.INT64
