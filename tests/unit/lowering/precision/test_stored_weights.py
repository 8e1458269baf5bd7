"""Weights of few bits: their products against NumPy in float64, and that the library holds them in few bits."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.errors import ModelError
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import model_of, random_array, value

INPUTS, COLUMNS = 256, 144


def built(proto: onnx.ModelProto) -> Executable:
    return compile_model(partition_model(model_from_proto(proto, "stored")), {}, detect()).executable


def small(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.001, 0.01, shape).astype(np.float32)


def check(proto: onnx.ModelProto, x: np.ndarray, weights: np.ndarray, most_bytes: float) -> None:
    executable = built(proto)
    want = x.astype(np.float64) @ weights
    got = executable.run({"x": x})["y"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())
    assert executable.signature.weight_bytes < most_bytes


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("axis", "size"), [(0, 32), (0, 8), (1, 16), (0, 0), (1, 0)])
@pytest.mark.parametrize("zero_points", [False, True])
def test_dequantised_weights(rows: int, bits: int, axis: int, size: int, zero_points: bool) -> None:
    half = 1 << (bits - 1)
    dtype = np.dtype(np.int8) if bits == 8 else np.dtype(ml_dtypes.int4)
    rng = np.random.default_rng(bits)
    q = rng.integers(-half, half, (INPUTS, COLUMNS))
    shape = [INPUTS, COLUMNS] if size else [[INPUTS, COLUMNS][axis]]
    if size:
        shape[axis] //= size
    scales, zeros = small(1, *shape), rng.integers(-5, 6, shape) * zero_points
    constants = {"q": q.astype(dtype), "s": scales, "z": zeros.astype(dtype)}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=axis, block_size=size),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [rows, INPUTS])], [value("y", [rows, COLUMNS])], constants, opset=21)
    spread = (lambda a: np.repeat(a, size, axis)) if size else (lambda a: a[:, None] if axis == 0 else a)
    weights = (q - spread(zeros)).astype(np.float64) * spread(scales)
    is_stored = axis == 0 if size else axis == 1
    most = q.size * bits / 8 * 1.15 + 8 * scales.size + 4096 if is_stored else 5 * q.size
    check(proto, random_array(3, rows, INPUTS), weights, most)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zero_points", ["none", "packed", "float"])
@pytest.mark.parametrize(("rows", "inputs", "size"), [(1, 256, 32), (5, 256, 16), (40, 256, 64), (1, 250, 32)])
def test_products_of_packed_weights(bits: int, zero_points: str, rows: int, inputs: int, size: int) -> None:
    blocks = -(-inputs // size)
    rng = np.random.default_rng(7)
    q = rng.integers(0, 1 << bits, (COLUMNS, blocks, size)).astype(np.uint8)
    scales, zeros = small(1, COLUMNS, blocks), rng.integers(0, 1 << bits, (COLUMNS, blocks)).astype(np.uint8)
    constants = {"q": packed(q, bits), "s": scales.reshape(-1), "b": random_array(5, COLUMNS)}
    if zero_points == "none":
        zeros[:] = 1 << (bits - 1)
    else:
        constants["z"] = packed(zeros, bits) if zero_points == "packed" else zeros.astype(np.float32).reshape(-1)
    inputs_named = ["x", "q", "s", "z" if "z" in constants else "", "", "b"]
    node = helper.make_node(
        "MatMulNBits", inputs_named, ["y"], domain="com.microsoft", K=inputs, N=COLUMNS, bits=bits, block_size=size
    )
    proto = model_of([node], [value("x", [rows, inputs])], [value("y", [rows, COLUMNS])], constants)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    weights = (q.astype(np.float64) - zeros[:, :, None]) * scales[:, :, None]
    x = random_array(3, rows, inputs)
    want = x.astype(np.float64) @ weights.reshape(COLUMNS, -1)[:, :inputs].T + constants["b"]
    np.testing.assert_allclose(built(proto).run({"x": x})["y"], want, rtol=1e-4, atol=1e-5)


def packed(numbers: np.ndarray, bits: int) -> np.ndarray:
    """The numbers of the last axis in bytes, the first one in the lowest bits."""
    count = 8 // bits
    padded = np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, -numbers.shape[-1] % count)])
    parts = padded.reshape(*padded.shape[:-1], -1, count) << (bits * np.arange(count, dtype=np.uint8))
    return np.bitwise_or.reduce(parts, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_weights_of_16_bits(half: type) -> None:
    w = random_array(1, INPUTS, COLUMNS).astype(half).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    proto = model_of([node], [value("x", [2, INPUTS])], [value("y", [2, COLUMNS])], {"w": w})
    check(proto, random_array(2, 2, INPUTS), w.astype(np.float64), 2.3 * w.size)


def test_reordered_inputs_are_refused() -> None:
    constants = {"q": np.zeros((8, 1, 8), np.uint8), "s": small(1, 8), "g": np.zeros(16, np.int32)}
    node = helper.make_node(
        "MatMulNBits", ["x", "q", "s", "", "g"], ["y"], domain="com.microsoft", K=16, N=8, bits=4, block_size=16
    )
    proto = model_of([node], [value("x", [1, 16])], [value("y", [1, 8])], constants)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ModelError, match="g_idx"):
        built(proto)
