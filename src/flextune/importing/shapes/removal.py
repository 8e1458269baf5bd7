"""Models without shape arithmetic: what is computed from shapes is known, and is given instead of computed.

before: s = Shape(x); n = Gather(s, 0); t = Concat(n, 768); y = Reshape(x, t)   -->   after: y = Reshape(x, [0, 768])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from flextune.importing.onnx_graph import names_read
from flextune.importing.shapes.standard import dimensions
from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracked import INTEGERS, Elements, Tracked, constant_array
from flextune.workload.dim_expr import DimExpr

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


@dataclass(frozen=True, slots=True, eq=False)
class GivenSizes:
    """A model that computes no shapes, and what it is given instead."""

    proto: onnx.ModelProto
    """It has an input more for each entry of `elements`, so it is a model as any other."""
    elements: Mapping[str, Elements]
    """Input → its elements as expressions over sizes (`flextune.importing.shapes.ratio.Ratio`), in its shape."""

    def arrays(self, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
        """The arrays that the further inputs have to be, for sizes of the others."""
        kinds = {value.name: value.type.tensor_type.elem_type for value in self.proto.graph.input}
        return {
            name: np.array([each.numerator.bind(sizes) for each in elements.reshape(-1)])
            .reshape(elements.shape)
            .astype(onnx.helper.tensor_dtype_to_np_dtype(kinds[name]))
            for name, elements in self.elements.items()
        }


def without_shape_arithmetic(proto: onnx.ModelProto, table: ShapeTable) -> GivenSizes:
    """The same model, in which small tensors of integers that follow from sizes are constants or further inputs.

    The target of a `Reshape` is written with 0 and -1 where that says it. What the model gives as an output, and graphs
    inside nodes, stay as they are.
    """
    return _Removal(proto, table).result()


class _Removal:
    def __init__(self, proto: onnx.ModelProto, table: ShapeTable) -> None:
        self._table = table
        self._proto = onnx.ModelProto()
        self._proto.CopyFrom(proto)
        self._graph = self._proto.graph
        self._kept = {value.name for value in (*proto.graph.input, *proto.graph.output)}
        self._constants = {tensor.name for tensor in proto.graph.initializer}

    def result(self) -> GivenSizes:
        nodes = [node for node in self._graph.node if not self._is_known(node)]
        for node in nodes:
            self._plain_reshape(node)
        self._set_nodes(list(_used(nodes, (value.name for value in self._graph.output))))
        elements = dict(self._given())
        for name, array in elements.items():
            known = self._table.tensors[name]
            assert isinstance(known, Tracked)
            self._graph.input.append(onnx.helper.make_tensor_value_info(name, known.dtype, array.shape))
        for value in self._graph.input:
            self._state_shape(value)
        del self._graph.value_info[:]
        return GivenSizes(self._proto, elements)

    def _set_nodes(self, nodes: list[onnx.NodeProto]) -> None:
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(copies)

    def _elements(self, name: str) -> Elements | None:
        """The elements of a tensor of integers, or of any constant, if all are known."""
        known = self._table.tensors.get(name)
        if (
            not isinstance(known, Tracked)
            or known.elements is None
            or any(each is None for each in known.elements.flat)
        ):
            return None
        is_constant = all(each.constant is not None for each in known.elements.reshape(-1))
        return known.elements if is_constant or known.dtype in INTEGERS else None

    def _is_known(self, node: onnx.NodeProto) -> bool:
        """Whether all results are known, so that nothing has to be computed."""
        names = [name for name in node.output if name]
        if not names or node.op_type in _RANDOM or any(name in self._kept for name in names):
            return False
        return all(self._elements(name) is not None for name in names)

    def _plain_reshape(self, node: onnx.NodeProto) -> None:
        """Let a `Reshape` copy sizes with 0 and find one with -1, where no size that matters for that can be 0."""
        if node.op_type != "Reshape" or len(node.input) < 2 or node.input[1] in self._constants:
            return
        source, result = self._table.shape(node.input[0]), self._table.shape(node.output[0])
        target = None if source is None or result is None else _target(source, result, self._table)
        if target is None:
            return
        name = f"{node.output[0]}_target"
        self._graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
        node.input[1] = name
        for position, entry in enumerate(node.attribute):
            if entry.name == "allowzero":
                del node.attribute[position]
                break

    def _given(self) -> Iterator[tuple[str, Elements]]:
        """What is read and no longer computed: constants become initializers, the rest is given."""
        there = {name for node in self._graph.node for name in node.output} | self._constants
        there |= {tensor.name for tensor in self._graph.initializer} | {value.name for value in self._graph.input}
        read = dict.fromkeys(name for node in self._graph.node for name in names_read(node) if name not in there)
        for name in read:
            elements = self._elements(name)
            if elements is None:
                continue
            known = self._table.tensors[name]
            assert isinstance(known, Tracked)
            array = constant_array(elements, known.dtype)
            if array is None:
                yield name, elements
            else:
                self._graph.initializer.append(numpy_helper.from_array(array, name))

    def _state_shape(self, value: onnx.ValueInfoProto) -> None:
        """Write an input's sizes as the expressions that the table has: a size of one number is that number."""
        shape = self._table.shape(value.name)
        if shape is not None and value.name not in self._constants:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, dimensions(shape)))


def _target(source: tuple[DimExpr, ...], result: tuple[DimExpr, ...], table: ShapeTable) -> list[int] | None:
    """A `Reshape`'s target in numbers, 0 and at most one -1; None where it takes more."""
    found: list[int] = []
    for axis, size in enumerate(result):
        copied = axis < len(source) and size == source[axis]
        value = size.value
        if value == 0 and not copied:
            return None
        found.append(0 if copied and not value else -1 if value is None else value)
    if found.count(-1) > 1:
        return None
    others = [size for size, written in zip(result, found, strict=True) if written != -1]
    if -1 in found and any(size.bounds(table.dims)[0] < 1 for size in others):
        return None
    return found


def _used(nodes: list[onnx.NodeProto], outputs: Iterable[str]) -> Iterator[onnx.NodeProto]:
    """The nodes that outputs depend on, in order."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed.update(names_read(node))
    yield from reversed(kept)
