"""Writing bodies of loops and branches, and putting them into a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.regions import Region, region_node
from flextune.importing.sized.nodes import sized_node
from flextune.workload.dim_expr import DimExpr, Size

Simplifier = Callable[[OnnxGraph], None]
"""Applies all passes to the graph of a body."""


@dataclass(slots=True, eq=False)
class NodeWriter:
    """Writes nodes one after the other; their names and those of their values begin with `stem`."""

    graph: OnnxGraph
    """Where constants go."""
    stem: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    """What is written so far."""
    _count: int = 0

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: int | Sequence[int]) -> str:
        """Write a node with one output; returns the name of that."""
        name = output or self._fresh(operator.lower())
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def split(self, source: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Parts of these sizes along an axis."""
        if len(sizes) == 1:
            return [source]
        names = [self._fresh("part") for _ in sizes]
        given = self.constant(np.array(sizes, np.int64))
        self.nodes.append(onnx.helper.make_node("Split", [source, given], names, name=names[0], axis=axis))
        return names

    def constant(self, array: np.ndarray) -> str:
        """The name of a new constant."""
        name = self._fresh("constant")
        self.graph.constants[name] = array
        return name

    def reshape(self, source: str, shape: Sequence[int], output: str = "") -> str:
        """The same elements in another shape."""
        return self.node("Reshape", source, self.constant(np.array(shape, np.int64)), output=output)

    def sized(
        self, operator: str, inputs: Sequence[str], shape: Sequence[Size], kind: int, result: str = "", **given: int
    ) -> str:
        """Write a node that says sizes (`flextune.importing.sized.nodes`), whose result has this shape and type."""
        name = result or self._fresh(operator.lower())
        self.nodes.append(sized_node(operator, inputs, name, map(DimExpr.of, shape), **given))
        self.graph.known[name] = tensor_value(name, kind, shape)
        return name

    def _fresh(self, what: str) -> str:
        self._count += 1
        return f"{self.stem}_{what}_{self._count}"


def tensor_value(name: str, kind: int, shape: Sequence[Size]) -> onnx.ValueInfoProto:
    """A value of an element type and a shape."""
    dims = [size if isinstance(size, int) else str(size) for size in shape]
    return onnx.helper.make_tensor_value_info(name, kind, dims)


def add_region(
    graph: OnnxGraph, stem: str, region: Region, inputs: Sequence[str], results: Sequence[onnx.ValueInfoProto]
) -> onnx.NodeProto:
    """Put a region into a graph; returns the node that stands for it. `results` are its outputs with their types."""
    name = f"{stem}{len(graph.regions)}"
    graph.regions[name] = region
    graph.known |= {value.name: value for value in results}
    return region_node(name, list(inputs), [value.name for value in results])
