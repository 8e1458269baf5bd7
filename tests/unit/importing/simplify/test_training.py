"""Operators of training, sequences of numbers that are counted, determinants and bits, against others' results."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.differential.comparison import difference, evaluated, of_onnxruntime, ours


def _model(node: onnx.NodeProto, inputs: dict[str, np.ndarray], opsets: dict[str, int]) -> onnx.ModelProto:
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in node.output]
    graph = helper.make_graph([node], "model", values, outputs)
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*each) for each in opsets.items()], ir_version=10
    )
    inferred = onnx.shape_inference.infer_shapes(made)
    for output, found in zip(made.graph.output, inferred.graph.output, strict=True):
        output.CopyFrom(found)
    return made


def _check(node: onnx.NodeProto, inputs: dict[str, np.ndarray], opsets: dict[str, int] | None = None) -> None:
    model = _model(node, inputs, opsets or {"": 20})
    wanted = evaluated(model, inputs) or of_onnxruntime(model, inputs)
    assert wanted is not None
    for got, expected in zip(ours(model, inputs, "none", only_own=True), wanted, strict=True):
        assert not difference(got, expected, 1e-5)


def test_batch_norm_of_the_batch_at_hand_moves_the_running_ones() -> None:
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((4, 3, 5)).astype(np.float32)}
    inputs |= {name: rng.uniform(0.5, 2, 3).astype(np.float32) for name in ("scale", "bias", "mean", "var")}
    node = helper.make_node(
        "BatchNormalization", list(inputs), ["y", "m", "v"], training_mode=1, momentum=0.7, epsilon=0.01
    )
    _check(node, inputs)


@pytest.mark.parametrize("updates", [0, 3])
@pytest.mark.parametrize(
    ("operator", "kinds", "attributes"),
    [
        ("Momentum", 3, {"alpha": 0.9, "beta": 0.8, "mode": "nesterov", "norm_coefficient": 0.1}),
        ("Momentum", 3, {"alpha": 0.9, "beta": 0.8, "mode": "standard", "norm_coefficient": 0.1}),
        ("Adagrad", 3, {"decay_factor": 0.2, "epsilon": 0.01, "norm_coefficient": 0.1}),
        ("Adam", 4, {"alpha": 0.9, "beta": 0.99, "norm_coefficient": 0.1, "norm_coefficient_post": 0.2}),
    ],
)
def test_steps_of_optimizers_of_two_tensors(
    operator: str, kinds: int, attributes: dict[str, float | str], updates: int
) -> None:
    rng = np.random.default_rng(1)
    inputs = {"rate": np.float32(0.1).reshape(()), "updates": np.array(updates)}
    for kind in range(kinds):
        for place, shape in enumerate(((3,), (2, 2))):
            inputs[f"{'xgvh'[kind]}{place}"] = rng.uniform(0.1, 1, shape).astype(np.float32)
    outputs = [f"new_{name}" for name in list(inputs)[2:] if not name.startswith("g")]
    node = helper.make_node(operator, list(inputs), outputs, domain="ai.onnx.preview.training", **attributes)
    _check(node, inputs, {"": 20, "ai.onnx.preview.training": 1})


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skips", [0, 2])
def test_sequences_in_rows_are_counted_also_with_gaps(mode: str, skips: int) -> None:
    rows = np.array([[1, 2, 3, 1, 2, 9], [5, 1, 5, 3, 1, 3]], np.int32)
    attributes = {
        "mode": mode,
        "min_gram_length": 1,
        "max_gram_length": 2,
        "max_skip_count": skips,
        "ngram_counts": [0, 2],
        "ngram_indexes": [3, 0, 1, 4],
        "pool_int64s": [1, 5, 1, 2, 5, 3],
        "weights": [0.5, 2.0, 3.0, 4.0],
    }
    _check(helper.make_node("TfIdfVectorizer", ["x"], ["y"], **attributes), {"x": rows})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_determinants_are_those_of_numpy(dtype: type) -> None:
    rng = np.random.default_rng(2)
    matrices = rng.standard_normal((2, 3, 5, 5)).astype(dtype)
    matrices[0, 0, :, 0] = 0  # singular
    matrices[1, 0, 0, 0] = 0  # needs a pivot
    matrices[1, 2] = np.eye(5)[[1, 0, 3, 2, 4]]
    node = helper.make_node("Det", ["x"], ["y"])
    (got,) = ours(_model(node, {"x": matrices}, {"": 20}), {"x": matrices}, "none", only_own=True)
    np.testing.assert_allclose(got, np.linalg.det(matrices.astype(np.float64)), rtol=1e-4, atol=1e-5)


def test_bits_of_floats_are_those_of_whole_numbers() -> None:
    values = np.float32([1.5, -0.0, np.nan, np.inf])
    node = helper.make_node("BitCast", ["x"], ["y"], to=TensorProto.INT32)
    (got,) = ours(_model(node, {"x": values}, {"": 26}), {"x": values}, "none", only_own=True)
    np.testing.assert_array_equal(got, values.view(np.int32))
