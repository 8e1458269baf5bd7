"""`Split` with the sizes of its parts written out."""

from __future__ import annotations

import math

import numpy as np

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes


def explicit_splits(graph: OnnxGraph) -> None:
    """Give every `Split` without sizes its sizes: equal parts, the last one smaller (ONNX operators, "Split").

    before: a, b, c = Split(x[7])   -->   after: a, b, c = Split(x, [3, 3, 1])
    """
    if not any(node.op_type == "Split" for node in graph.nodes):
        return
    shapes = static_shapes(graph)
    for node in graph.nodes:
        shape = shapes.get(node.input[0])
        if node.op_type != "Split" or graph.opset < 13 or shape is None or any(node.input[1:]):
            continue
        size, parts = shape[attribute(node, "axis", 0)], len(node.output)
        part = math.ceil(size / parts)
        name = graph.fresh_name(f"{node.output[0]}_sizes")
        graph.constants[name] = np.array([min(part, size - part * place) for place in range(parts)], np.int64)
        del node.input[1:]
        node.input.append(name)
        kept = [entry for entry in node.attribute if entry.name != "num_outputs"]
        del node.attribute[:]
        node.attribute.extend(kept)
