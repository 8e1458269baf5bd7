"""ONNX's inference of shapes and types, and what it says of a model that contradicts itself."""

from __future__ import annotations

import re

import onnx

from flextune.errors import ModelError


def inferred_graph(proto: onnx.ModelProto, follow_values: bool = True) -> onnx.GraphProto:
    """The graph with all shapes and types that inference finds. ModelError where declared and computed types differ.

    Values that shapes are made of are followed through the graph, unless `follow_values` is false: a `Range` to 5e9
    would be written out.
    """
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=follow_values).graph
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"model {proto.graph.name!r} contradicts itself: {_readable(str(error))}") from error


def contradiction(proto: onnx.ModelProto) -> str:
    """The first thing in a model that ONNX does not allow, in its inference's words; empty if it finds none.

    What is declared of values in between and of the shapes of outputs is left aside: exporters get it wrong.
    """
    checked = onnx.ModelProto()
    checked.CopyFrom(proto)
    del checked.graph.value_info[:]
    for output in checked.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    try:
        onnx.shape_inference.infer_shapes(checked, check_type=True, strict_mode=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        return _readable(str(error))
    return ""


def _readable(said: str) -> str:
    """Without the labels of the library's own levels, in one line."""
    plain = re.sub(r"\[(Shape|Type)InferenceError\]|Inference error\(s\):|\(op_type:[^)]*\):", " ", said)
    named = re.findall(r"node name: ([^)]+)\)", said)
    text = " ".join(plain.split())
    return f"{text} (node {named[0]})" if named else text
