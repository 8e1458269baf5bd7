"""Inputs that must be known when a model is compiled: those whose values decide shapes, and those without elements.

A built model has static shapes. What an input says about shapes (the target of a `Reshape`, the axes of a `ReduceSum`,
the limit of a `Range`) has to be a constant of the model; who has the values binds them, once for each set of values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import numpy_helper

from flextune.errors import ModelError
from flextune.importing.onnx_graph import names_read, nested_graphs

REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

SHAPE_POSITIONS: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "CumProd": (1,),
    "CumSum": (1,),
    "DFT": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "SplitToSequence": (1,),
    "Squeeze": (1,),
    "Tile": (1, 2),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
    **{f"Reduce{name}": (1,) for name in REDUCTIONS},
}
"""Operator -> positions of the inputs that decide the shape of an output, or which elements it is made of."""


def shape_inputs(graph: onnx.GraphProto) -> frozenset[str]:
    """The graph's inputs (those without a default) whose values decide shapes, directly or through other nodes.

    x: [2, 6], s: [3]; y = Reshape(x, Mul(s, t))   -->   {s, t}
    """
    constants = {tensor.name for tensor in graph.initializer}
    return frozenset(value.name for value in graph.input if value.name not in constants) & _needed(graph.node)


def bind_values(proto: onnx.ModelProto, values: Mapping[str, ArrayLike], source: str) -> onnx.ModelProto:
    """A copy in which these inputs are constants, of their declared types and shapes. ModelError where they cannot be.

    sr: int64[], {"sr": 16000}   -->   initializer sr = 16000
    """
    if not values:
        return proto
    declared = {value.name: value.type.tensor_type for value in proto.graph.input if value.type.HasField("tensor_type")}
    if unknown := sorted(values.keys() - declared.keys()):
        raise ModelError(f"{source} has no input {unknown[0]!r}; its inputs are {', '.join(declared)}")
    return bind_inputs(proto, {name: _as_declared(name, values[name], declared[name], source) for name in values})


def _as_declared(name: str, given: ArrayLike, declared: onnx.TypeProto.Tensor, source: str) -> np.ndarray:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(declared.elem_type))
    try:
        plain = np.asarray(given)
        array = plain.astype(dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{source}: input {name!r} is of {dtype}; {given!r} is no value of it") from error
    if dtype.kind in "iub" and not np.array_equal(array, plain):
        raise ModelError(f"{source}: input {name!r} is of {dtype}, which cannot hold {given!r}")
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in declared.shape.dim]
    if not declared.HasField("shape"):
        return array
    try:
        return array.reshape(sizes if sizes.count(-1) < 2 else (1,) * (len(sizes) - array.ndim) + array.shape)
    except ValueError as error:
        raise ModelError(f"{source}: input {name!r} is declared as {sizes}; {given!r} does not fit it") from error


def bind_inputs(proto: onnx.ModelProto, values: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy of the model in which these inputs are constants."""
    bound = onnx.ModelProto()
    bound.CopyFrom(proto)
    kept = [value for value in proto.graph.input if value.name not in values]
    del bound.graph.input[:]
    bound.graph.input.extend(kept)
    bound.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values.items())
    return bound


def _control_positions(node: onnx.NodeProto) -> tuple[int, ...]:
    """What decides shapes of a loop that collects slices, or of a branch that gives one of several shapes."""
    graphs = list(nested_graphs(node))
    if node.op_type == "Loop" and len(node.output) > len(node.input) - 2:
        return (0, 1)
    if node.op_type == "If":
        shapes = [[_static_shape(value) for value in graph.output] for graph in graphs]
        differs = any(None not in pair and pair[0] != pair[1] for pair in zip(*shapes, strict=False))
        return (0,) if differs or any(_needed_outside(graph) for graph in graphs) else ()
    return ()


def _needed_outside(graph: onnx.GraphProto) -> set[str]:
    """What decides shapes in a graph inside a node and comes from outside of it: then its results have several."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    return _needed(graph.node) - own - {name for node in graph.node for name in node.output}


def _static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _needed(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Names whose values must be known so that all shapes are, going from the last node to the first."""
    needed: set[str] = set()
    for node in reversed(list(nodes)):
        if node.op_type in ("Shape", "Size"):
            continue
        if any(name in needed for name in node.output):
            needed.update(names_read(node))
        positions = _control_positions(node) or SHAPE_POSITIONS.get(node.op_type, ())
        needed.update(node.input[position] for position in positions if position < len(node.input))
        for graph in nested_graphs(node):
            needed |= _needed(graph.node)
    return needed - {""}
