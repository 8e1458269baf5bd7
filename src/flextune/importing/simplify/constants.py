"""Constant folding on the ONNX level, with ONNX's own reference evaluator (exact per operator-set version)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from flextune.errors import ModelError
from flextune.importing.inference import inferred_graph
from flextune.importing.onnx_graph import OnnxGraph, attribute, nested_graphs
from flextune.importing.sized.nodes import is_sized
from flextune.importing.tensors import tensor_array

PartialShape = tuple[int | None, ...]
"""None for a size that is not known."""

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
QUANTIZED = "DequantizeLinear"
"""Quantised weights stay the integers that they are."""
MOST_FOLDED = 2**28
"""Elements of a constant that is computed from others: 1 GiB of float32."""

_GROWING = """
Add And Concat ConstantOfShape Conv ConvTranspose Div Einsum Equal Expand EyeLike Gather GatherElements GatherND Gemm
Greater GreaterOrEqual Less LessOrEqual MatMul Max Mean Min Mod Mul OneHot Or Pad Pow Range Resize Sub Sum Tile
Upsample Where Xor
"""
GROWING = frozenset(_GROWING.split())
"""Operators whose results can be much larger than what they read."""

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


Extents = tuple[int | str, ...]
"""A shape, with names of sizes where these are known only when the model runs."""


def inferred_shapes(graph: OnnxGraph) -> dict[str, Extents]:
    """The shape of every value of which ONNX's inference finds each extent, as a number or by name."""
    shapes: dict[str, Extents] = {name: array.shape for name, array in graph.constants.items()}
    for name, dims in _inferred_dims(graph):
        if all(dim.WhichOneof("value") for dim in dims):
            shapes[name] = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims)
    return shapes


def partial_shapes(graph: OnnxGraph) -> dict[str, PartialShape]:
    """The shape of every value whose rank ONNX's inference finds, with None for sizes that are no numbers."""
    shapes: dict[str, PartialShape] = {name: array.shape for name, array in graph.constants.items()}
    for name, dims in _inferred_dims(graph):
        shapes[name] = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    return shapes


def _inferred_dims(graph: OnnxGraph) -> Iterator[tuple[str, Sequence[onnx.TensorShapeProto.Dimension]]]:
    inferred = inferred_graph(graph.skeleton())
    for value in [*inferred.input, *inferred.value_info, *inferred.output]:
        if value.type.tensor_type.HasField("shape"):
            yield value.name, value.type.tensor_type.shape.dim


def static_shapes(graph: OnnxGraph) -> dict[str, tuple[int, ...]]:
    """The shape of every value where ONNX's inference finds it fully known."""
    return only_static(inferred_shapes(graph))


def only_static(shapes: Mapping[str, Extents | PartialShape]) -> dict[str, tuple[int, ...]]:
    """Those whose extents are all numbers."""
    numbers = {name: tuple(each for each in shape if isinstance(each, int)) for name, shape in shapes.items()}
    return {name: shape for name, shape in numbers.items() if len(shape) == len(shapes[name])}


def _is_foldable(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    if node.op_type in RANDOM or node.op_type in TENSOR_FREE or node.op_type == QUANTIZED:
        return False
    if not node.input and node.op_type != "OptionalHasElement":  # of nothing: no
        return False
    if is_sized(node):
        return False
    if any(True for _ in nested_graphs(node)):
        return False
    return all(name in graph.constants for name in node.input if name)


def _evaluate(node: onnx.NodeProto, graph: OnnxGraph) -> dict[str, np.ndarray] | None:
    names = [name for name in dict.fromkeys(node.input) if name]
    if node.op_type in GROWING:
        _check_growth(node, graph)
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


def _check_growth(node: onnx.NodeProto, graph: OnnxGraph) -> None:
    """Raise ModelError where the values that a node gives are too large, before they are computed."""
    elements = _elements(node, graph)
    if elements > MOST_FOLDED:
        raise ModelError(
            f"model {graph.name!r}: {node.op_type} {node.name or node.output[0]} would give a constant of {elements} "
            f"elements; at most {MOST_FOLDED} can be"
        )


def _elements(node: onnx.NodeProto, graph: OnnxGraph) -> int:
    """How many elements a node on constants gives. Not by inference where that writes out what it counts."""
    if node.op_type == "Range":
        return _range_elements(node, graph)
    if node.op_type == "ConstantOfShape":
        return math.prod(max(int(size), 0) for size in graph.constants[node.input[0]].reshape(-1))
    read = {name: graph.constants[name] for name in node.input if name}
    single = OnnxGraph([node], read, [], [], graph.opset, "fold")
    single.outputs = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name]
    inferred = inferred_graph(single.skeleton(), follow_values=False).output
    return sum(math.prod(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in inferred)


def _range_elements(node: onnx.NodeProto, graph: OnnxGraph) -> int:
    start, limit, step = (float(graph.constants[name].reshape(-1)[0]) for name in node.input)
    if step == 0.0 or not math.isfinite(start + limit + step):
        raise ModelError(f"model {graph.name!r}: Range {node.name or node.output[0]} has the step {step}")
    return max(0, math.ceil((limit - start) / step))


def _filled(node: onnx.NodeProto, shape: np.ndarray) -> np.ndarray:
    value = next((entry.t for entry in node.attribute if entry.name == "value"), None)
    fill = np.zeros(1, np.float32) if value is None else tensor_array(value).reshape(-1)
    return np.full(tuple(int(size) for size in shape), fill[0], fill.dtype)
