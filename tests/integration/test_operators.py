"""Small models of other kinds than the shipped ones: built by default and compared with ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import flextune
from flextune.importing.model import load_model
from flextune.testing.models import evaluate, model_of, random_array, value

N = helper.make_node


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def mobile_block() -> onnx.ModelProto:
    """Expansion, depthwise convolution with stride, relu6 as Clip, projection: MobileNetV2, batch of two."""
    constants = {
        "w1": random_array(1, 24, 8, 1, 1),
        "b1": random_array(2, 24),
        "w2": random_array(3, 24, 1, 3, 3),
        "b2": random_array(4, 24),
        "w3": random_array(5, 8, 24, 1, 1),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    nodes = [
        N("Conv", ["x", "w1", "b1"], ["a"]),
        N("Clip", ["a", "low", "high"], ["b"]),
        N("Conv", ["b", "w2", "b2"], ["c"], group=24, pads=[1, 1, 1, 1], strides=[2, 2]),
        N("Clip", ["c", "low", "high"], ["d"]),
        N("Conv", ["d", "w3"], ["e"]),
        N("GlobalAveragePool", ["e"], ["f"]),
        N("Flatten", ["f"], ["y"]),
    ]
    return model_of(nodes, [value("x", [2, 8, 9, 9])], [value("y", [2, 8])], constants)


def transformer_block() -> onnx.ModelProto:
    """Embedding, one attention head with mask, layer norm, gelu: two inputs (one of positions), two outputs."""
    constants = {
        "table": random_array(0, 10, 16),
        **{f"w{name}": random_array(i, 16, 16) for i, name in enumerate("qkvo")},
        "scale": np.array(0.25, np.float32),
        "gamma": random_array(8, 16),
        "beta": random_array(9, 16),
        "half": np.array(0.5, np.float32),
        "one": np.array(1, np.float32),
        "root": np.array(np.sqrt(0.5), np.float32),
    }
    nodes = [
        N("Gather", ["table", "ids"], ["x"]),
        *[N("MatMul", ["x", f"w{name}"], [name]) for name in "qkv"],
        N("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        N("MatMul", ["q", "kt"], ["raw"]),
        N("Mul", ["raw", "scale"], ["scaled"]),
        N("Add", ["scaled", "mask"], ["masked"]),
        N("Softmax", ["masked"], ["weights"], axis=-1),
        N("MatMul", ["weights", "v"], ["mixed"]),
        N("MatMul", ["mixed", "wo"], ["out"]),
        N("Add", ["out", "x"], ["sum"]),
        N("LayerNormalization", ["sum", "gamma", "beta"], ["normed"], axis=-1),
        N("Mul", ["normed", "root"], ["r"]),
        N("Erf", ["r"], ["e"]),
        N("Add", ["e", "one"], ["e1"]),
        N("Mul", ["normed", "e1"], ["g"]),
        N("Mul", ["g", "half"], ["y"]),
    ]
    inputs = [value("ids", [2, 5], TensorProto.INT64), value("mask", [2, 1, 5])]
    return model_of(nodes, inputs, [value("y", [2, 5, 16]), value("weights", [2, 5, 5])], constants)


def upsampling_net() -> onnx.ModelProto:
    """Transposed convolution, nearest resize, channel split and concat, leaky relu, sigmoid."""
    constants = {
        "w": random_array(0, 6, 4, 4, 4),
        "b": random_array(1, 4),
        "sizes": np.array([1, 1, 2, 2], np.float32),
        "parts": integers(1, 3),
    }
    nodes = [
        N("ConvTranspose", ["x", "w", "b"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        N("LeakyRelu", ["a"], ["l"], alpha=0.1),
        N("Split", ["l", "parts"], ["p", "q"], axis=1),
        N("Concat", ["q", "p"], ["c"], axis=1),
        N("Resize", ["c", "", "sizes"], ["r"], mode="nearest"),
        N("Sigmoid", ["r"], ["y"]),
    ]
    return model_of(nodes, [value("x", [1, 6, 5, 5])], [value("y", [1, 4, 20, 20])], constants)


def dynamic_reshape() -> onnx.ModelProto:
    """Shape arithmetic as exporters write it around a flatten, then a Gemm with transposed weights, opset 11."""
    constants = {"w": random_array(0, 3, 24), "b": random_array(1, 3), "zero": integers(0)[0], "minus": integers(-1)}
    nodes = [
        N("Shape", ["x"], ["s"]),
        N("Gather", ["s", "zero"], ["n"], axis=0),
        N("Unsqueeze", ["n"], ["n1"], axes=[0]),
        N("Concat", ["n1", "minus"], ["target"], axis=0),
        N("Reshape", ["x", "target"], ["flat"]),
        N("Gemm", ["flat", "w", "b"], ["g"], transB=1, alpha=0.5),
        N("Softmax", ["g"], ["y"], axis=1),
    ]
    return model_of(nodes, [value("x", ["batch", 2, 3, 4])], [value("y", ["batch", 3])], constants, opset=11)


def conv1d_and_pools() -> onnx.ModelProto:
    """Conv1d with dilation, max and average pools that pad unevenly, PRelu, reduce."""
    constants = {"w": random_array(0, 6, 3, 3), "slope": random_array(1, 6, 1)}
    nodes = [
        N("Conv", ["x", "w"], ["a"], dilations=[2], pads=[2, 2]),
        N("PRelu", ["a", "slope"], ["p"]),
        N("MaxPool", ["p"], ["m"], kernel_shape=[3], strides=[2], pads=[0, 1]),
        N("AveragePool", ["m"], ["v"], kernel_shape=[2], strides=[1], pads=[1, 0], count_include_pad=1),
        N("ReduceMean", ["v"], ["y"], axes=[2], keepdims=0),
    ]
    return model_of(nodes, [value("x", [1, 3, 20])], [value("y", [1, 6])], constants, opset=13)


def input_to_output() -> onnx.ModelProto:
    """Outputs that are an input, a constant, and one value under two names."""
    nodes = [
        N("Identity", ["x"], ["same"]),
        N("Relu", ["x"], ["r"]),
        N("Identity", ["r"], ["again"]),
        N("Constant", [], ["fixed"], value=helper.make_tensor("v", TensorProto.FLOAT, [2], [1, 2])),
    ]
    outputs = [value("same", [3]), value("r", [3]), value("again", [3]), value("fixed", [2])]
    return model_of(nodes, [value("x", [3])], outputs)


MODELS = (mobile_block, transformer_block, upsampling_net, dynamic_reshape, conv1d_and_pools, input_to_output)


@pytest.mark.parametrize("make", MODELS)
def test_model_computes_what_onnx_says(make: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    path = tmp_path / f"{make.__name__}.onnx"
    path.write_bytes(make().SerializeToString())
    model = load_model(path)
    executable = flextune.compile_model(flextune.partition_model(model), {}, flextune.detect()).executable
    inputs = model.random_inputs(1)
    outputs = executable.run(inputs)
    assert tuple(outputs) == model.outputs
    for got, want in zip(outputs.values(), evaluate(make(), inputs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
