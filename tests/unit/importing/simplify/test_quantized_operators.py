"""Quantised operators against NumPy on integers, and against ONNX Runtime, whose rounding is the definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.errors import ModelError
from flextune.importing.model import model_from_proto
from flextune.lowering.lower import relax_operators
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, value

MICROSOFT = "com.microsoft"
U8, I8 = np.dtype(np.uint8), np.dtype(np.int8)
SIGNED = pytest.mark.parametrize("dtype", [U8, I8], ids=str)
Arrays = Mapping[str, np.ndarray]


def kind(dtype: np.dtype) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def whole(seed: int, dtype: np.dtype, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(dtype)


def small(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.001, 0.01, shape).astype(np.float32)


def model(node: onnx.NodeProto, x: np.ndarray, outputs: Sequence[np.dtype], constants: Arrays) -> onnx.ModelProto:
    results = [helper.make_tensor_value_info(n, kind(d), None) for n, d in zip(node.output, outputs, strict=True)]
    used = {name: array for name, array in constants.items() if name in node.input}
    proto = model_of([node], [value("x", x.shape, kind(x.dtype))], results, used)
    proto.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    partition = partition_model(model_from_proto(proto, "quantized"))
    return list(compile_model(partition, {}, detect()).executable.run({"x": x}).values())


def by_onnxruntime(proto: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    results: list[np.ndarray] = session.run(None, {"x": x})
    return results


ZERO_POINTS = [(U8, 128), (U8, 0), (U8, 255), (I8, 0), (I8, -7), (I8, -128)]


@SIGNED
@pytest.mark.parametrize(("weight", "zero_point"), ZERO_POINTS)
@pytest.mark.parametrize("per_column", [False, True])
def test_integer_products_are_exact(dtype: np.dtype, weight: np.dtype, zero_point: int, per_column: bool) -> None:
    x, w = whole(1, dtype, 2, 5, 37), whole(2, weight, 37, 13)
    zero = np.array(x.min(), dtype)
    zeros = whole(3, weight, 13) if per_column else np.array(zero_point, weight)
    node = helper.make_node("MatMulInteger", ["x", "w", "z", "wz"], ["y"])
    proto = model(node, x, [np.dtype(np.int32)], {"w": w, "z": zero, "wz": zeros})
    (got,) = run(proto, x)
    np.testing.assert_array_equal(got, (x.astype(np.int64) - int(zero)) @ (w.astype(np.int64) - zeros))
    assert "int8" in str(relax_operators(model_from_proto(proto, "quantized")).script(show_meta=False))


@pytest.mark.parametrize(("zero_point", "pads", "group"), [(128, [1, 0, 1, 2], 1), (77, [0] * 4, 1), (131, [1] * 4, 2)])
def test_integer_convolutions_are_exact(zero_point: int, pads: list[int], group: int) -> None:
    x, w = whole(1, U8, 2, 6, 11, 9), whole(2, U8, 12, 6 // group, 3, 3)
    node = helper.make_node("ConvInteger", ["x", "w", "z", "wz"], ["y"], pads=pads, strides=[2, 1], group=group)
    constants = {"w": w, "z": np.array(3, U8), "wz": np.array(zero_point, U8)}
    (got,) = run(model(node, x, [np.dtype(np.int32)], constants), x)
    plain = helper.make_node("Conv", ["x", "w"], ["y"], pads=pads, strides=[2, 1], group=group)
    wide = {"w": w.astype(np.float32) - np.float32(zero_point)}
    centred = x.astype(np.float32) - 3
    (want,) = evaluate(model(plain, centred, [np.dtype(np.float32)], wide), {"x": centred})
    np.testing.assert_array_equal(got, want)  # float32 holds these sums exactly


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((3, 5), np.float32),
        np.full((3, 5), 2.5, np.float32),
        -small(1, 3, 5),
        np.array([[1e-38, 0]], np.float32),
        np.random.default_rng(0).standard_normal((33, 77)).astype(np.float32) * 100,
    ],
    ids=["zeros", "one value", "negative", "tiny", "normal"],
)
def test_dynamic_quantization(x: np.ndarray) -> None:
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])
    proto = model(node, x, [U8, np.dtype(np.float32), U8], {})
    for got, want in zip(run(proto, x), by_onnxruntime(proto, x), strict=True):
        np.testing.assert_array_equal(got, want)


def constants_of(dtype: np.dtype) -> dict[str, np.ndarray]:
    """Scales and zero points by number, weights `w` of a convolution and `v` of a product, a bias `b`, an operand."""
    middle = 100 if dtype == U8 else -5
    scales = {f"s{n}": np.array(scale, np.float32) for n, scale in enumerate((0.03, 0.05, 0.07, 0.5, 1 / 255))}
    zeros = {f"z{n}": np.array(middle + offset, dtype) for n, offset in enumerate((0, 7, -9, 3))}
    rng = np.random.default_rng(9)
    return {
        **scales,
        **zeros,
        "none": np.array(np.iinfo(dtype).min, dtype),
        "w": whole(4, I8, 12, 4, 3, 3),
        "v": whole(5, I8, 9, 12),
        "ws": small(6, 12),
        "wz": np.zeros(12, I8),
        "b": rng.integers(-5000, 5000, 12).astype(np.int32),
        "c": whole(7, dtype, 1, 4, 8, 9),
    }


def node_of(operator: str, inputs: str, **attributes: Any) -> onnx.NodeProto:
    domain = "" if operator in ("QLinearConv", "QLinearMatMul") else MICROSOFT
    return helper.make_node(operator, inputs.split(), ["y"], domain=domain, **attributes)


EXACT = [
    node_of("QLinearConv", "x s0 z0 w ws wz s3 z3 b", pads=[1, 1, 1, 1]),
    node_of("QLinearConv", "x s0 z0 w ws wz s3 z3", strides=[2, 2]),
    node_of("QLinearMatMul", "x s0 z0 v ws wz s3 z3"),
]
WITHIN_ONE = [
    node_of("QLinearAdd", "x s0 z0 c s1 z1 s2 z2"),
    node_of("QLinearMul", "x s0 z0 c s1 z1 s2 z2"),
    node_of("QLinearSigmoid", "x s0 z0 s4 none"),
    node_of("QLinearLeakyRelu", "x s0 z0 s2 z2", alpha=0.1),
    node_of("QLinearGlobalAveragePool", "x s0 z0 s2 z2", channels_last=0),
    node_of("QLinearAveragePool", "x s0 z0 s2 z2", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    node_of("QLinearConcat", "s2 z2 x s0 z0 c s1 z1", axis=1),
]


@SIGNED
@pytest.mark.parametrize("node", [*EXACT, *WITHIN_ONE], ids=lambda node: str(node.op_type))
def test_operators_on_bytes(dtype: np.dtype, node: onnx.NodeProto) -> None:
    x = whole(8, dtype, 1, 4, 8, 9)
    proto = model(node, x, [dtype], constants_of(dtype))
    (got,), (want,) = run(proto, x), by_onnxruntime(proto, x)
    assert got.dtype == want.dtype
    assert np.abs(got.astype(int) - want).max() <= (0 if node in EXACT else 1)
    assert np.unique(want).size > 3


@pytest.mark.parametrize("rounds", [False, True])
def test_gemm_with_bias(rounds: bool) -> None:
    x = whole(8, U8, 5, 12)
    constants = constants_of(U8) | {"u": whole(5, I8, 12, 12)}
    node = node_of("QGemm", "x s0 z0 u ws wz b" + (" s3 z3" if rounds else ""), transB=1, alpha=1.5)
    proto = model(node, x, [U8 if rounds else np.dtype(np.float32)], constants)
    np.testing.assert_allclose(run(proto, x)[0], by_onnxruntime(proto, x)[0], rtol=0 if rounds else 1e-6)


def test_products_of_floats_by_bytes() -> None:
    x = np.random.default_rng(1).standard_normal((5, 9)).astype(np.float32)
    constants = constants_of(U8) | {"bias": small(1, 12)}
    proto = model(node_of("DynamicQuantizeMatMul", "x v ws wz bias"), x, [np.dtype(np.float32)], constants)
    np.testing.assert_allclose(run(proto, x)[0], by_onnxruntime(proto, x)[0], rtol=1e-5, atol=1e-6)


def test_what_means_something_else_is_refused() -> None:
    x = whole(8, U8, 1, 4, 8, 9)
    proto = model(node_of("QLinearGlobalAveragePool", "x s0 z0 s2 z2", channels_last=1), x, [U8], constants_of(U8))
    with pytest.raises(ModelError, match="channels_last"):
        run(proto, x)
