"""Random models of one operator, alone or behind a convolution, which changes the layout of what it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from flextune.importing.onnx_graph import names_read
from tests.differential.draw import Draw
from tests.differential.operators import GENERATORS

CHANNELS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A model and its inputs; `text` says what the operator was asked for."""

    proto: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    text: str


def random_case(operator: str, seed: int, behind_convolution: bool = True) -> Case:
    """The same case for the same arguments. The image is [2, 3, 6, 5], with CHANNELS channels behind a convolution."""
    rng = np.random.default_rng([seed, behind_convolution, *operator.encode()])
    image = rng.standard_normal((2, 3, 6, 5)).astype(np.float32)
    case = Draw(rng, "image", image.shape, inputs={"image": image})
    if behind_convolution:
        weight = rng.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float32) / 3
        case.nodes.append(helper.make_node("Conv", ["image", case.constant(weight)], ["convolved"], pads=[1] * 4))
        case.source, case.shape = "convolved", (2, CHANNELS, 6, 5)
    GENERATORS[operator](case)
    return case_of(operator, seed, case)


def case_of(operator: str, seed: int, case: Draw) -> Case:
    """What was drawn as a model; inputs that no node reads are left out."""
    read = {name for node in case.nodes for name in names_read(node)}
    case.inputs = {name: array for name, array in case.inputs.items() if name in read}
    return Case(_model(case), case.inputs, _text(operator, seed, case))


def _model(case: Draw) -> onnx.ModelProto:
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in case.inputs.items()
    ]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in case.constants.items()]
    outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in case.nodes[-1].output]
    graph = helper.make_graph(case.nodes, "random", values, outputs, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(proto).graph.output
    for output, found in zip(proto.graph.output, inferred, strict=True):
        output.CopyFrom(found)
    return proto


def _text(operator: str, seed: int, case: Draw) -> str:
    node = case.nodes[-1]
    attributes = ", ".join(f"{entry.name}={helper.get_attribute_value(entry)}" for entry in node.attribute)
    read = {name: case.constants[name] for name in node.input if name in case.constants}
    constants = ", ".join(f"{list(array.shape)} {np.asarray(array).reshape(-1)[:6]}" for array in read.values())
    inputs = ", ".join(f"{array.dtype}{list(array.shape)}" for array in case.inputs.values())
    return f"{operator} seed {seed}, set {case.opset}: {inputs}; {attributes}; constants {constants}"
