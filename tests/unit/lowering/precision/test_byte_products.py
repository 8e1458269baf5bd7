from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, random_array, value


def dynamic_mlp(rows: int, width: int, layers: int) -> onnx.ModelProto:
    """What ONNX Runtime's `quantize_dynamic` writes for products with a bias and an activation."""
    nodes, constants, source = [], dict[str, np.ndarray](), "x"
    for layer in range(layers):
        rng = np.random.default_rng(layer)
        constants[f"w{layer}"] = rng.integers(-127, 128, (width, width)).astype(np.int8)
        constants[f"z{layer}"] = np.array(0, np.int8)
        constants[f"s{layer}"] = np.array(0.002, np.float32)
        constants[f"b{layer}"] = random_array(layer, width)
        result = "y" if layer == layers - 1 else f"r{layer}"
        q, scale, zero, total = (f"{part}{layer}" for part in ("q", "qs", "qz", "t"))
        nodes += [
            helper.make_node("DynamicQuantizeLinear", [source], [q, scale, zero]),
            helper.make_node("Mul", [scale, f"s{layer}"], [f"m{layer}"]),
            helper.make_node("MatMulInteger", [q, f"w{layer}", zero, f"z{layer}"], [total]),
            helper.make_node("Cast", [total], [f"f{layer}"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"f{layer}", f"m{layer}"], [f"p{layer}"]),
            helper.make_node("Add", [f"p{layer}", f"b{layer}"], [f"a{layer}"]),
            helper.make_node("Relu", [f"a{layer}"], [result]),
        ]
        source = result
    return model_of(nodes, [value("x", [rows, width])], [value("y", [rows, width])], constants)


def test_dynamic_products_scale_and_add_in_their_kernel() -> None:
    proto = dynamic_mlp(7, 50, 2)
    partition = partition_model(model_from_proto(proto, "mlp"))
    (product,) = [task for task in partition.tasks if "matmul" in task.name]
    assert product.name == "fused_matmul_subtract_astype_multiply_add_relu"
    assert product.count == 2
    x = random_array(1, 7, 50)
    got = compile_model(partition, {}, detect()).executable.run({"x": x})["y"]
    np.testing.assert_allclose(got, evaluate(proto, {"x": x})[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT8])
def test_bounded_floats_become_bytes_at_once(kind: int) -> None:
    low, high = (0, 255) if kind == TensorProto.UINT8 else (-128, 127)
    nodes = [
        helper.make_node("Max", ["x", "low"], ["a"]),
        helper.make_node("Min", ["a", "high"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=kind),
    ]
    constants = {"low": np.array(low, np.float32), "high": np.array(high, np.float32)}
    proto = model_of(nodes, [value("x", [3, 41])], [value("y", [3, 41], kind)], constants)
    partition = partition_model(model_from_proto(proto, "cast"))
    assert "isfinite" not in partition.tasks[0].name
    x = random_array(2, 3, 41) * 400
    np.testing.assert_array_equal(
        compile_model(partition, {}, detect()).executable.run({"x": x})["y"], np.clip(np.trunc(x), low, high)
    )


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin"])
def test_extremes_of_rows_are_taken_by_vectors_and_keep_nan(operator: str) -> None:
    proto = model_of(
        [helper.make_node(operator, ["x"], ["y"], axes=[1], keepdims=0)], [value("x", [9, 67])], [value("y", [9])]
    )
    build = compile_model(partition_model(model_from_proto(proto, "rows")), {}, detect())
    x = random_array(3, 9, 67)
    x[2, 5], x[4, 66], x[5] = np.nan, np.nan, -np.inf
    want = (np.max if operator == "ReduceMax" else np.min)(x, axis=1)
    np.testing.assert_array_equal(build.executable.run({"x": x})["y"], want)
