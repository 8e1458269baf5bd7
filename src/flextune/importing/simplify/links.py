"""Who writes and who reads each value, and their shapes: what a rule that looks at several nodes needs to know."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, names_read
from flextune.importing.simplify.constants import Extents, inferred_shapes, only_static

Shape = tuple[int, ...]


@dataclass(slots=True)
class Links:
    """A snapshot of a graph's edges."""

    graph: OnnxGraph
    """The graph; passes that change it make new links."""
    writers: dict[str, onnx.NodeProto]
    """The node that computes each value; constants and inputs have none."""
    readers: dict[str, list[onnx.NodeProto]]
    """The nodes that read each value, the model's outputs left out."""
    uses: Counter[str]
    """How often each value is read, the model's outputs included."""
    shapes: dict[str, Shape]
    """Those that shape inference finds."""
    extents: dict[str, Extents]
    """The same, and shapes some of whose extents are names."""

    @classmethod
    def of(cls, graph: OnnxGraph) -> Links:
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(names_read(node)):
                readers.setdefault(name, []).append(node)
        writers = {name: node for node in graph.nodes for name in node.output if name}
        extents = inferred_shapes(graph)
        return cls(graph, writers, readers, graph.use_counts(), only_static(extents), extents)

    def constant(self, name: str) -> np.ndarray | None:
        return self.graph.constants.get(name)

    def scalar(self, name: str) -> float | None:
        """The value of a floating-point constant with one element."""
        array = self.graph.constants.get(name)
        return (
            float(array.reshape(-1)[0]) if array is not None and array.size == 1 and array.dtype.kind == "f" else None
        )

    def writer(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """The node that writes a value, if it is one of these operators."""
        node = self.writers.get(name)
        return node if node is not None and node.op_type in operators else None

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """The one node that reads a value, where nothing else does."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and self.uses[name] == 1 else None


def remove_unused(graph: OnnxGraph) -> None:
    """Drop nodes that nothing reads, and constants with them."""
    needed = set(graph.output_names())
    kept = []
    for node in reversed(graph.nodes):
        if any(name in needed for name in node.output if name):
            needed.update(names_read(node))
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.constants = {name: array for name, array in graph.constants.items() if name in needed}


def int64(graph: OnnxGraph, stem: str, values: tuple[int, ...] | list[int]) -> str:
    """A new constant with these values; its name."""
    name = graph.fresh_name(stem)
    graph.constants[name] = np.array(values, np.int64)
    return name
