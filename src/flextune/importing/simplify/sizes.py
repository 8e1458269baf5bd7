"""What a graph's values take, known before any of them is allocated."""

from __future__ import annotations

import math

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import static_shapes
from flextune.target.memory import size_text, usable_bytes

MOST_ELEMENTS = 2**31 - 1
"""Of one tensor: generated code counts elements in 32 bits."""

SMALLEST_ELEMENT = 1
"""Bytes of an element at least, where its type is not asked for."""


def refuse_sizes(graph: OnnxGraph) -> None:
    """Raise ModelError that names the first value with more elements than code can count, or than fit into memory."""
    writers = {name: node for node in graph.nodes for name in node.output}
    usable = usable_bytes()
    for name, shape in static_shapes(graph).items():
        if any(size < 0 for size in shape):
            raise ModelError(f"model {graph.name!r}: {name!r} would have the shape {list(shape)}")
        elements = math.prod(shape)
        if elements <= min(MOST_ELEMENTS, usable // SMALLEST_ELEMENT):
            continue
        node = writers.get(name)
        where = f"{node.op_type} {node.name or name}" if node is not None else name
        limit = f"at most {MOST_ELEMENTS} can be" if elements > MOST_ELEMENTS else f"{size_text(usable)} are free"
        raise ModelError(f"model {graph.name!r}: the result {list(shape)} of {where} has {elements} elements; {limit}")
