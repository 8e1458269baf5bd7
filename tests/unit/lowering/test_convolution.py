"""Convolutions and poolings of any shape between any two layouts, against ONNX's own evaluator."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.importing.model import model_from_proto
from flextune.lowering.convolution import weight_layout
from flextune.lowering.layout import NCHW, NHWC, blocked
from flextune.plan.layouts.layout_assignment import LayoutAssignment, LayoutPair
from flextune.plan.layouts.layout_problem import LayoutProblem
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, random_array, value

LAYOUTS = (NHWC, NCHW, blocked(8), blocked(16))


def convolution(rng: random.Random) -> onnx.ModelProto:
    """One convolution with a bias and what follows, one group or depthwise, batches, dilation, uneven padding."""
    batch, height, width = rng.choice([1, 2]), rng.randint(7, 13), rng.randint(7, 13)
    depthwise = rng.random() < 0.4
    ci = rng.choice([16, 32]) if depthwise else rng.choice([3, 8, 16, 24])
    co = ci if depthwise else rng.choice([8, 16, 48])
    kernel = [rng.randint(1, 3), rng.randint(1, 3)]
    attributes = {
        "pads": [rng.randint(0, 1) for _ in range(4)],
        "strides": [rng.randint(1, 2), rng.randint(1, 2)],
        "dilations": [rng.randint(1, 2), rng.randint(1, 2)],
        "group": ci if depthwise else 1,
    }
    constants = {"w": random_array(1, co, 1 if depthwise else ci, *kernel), "b": random_array(2, co)}
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], **attributes), helper.make_node("Tanh", ["c"], ["y"])]
    return model_of(nodes, [value("x", [batch, ci, height, width])], [value("y", None)], constants)


def pooling(rng: random.Random) -> onnx.ModelProto:
    """A convolution of one element per window, so that images are laid out, and a pooling."""
    height, width = rng.randint(7, 13), rng.randint(7, 13)
    attributes = {
        "kernel_shape": [rng.randint(2, 3), rng.randint(2, 3)],
        "pads": [rng.randint(0, 1) for _ in range(4)],
        "strides": [rng.randint(1, 2), rng.randint(1, 2)],
        "ceil_mode": rng.choice([0, 0, 1]),
    }
    name = rng.choice(["MaxPool", "AveragePool"])
    extra = {} if name == "MaxPool" else {"count_include_pad": rng.choice([0, 1])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node(name, ["c"], ["p"], **attributes, **extra),
        helper.make_node("Sigmoid", ["p"], ["y"]),
    ]
    return model_of(nodes, [value("x", [1, 8, height, width])], [value("y", None)], {"w": random_array(1, 16, 8, 1, 1)})


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("build", [convolution, pooling], ids=["convolution", "pooling"])
def test_any_layouts_compute_the_same(build: object, seed: int) -> None:
    rng = random.Random(seed)
    proto = onnx.shape_inference.infer_shapes(build(rng))  # type: ignore[operator]
    partition = partition_model(model_from_proto(proto, "test"), without=["winograd"])
    assert partition.switcher is not None
    choices = LayoutProblem.of(partition.switcher.plan, LAYOUTS).choices
    assert choices
    chosen = LayoutAssignment.of({choice.place: rng.choice(choice.pairs) for choice in choices})
    executable = compile_model(partition.laid_out(chosen), {}, detect(), threads=1).executable
    inputs = executable.random_inputs(seed)
    found = executable.run(inputs)["y"]
    np.testing.assert_allclose(found, evaluate(proto, inputs)[0], rtol=1e-4, atol=1e-5, err_msg=str(chosen))


def test_weights_are_split_as_what_they_meet() -> None:
    assert weight_layout(NHWC, NHWC, depthwise=False) == weight_layout(NCHW, NHWC, depthwise=False) == "HWIO"
    assert weight_layout(blocked(16), blocked(8), depthwise=False) == "HWIO16i8o"
    assert weight_layout(NHWC, blocked(8), depthwise=False) == "HWIO8o"
    assert weight_layout(blocked(8), blocked(8), depthwise=True) == "HWIO8o"
    assert str(LayoutPair(NCHW, blocked(8))) == "NCHW>NCHW8c"
