"""What `Dropout` says besides at inference: that it dropped nothing."""

from __future__ import annotations

import numpy as np

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.identities import is_training


def constant_masks(graph: OnnxGraph) -> None:
    """Replace the mask of an inference-mode `Dropout` by what it is.

    before: y, m = Dropout(x[2,3])   -->   after: y = Dropout(x); m = constant [[true, ...]]
    """
    if graph.opset < 10 or not any(node.op_type == "Dropout" and any(node.output[1:]) for node in graph.nodes):
        return
    shapes = static_shapes(graph)
    for node in graph.nodes:
        if node.op_type != "Dropout" or len(node.output) < 2 or is_training(node, graph):
            continue
        if node.input[0] in shapes:
            graph.constants[node.output[1]] = np.ones(shapes[node.input[0]], np.bool_)
            del node.output[1:]
