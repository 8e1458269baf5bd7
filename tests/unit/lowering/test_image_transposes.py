"""Operators between convolutions: computed in NHWC, so that they fuse, whatever TVM's change of layout knows."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.importing.model import Model, model_from_proto
from flextune.lowering.lower import relax_operators
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, random_array, value

CHANNELS = 4


def between_convolutions(nodes: list[object], constants: dict[str, np.ndarray] | None = None, opset: int = 18) -> Model:
    """Convolution -> `nodes`, which read `a` and write `z` -> convolution."""
    weights = {
        "w1": random_array(1, CHANNELS, CHANNELS, 3, 3),
        "w2": random_array(2, CHANNELS, CHANNELS, 3, 3),
        "bias": random_array(3, CHANNELS),
    }
    around = [
        helper.make_node("Conv", ["x", "w1", "bias"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["z", "w2", "bias"], ["y"], pads=[1] * 4),
    ]
    proto = model_of(
        [around[0], *nodes, around[1]],
        [value("x", [1, CHANNELS, 9, 9])],
        [value("y", [None] * 4)],
        weights | (constants or {}),
        opset,
    )
    return model_from_proto(proto, "between")


def node(operator: str, *inputs: str, result: str = "z", **attributes: object) -> object:
    return helper.make_node(operator, list(inputs), [result], **attributes)


def operator_names(model: Model) -> list[str]:
    graph = OperatorGraph.of(relax_operators(model))
    assert graph is not None
    return [operator.name for operator in graph.operators]


def assert_computes(model: Model) -> None:
    x = random_array(9, 1, CHANNELS, 9, 9)
    got = compile_model(partition_model(model), {}, detect()).executable.run({"x": x})["y"]
    np.testing.assert_allclose(got, evaluate(model.proto, {"x": x})[0], rtol=1e-4, atol=1e-4)


SLOPES = random_array(5, CHANNELS, 1, 1)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("HardSwish", "a")], {}),
        ([node("HardSigmoid", "a", alpha=0.3, beta=0.4)], {}),
        ([node("LeakyRelu", "a", alpha=0.1)], {}),
        ([node("PRelu", "a", "s")], {"s": SLOPES}),
        ([node("PRelu", "a", "s")], {"s": SLOPES[:1, 0, 0]}),
    ],
    ids=["HardSwish", "HardSigmoid", "LeakyRelu", "PRelu", "PRelu of one slope"],
)
def test_activations_are_epilogues(nodes: list[object], constants: dict[str, np.ndarray]) -> None:
    model = between_convolutions(nodes, constants)
    assert operator_names(model).count("permute_dims") == 2  # of the model's input and output
    called = [task.name for task in partition_model(model).tasks]
    assert len([name for name in called if "conv2d" in name]) == 2
    assert len(called) == 4
    assert_computes(model)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("InstanceNormalization", "a", "s", "t")], {"s": random_array(5, CHANNELS), "t": SLOPES[:, 0, 0]}),
        (
            [
                node("GlobalAveragePool", "a", result="p"),
                node("Conv", "p", "v", result="q"),
                node("HardSigmoid", "q", result="gate"),
                node("Mul", "a", "gate"),
            ],
            {"v": random_array(5, CHANNELS, CHANNELS, 1, 1)},
        ),
        (
            [
                node("Transpose", "a", result="p", perm=[0, 2, 3, 1]),
                node("LayerNormalization", "p", "s", result="q"),
                node("Transpose", "q", perm=[0, 3, 1, 2]),
            ],
            {"s": random_array(5, CHANNELS)},
        ),
    ],
    ids=["instance norm", "squeeze and excite", "layer norm over channels"],
)
def test_nothing_is_transposed_between_convolutions(nodes: list[object], constants: dict[str, np.ndarray]) -> None:
    model = between_convolutions(nodes, constants)
    assert operator_names(model).count("permute_dims") == 2
    assert_computes(model)


def test_a_value_that_is_read_in_both_orders_is_right_in_both() -> None:
    flat = {"shape": np.array([1, CHANNELS, 9, 9]), "rows": np.array([1, CHANNELS, 81])}
    nodes = [
        node("LeakyRelu", "a", result="l", alpha=0.1),
        node("Reshape", "l", "rows", result="r"),
        node("Softmax", "r", result="s", axis=2),
        node("Reshape", "s", "shape", result="t"),
        node("Add", "l", "t"),
    ]
    assert_computes(between_convolutions(nodes, flat))


def test_zeros_around_an_image_are_the_convolutions_pads() -> None:
    model = between_convolutions([node("Pad", "a", "pads")], {"pads": np.array([0, 0, 1, 0, 0, 0, 2, 3])})
    assert "nn.pad" not in operator_names(model)
    assert operator_names(model).count("permute_dims") == 2
    assert_computes(model)


@pytest.mark.parametrize(
    ("pads", "fill", "mode"),
    [([0, 0, 1, 1, 0, 0, 1, 1], 0.5, "constant"), ([0, 0, 1, 1, 0, 0, 1, 1], 0.0, "edge")],
    ids=["another number", "edges"],
)
def test_other_pads_stay(pads: list[int], fill: float, mode: str) -> None:
    constants = {"pads": np.array(pads), "fill": np.array(fill, np.float32)}
    assert_computes(between_convolutions([node("Pad", "a", "pads", "fill", mode=mode)], constants))


def test_a_transposed_convolution_with_computed_weights_is_computed_as_it_is() -> None:
    nodes = [
        node("ReduceMean", "a", result="m"),
        node("Mul", "v", "m", result="w"),
        node("ConvTranspose", "a", "w", pads=[1] * 4),
    ]
    model = between_convolutions(nodes, {"v": random_array(5, CHANNELS, CHANNELS, 3, 3)})
    assert "nn.conv2d_transpose" in operator_names(model)
    assert_computes(model)
