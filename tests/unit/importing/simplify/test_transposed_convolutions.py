"""Transposed convolutions as plain ones, held against ONNX Runtime (ONNX's evaluator knows no dilation in groups)."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify import simplify
from flextune.importing.simplify.transposed import plain_convolutions
from flextune.testing.models import model_of, operators, random_array, value


def run(proto: object, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize(
    ("image", "weight", "attributes"),
    [
        ([1, 6, 5, 7], [6, 4, 2, 2], {"strides": [2, 2]}),
        ([2, 6, 5, 7], [6, 4, 4, 4], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ([1, 6, 5, 7], [6, 4, 3, 3], {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ([1, 6, 5, 7], [6, 2, 5, 3], {"strides": [3, 2], "group": 2, "pads": [1, 0, 2, 1]}),
        ([1, 6, 5, 7], [6, 1, 4, 4], {"strides": [2, 2], "group": 6, "pads": [1, 1, 1, 1]}),
        ([1, 6, 5, 7], [6, 4, 3, 2], {"strides": [2, 2], "dilations": [2, 3]}),
        ([1, 6, 5, 7], [6, 4, 3, 3], {"pads": [1, 1, 1, 1]}),
        ([1, 6, 5, 7], [6, 4, 2, 1], {"strides": [3, 2]}),
        ([1, 6, 5, 7], [6, 4, 3, 3], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ([1, 6, 5, 7], [6, 4, 3, 3], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ([1, 6, 5, 7], [6, 4, 3, 3], {"strides": [2, 2], "output_shape": [10, 14]}),
        ([1, 6, 9], [6, 4, 5], {"strides": [3], "pads": [1, 2]}),
        ([1, 3, 3, 4, 2], [3, 2, 3, 2, 3], {"strides": [2, 1, 2]}),
    ],
)
def test_the_same_values_without_a_transposed_convolution(
    image: list[int], weight: list[int], attributes: dict[str, object]
) -> None:
    channels = weight[1] * int(attributes.get("group", 1))  # type: ignore[call-overload]
    constants = {"w": random_array(1, *weight), "b": random_array(2, channels)}
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes)
    proto = model_of([node], [value("x", image)], [value("y", [None] * len(image))], constants)
    graph = OnnxGraph.of(proto)
    plain_convolutions(graph)
    assert operators(graph).count("Conv") == 1
    assert "ConvTranspose" not in operators(graph)
    x = random_array(3, *image)
    np.testing.assert_allclose(run(graph.to_proto(), x), run(proto, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("group", [1, 3])
def test_batch_norm_folds_into_it(group: int) -> None:
    constants = {"w": random_array(1, 6, 4 // group + 1, 2, 2), "mean": random_array(2, group * (4 // group + 1))}
    constants |= {name: random_array(seed, constants["mean"].size) + 2 for seed, name in enumerate(["g", "v", "b"], 3)}
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["c"], strides=[2, 2], group=group),
        helper.make_node("BatchNormalization", ["c", "g", "b", "mean", "v"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [1, 6, 5, 5])], [value("y", [None] * 4)], constants)
    graph = OnnxGraph.of(proto)
    simplify(graph)
    assert operators(graph) == ["Conv", "Reshape", "Transpose", "Reshape"]
    x = random_array(7, 1, 6, 5, 5)
    np.testing.assert_allclose(run(graph.to_proto(), x), run(proto, x), rtol=1e-5, atol=1e-5)


def test_weights_that_are_no_constants_leave_it() -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    inputs = [value("x", [1, 6, 5, 5]), value("w", [6, 4, 2, 2])]
    graph = OnnxGraph.of(model_of([node], inputs, [value("y", [None] * 4)]))
    plain_convolutions(graph)
    assert operators(graph) == ["ConvTranspose"]
