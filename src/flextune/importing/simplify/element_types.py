"""The element type of every value, as ONNX's inference finds it."""

from __future__ import annotations

import onnx

from flextune.importing.inference import inferred_graph
from flextune.importing.onnx_graph import OnnxGraph


def element_types(graph: OnnxGraph) -> dict[str, int]:
    """Value -> `TensorProto.DataType`, where it is known."""
    types = {name: onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in graph.constants.items()}
    inferred = inferred_graph(graph.skeleton(), follow_values=False)
    for value in [*inferred.input, *inferred.value_info, *inferred.output]:
        if value.type.tensor_type.elem_type:
            types[value.name] = value.type.tensor_type.elem_type
    return {name: kind for name, kind in types.items() if kind}
