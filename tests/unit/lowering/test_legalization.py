"""NaN, infinities and denormals in built models, as ONNX defines them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, value

NAN, INF = np.nan, np.inf
SPECIAL = np.array([NAN, INF, -INF, -1.0, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38, 2, 7, 1, -7, 0.5, NAN], np.float32)
ROWS = np.array([[1, 2, NAN, 3], [1, 2, INF, 3], [-INF] * 4, [-INF, 1, 1, 1], [NAN, 1, 1, 1]], np.float32)


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    built = compile_model(partition_model(model_from_proto(proto, "special")), {}, detect())
    return built.executable.run({"x": x})["y"]


def one_node(operator: str, x: np.ndarray, constants: dict[str, np.ndarray], **attributes: object) -> onnx.ModelProto:
    node = helper.make_node(operator, ["x", *constants], ["y"], **attributes)
    proto = model_of([node], [value("x", x.shape)], [value("y", None)], constants)
    return onnx.shape_inference.infer_shapes(proto)


BOUNDS = {"lo": np.array(-1, np.float32), "hi": np.array(6, np.float32)}


@pytest.mark.parametrize(
    ("operator", "constants", "attributes"),
    [
        ("Relu", {}, {}),
        ("Clip", BOUNDS, {}),
        ("Max", {"c": np.array(0.25, np.float32)}, {}),
        ("Exp", {}, {}),
        ("Tanh", {}, {}),
        ("HardSigmoid", {}, {}),
        ("Sign", {}, {}),
        ("Sigmoid", {}, {}),
    ],
)
def test_elements(operator: str, constants: dict[str, np.ndarray], attributes: dict[str, object]) -> None:
    x = np.tile(SPECIAL, (4, 1))
    proto = one_node(operator, x, constants, **attributes)
    with np.errstate(all="ignore"):
        (want,) = evaluate(proto, {"x": x})
    np.testing.assert_allclose(run(proto, x), want, rtol=1e-3, atol=1e-44)


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Softmax", {"axis": 1}),
        ("LogSoftmax", {"axis": 1}),
        ("ReduceMax", {"axes": [1]}),
        ("ReduceMin", {"axes": [1], "keepdims": 0}),
        ("ReduceMax", {"axes": [0]}),
        ("ReduceSum", {}),
    ],
)
def test_rows(operator: str, attributes: dict[str, object]) -> None:
    proto = one_node(operator, ROWS, {}, **attributes)
    with np.errstate(all="ignore"):
        (want,) = evaluate(proto, {"x": ROWS})
    np.testing.assert_allclose(run(proto, ROWS), want, rtol=1e-5)


def test_windows_of_a_pool() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 6)).astype(np.float32)
    x[0, 0, 2, 3], x[0, 0, 5, 0], x[0, 1] = NAN, INF, -INF
    proto = one_node("MaxPool", x, {}, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-INF)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    np.testing.assert_array_equal(run(proto, x), windows.max((-2, -1)))


def test_two_values() -> None:
    node = helper.make_node("Min", ["x", "z"], ["y"])
    proto = model_of([node], [value("x", [16]), value("z", [16])], [value("y", [16])])
    built = compile_model(partition_model(model_from_proto(proto, "two")), {}, detect())
    x, z = SPECIAL, SPECIAL[::-1].copy()
    np.testing.assert_array_equal(built.executable.run({"x": x, "z": z})["y"], np.minimum(x, z))


@pytest.mark.parametrize("axis", [0, 1])
def test_places_out_of_range_read_nothing_else(axis: int) -> None:
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    node = helper.make_node("Gather", ["t", "x"], ["y"], axis=axis)
    places = np.array([[0, 2, -1], [2**40, 4, -(2**40)]])
    shape = [2, 3, 4] if axis == 0 else [3, 2, 3]
    proto = model_of([node], [value("x", [2, 3], TensorProto.INT64)], [value("y", shape)], {"t": table})
    got = np.moveaxis(run(proto, places), 0, -1) if axis else run(proto, places)
    want = table if axis == 0 else table.T
    np.testing.assert_array_equal(got[0], want[[0, 2, -1]])
    assert np.all(np.isnan(got[1]))


def test_integers_out_of_range_are_the_nearest() -> None:
    node = helper.make_node("Gather", ["t", "x"], ["y"])
    inputs = [value("x", [4], TensorProto.INT64)]
    table = np.array([5, 6, 7], np.int64)
    proto = model_of([node], inputs, [value("y", [4], TensorProto.INT64)], {"t": table})
    np.testing.assert_array_equal(run(proto, np.array([1, 3, 2**40, -(2**40)])), [6, 7, 7, 5])
