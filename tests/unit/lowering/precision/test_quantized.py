from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.importing.model import Model, load_model
from flextune.lowering.lower import relax_operators
from flextune.lowering.precision.zero_points import convolution_offset
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, random_array, value

STEP = np.float32(0.02)
"""Scale of every quantised activation."""


class Quantized:
    """Writes a QDQ graph: `q` rounds a value to bytes and back, `weights` adds a dequantised constant."""

    def __init__(self, signed: bool, zero_point: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        dtype = np.int8 if signed else np.uint8
        self.constants: dict[str, np.ndarray] = {"s": np.array(STEP), "z": np.array(zero_point, dtype)}

    def node(self, operator: str, inputs: Sequence[str], result: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [result], **attributes))
        return result

    def q(self, name: str) -> str:
        self.node("QuantizeLinear", [name, "s", "z"], f"{name}_q")
        return self.node("DequantizeLinear", [f"{name}_q", "s", "z"], f"{name}_dq")

    def weights(self, name: str, shape: tuple[int, ...], axis: int = 0) -> str:
        rng = np.random.default_rng(len(self.constants))
        self.constants[f"{name}_i"] = rng.integers(-127, 128, shape).astype(np.int8)
        self.constants[f"{name}_s"] = rng.uniform(0.5, 1.5, shape[axis]).astype(np.float32) / np.float32(1000)
        self.constants[f"{name}_z"] = np.zeros(shape[axis], np.int8)
        return self.node("DequantizeLinear", [f"{name}_i", f"{name}_s", f"{name}_z"], f"{name}_f", axis=axis)

    def model(self, path: Path, shape: Sequence[int], outputs: Sequence[int]) -> Model:
        proto = model_of(self.nodes, [value("x", shape)], [value("y", outputs)], self.constants, opset=19)
        onnx.save(proto, path / "model.onnx")
        return load_model(path / "model.onnx")


def check(model: Model, x: np.ndarray, steps: float = 1.0) -> None:
    """The outputs are those of ONNX's definition within so many quantisation steps, for almost all not one apart."""
    want = evaluate(model.proto, {"x": x})[0]
    got = compile_model(partition_model(model), {}, detect()).executable.run({"x": x})["y"]
    difference = np.abs(got - want) / STEP
    assert difference.max() <= steps + 1e-3
    assert np.mean(difference > 0.5) < 0.01
    assert np.unique(want).size > 10


def operators(model: Model) -> str:
    return str(relax_operators(model).script(show_meta=False))


@pytest.mark.parametrize(("signed", "zero_point"), [(False, 0), (False, 117), (True, 0), (True, -11)])
def test_convolution(tmp_path: Path, signed: bool, zero_point: int) -> None:
    build = Quantized(signed, zero_point)
    build.constants["b"] = random_array(3, 20)
    build.node("Conv", [build.q("x"), build.weights("w", (20, 6, 3, 3)), "b"], "c", pads=[1, 0, 1, 2], strides=[2, 1])
    build.node("Relu", ["c"], "r")
    build.node("Identity", [build.q("r")], "y")
    model = build.model(tmp_path, [1, 6, 11, 9], [1, 20, 6, 9])
    assert 'out_dtype="int32"' in operators(model)
    check(model, random_array(1, 1, 6, 11, 9) * 2)


def test_grouped_and_dilated_convolutions(tmp_path: Path) -> None:
    build = Quantized(signed=False, zero_point=128)
    first = build.node("Conv", [build.q("x"), build.weights("w", (8, 1, 3, 3))], "c", pads=[1, 1, 1, 1], group=8)
    second = build.weights("v", (16, 8, 3, 3))
    build.node("Conv", [build.q(first), second], "d", pads=[2, 2, 2, 2], dilations=[2, 2])
    build.node("Identity", [build.q("d")], "y")
    check(build.model(tmp_path, [1, 8, 9, 9], [1, 16, 9, 9]), random_array(1, 1, 8, 9, 9) * 2, steps=2)


def test_residual_block_with_pooling(tmp_path: Path) -> None:
    build = Quantized(signed=False, zero_point=96)
    data = build.q("x")
    build.node("Conv", [data, build.weights("w", (6, 6, 1, 1))], "c")
    build.node("Add", [build.q("c"), data], "a")
    build.node("MaxPool", [build.q("a")], "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    build.node("Identity", [build.q("p")], "y")
    model = build.model(tmp_path, [1, 6, 8, 8], [1, 6, 4, 4])
    assert "max_pool2d" in operators(model)
    check(model, random_array(1, 1, 6, 8, 8) * 2, steps=2)


@pytest.mark.parametrize("gemm", [False, True])
def test_matrix_products(tmp_path: Path, gemm: bool) -> None:
    build = Quantized(signed=False, zero_point=101)
    build.constants["b"] = random_array(3, 24)
    if gemm:
        build.node("Gemm", [build.q("x"), build.weights("w", (24, 37), axis=0), "b"], "m", transB=1)
    else:
        build.node("MatMul", [build.q("x"), build.weights("w", (37, 24), axis=1)], "n")
        build.node("Add", ["n", "b"], "m")
    build.node("Identity", [build.q("m")], "y")
    model = build.model(tmp_path, [10, 37], [10, 24])
    assert 'out_dtype="int32"' in operators(model)
    check(model, random_array(1, 10, 37) * 2)


def test_bytes_are_joined_and_reshaped_as_bytes(tmp_path: Path) -> None:
    build = Quantized(signed=True, zero_point=4)
    build.constants["shape"] = np.array([1, 4, 32], np.int64)
    data = build.q("x")
    build.node("Concat", [data, data], "c", axis=1)
    build.node("Reshape", [build.q("c"), "shape"], "v")
    build.node("Identity", [build.q("v")], "y")
    model = build.model(tmp_path, [1, 4, 4, 4], [1, 4, 32])
    assert operators(model).count("R.round") == 1
    check(model, random_array(1, 1, 4, 4, 4) * 2, steps=0)


def test_weights_of_other_uses_are_numbers(tmp_path: Path) -> None:
    build = Quantized(signed=False, zero_point=3)
    build.node("Mul", [build.q("x"), build.weights("w", (5, 7), axis=1)], "m")
    build.node("Identity", ["m"], "y")
    model = build.model(tmp_path, [5, 7], [5, 7])
    x = random_array(1, 5, 7)
    got = compile_model(partition_model(model), {}, detect()).executable.run({"x": x})["y"]
    np.testing.assert_allclose(got, evaluate(model.proto, {"x": x})[0], rtol=1e-5, atol=1e-7)


def test_bytes_in_and_out_of_a_model(tmp_path: Path) -> None:
    build = Quantized(signed=True, zero_point=-5)
    build.node("DequantizeLinear", ["x", "s", "z"], "f")
    build.node("MatMul", ["f", build.weights("w", (16, 12), axis=1)], "m")
    build.node("QuantizeLinear", ["m", "s", "z"], "y")
    inputs = [value("x", [4, 16], TensorProto.INT8)]
    proto = model_of(build.nodes, inputs, [value("y", [4, 12], TensorProto.INT8)], build.constants, opset=19)
    onnx.save(proto, tmp_path / "model.onnx")
    model = load_model(tmp_path / "model.onnx")
    x = np.random.default_rng(0).integers(-128, 128, (4, 16)).astype(np.int8)
    got = compile_model(partition_model(model), {}, detect()).executable.run({"x": x})["y"]
    want = evaluate(proto, {"x": x})[0]
    assert got.dtype == np.int8
    assert np.abs(got.astype(int) - want).max() <= 1


@pytest.mark.hardware("vnni")
def test_products_of_bytes_get_the_dot_product_instruction(tmp_path: Path) -> None:
    from flextune.platforms import platform_registry

    build = Quantized(signed=True, zero_point=0)
    build.node("Conv", [build.q("x"), build.weights("w", (32, 16, 3, 3))], "c", pads=[1, 1, 1, 1])
    build.node("Relu", ["c"], "r")
    build.node("Identity", [build.q("r")], "y")
    tasks = partition_model(build.model(tmp_path, [1, 16, 8, 8], [1, 32, 8, 8])).tasks
    traces = [str(platform_registry.get("x86").search_space(task.workload, detect()).trace.to_json()) for task in tasks]
    assert "vnni_u8s8" in traces[0]


def test_offsets_know_the_taps_outside_the_image() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (3, 2, 3, 2)).astype(np.int8)
    offset = convolution_offset(weights, 7, (5, 6), (2, 1), (1, 0, 2, 1), (1, 2))
    padded = np.pad(np.full((2, 5, 6), 7, np.int64), ((0, 0), (1, 2), (0, 1)))
    for row in range(offset.shape[2]):
        for column in range(offset.shape[3]):
            window = padded[:, 2 * row : 2 * row + 3, column : column + 3 : 2]
            assert np.array_equal(offset[0, :, row, column], (weights * window).sum(axis=(1, 2, 3)))
    assert offset.shape == (1, 3, 3, 5)
