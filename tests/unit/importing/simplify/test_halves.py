from __future__ import annotations

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import DTypeLike
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, value

FLOAT16, BFLOAT16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
BOTH = pytest.mark.parametrize("half", [FLOAT16, BFLOAT16], ids=str)
Constants = Mapping[str, np.ndarray]


def kind(dtype: DTypeLike) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def executable(
    nodes: Sequence[onnx.NodeProto],
    x: np.ndarray,
    results: Mapping[str, DTypeLike],
    constants: Constants,
    opset: int = 18,
) -> Executable:
    outputs = [helper.make_tensor_value_info(name, kind(dtype), None) for name, dtype in results.items()]
    proto = model_of(nodes, [value("x", x.shape, kind(x.dtype))], outputs, dict(constants), opset)
    proto = onnx.shape_inference.infer_shapes(proto)
    return compile_model(partition_model(model_from_proto(proto, "halves")), {}, detect()).executable


def random(half: np.dtype, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(half)


def check_rounded_once(got: np.ndarray, want: np.ndarray, half: np.dtype) -> None:
    """The exact result, rounded to 16 bits; sums in float32 may round the other way where it is a near tie."""
    assert got.dtype == half
    want = want.astype(half)
    steps = np.abs(got.view(np.int16).astype(np.int32) - want.view(np.int16).astype(np.int32))
    assert steps.max() <= 1
    assert np.mean(steps) < 0.02


@BOTH
@pytest.mark.parametrize("length", [257, 4096])
def test_products_are_summed_in_float32(half: np.dtype, length: int) -> None:
    x, w = random(half, 5, length), random(half, length, 19, seed=1)
    built = executable([helper.make_node("MatMul", ["x", "w"], ["y"])], x, {"y": half}, {"w": w})
    check_rounded_once(built.run({"x": x})["y"], x.astype(np.float64) @ w.astype(np.float64), half)


@BOTH
@pytest.mark.parametrize(
    ("node", "function"),
    [
        (helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0), lambda x: x.mean()),
        (helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=0), lambda x: x.sum(3)),
        (helper.make_node("GlobalAveragePool", ["x"], ["y"]), lambda x: x.mean((2, 3), keepdims=True)),
        (helper.make_node("Softmax", ["x"], ["y"]), lambda x: np.exp(x) / np.exp(x).sum(3, keepdims=True)),
        (helper.make_node("Mul", ["x", "x"], ["y"]), lambda x: x * x),
        (helper.make_node("Neg", ["x"], ["y"]), lambda x: -x),
    ],
    ids=lambda each: getattr(each, "op_type", ""),
)
def test_operators_round_once(half: np.dtype, node: onnx.NodeProto, function: object) -> None:
    assert callable(function)
    x = random(half, 1, 3, 129, 170)
    built = executable([node], x, {"y": half}, {"axis": np.array([3], np.int64)} if "axis" in node.input else {})
    check_rounded_once(built.run({"x": x})["y"], np.asarray(function(x.astype(np.float64))), half)


@BOTH
def test_batch_norm_behind_a_convolution(half: np.dtype) -> None:
    x, w = random(half, 2, 64, 9, 7), random(half, 12, 64, 3, 3, seed=1)
    norm = {name: random(half, 12, seed=seed) + half.type(0.5) for seed, name in enumerate("sbmv", 2)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *"sbmv"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    wide = model_of(
        nodes,
        [value("x", x.shape)],
        [value("y", [2, 12, 9, 7])],
        {"w": w.astype(np.float32)} | {n: a.astype(np.float32) for n, a in norm.items()},
    )
    (want,) = evaluate(wide, {"x": x.astype(np.float32)})
    check_rounded_once(executable(nodes, x, {"y": half}, {"w": w, **norm}).run({"x": x})["y"], want, half)


@BOTH
def test_a_cast_rounds_and_jumps_see_what_was_rounded(half: np.dtype) -> None:
    x = np.random.default_rng(3).uniform(-200, 200, (7, 31)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=kind(half)),
        helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["h", "h"], ["square"]),
        helper.make_node("Cast", ["square"], ["whole"], to=TensorProto.INT32),
        helper.make_node("CastLike", ["x", "h"], ["like"]),
        helper.make_node("Equal", ["like", "h"], ["same"]),
    ]
    got = executable(nodes, x, {"y": np.float32, "whole": np.int32, "same": np.bool_, "h": half}, {}, 19).run({"x": x})
    rounded = x.astype(half)
    np.testing.assert_array_equal(got["y"], rounded.astype(np.float32))
    np.testing.assert_array_equal(got["h"], rounded)
    products = (rounded.astype(np.float64) ** 2).astype(half)
    np.testing.assert_array_equal(got["whole"], products.astype(np.int32))
    assert got["same"].all()


@BOTH
def test_quantised_in_16_bits(half: np.dtype) -> None:
    x = (random(half, 6, 33) - half.type(0.5)) * half.type(8)
    constants = {"s": np.array(0.05, half), "z": np.array(3, np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    got = executable(nodes, x, {"y": half, "q": np.int8}, constants, 19).run({"x": x})
    scale = constants["s"].astype(np.float32)
    q = np.clip(np.rint(x.astype(np.float32) / scale) + 3, -128, 127)
    np.testing.assert_allclose(got["q"], q, atol=1)  # divided, or multiplied with the inverse
    np.testing.assert_array_equal(got["y"], ((got["q"].astype(np.float32) - 3) * scale).astype(half))


def test_bfloat16_values_that_are_only_moved() -> None:
    x = random(BFLOAT16, 3, 5)
    c = np.array([[1, 2.5, -4]], BFLOAT16)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("Add", ["t", "c"], ["y"]),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    got = executable(nodes, x, {"y": BFLOAT16, "same": BFLOAT16, "t": BFLOAT16}, {"c": c}).run({"x": x})
    np.testing.assert_array_equal(got["same"], x)
    np.testing.assert_array_equal(got["t"], x.T)
    np.testing.assert_array_equal(got["y"], (x.T.astype(np.float32) + c.astype(np.float32)).astype(BFLOAT16))
