"""Constant folding on the ONNX level, with ONNX's own reference evaluator (exact per operator-set version)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from flextune.importing.onnx_graph import OnnxGraph, attribute, nested_graphs

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
QUANTIZED = "DequantizeLinear"
"""Quantised weights stay the integers that they are."""
TENSOR_FREE = frozenset({"If", "Loop", "Scan", "SequenceConstruct", "SequenceEmpty", "Optional"})


def fold_constants(graph: OnnxGraph) -> None:
    """Replace every node whose inputs are all constant by its value.

    before: y = Unsqueeze(c)   -->   after: constant y
    """
    kept = []
    for node in graph.nodes:
        if node.op_type == "Constant" or _is_foldable(node, graph):
            values = _evaluate(node, graph)
            if values is not None:
                graph.constants.update(values)
                continue
        kept.append(node)
    graph.nodes = kept


def fold_shapes(graph: OnnxGraph) -> None:
    """Replace `Shape` of a value whose shape is known by that shape.

    before: s = Shape(x[1,3,8,8])   -->   after: constant s = [1,3,8,8]
    """
    if not any(node.op_type in ("Shape", "Size") for node in graph.nodes):
        return
    shapes = static_shapes(graph)
    kept = []
    for node in graph.nodes:
        shape = shapes.get(node.input[0]) if node.op_type in ("Shape", "Size") else None
        if shape is None:
            kept.append(node)
        elif node.op_type == "Size":
            graph.constants[node.output[0]] = np.array(np.prod(shape, dtype=np.int64), np.int64)
        else:
            start = attribute(node, "start", 0)
            end = attribute(node, "end", len(shape))
            graph.constants[node.output[0]] = np.array(shape[slice(start, end)], np.int64)
    graph.nodes = kept


def static_shapes(graph: OnnxGraph) -> dict[str, tuple[int, ...]]:
    """The shape of every value where ONNX's inference finds it fully known."""
    shapes = {name: array.shape for name, array in graph.constants.items()}
    inferred = onnx.shape_inference.infer_shapes(graph.skeleton(), data_prop=True).graph
    for value in [*inferred.input, *inferred.value_info, *inferred.output]:
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return shapes


def _is_foldable(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    if node.op_type in RANDOM or node.op_type in TENSOR_FREE or node.op_type == QUANTIZED or not node.input:
        return False
    if any(True for _ in nested_graphs(node)):
        return False
    return all(name in graph.constants for name in node.input if name)


def _evaluate(node: onnx.NodeProto, graph: OnnxGraph) -> dict[str, np.ndarray] | None:
    names = [name for name in dict.fromkeys(node.input) if name]
    if node.op_type == "ConstantOfShape":
        return {node.output[0]: _filled(node, graph.constants[node.input[0]])}
    inputs = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names]
    outputs = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "fold", inputs, outputs),
        opset_imports=[onnx.helper.make_opsetid("", graph.opset)],
    )
    try:
        values = ReferenceEvaluator(model).run(None, {name: graph.constants[name] for name in names})
    except (RuntimeError, ValueError, TypeError, NotImplementedError, IndexError, KeyError, AttributeError):
        return None  # the evaluator lacks this operator or type; the importer may still know it
    if not all(isinstance(value, np.ndarray | np.generic) and value.dtype.isbuiltin == 1 for value in values):
        return None  # sequences, and types that NumPy itself does not have
    return {output.name: np.asarray(value) for output, value in zip(outputs, values, strict=True)}


def _filled(node: onnx.NodeProto, shape: np.ndarray) -> np.ndarray:
    value = next((entry.t for entry in node.attribute if entry.name == "value"), None)
    fill = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value).reshape(-1)
    return np.full(tuple(int(size) for size in shape), fill[0], fill.dtype)
