"""Random weights: seeded, only where weights were one constant, and with outputs that a check can see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.importing.model import Model, load_model
from flextune.importing.random_weights import is_weightless, with_random_weights
from flextune.testing.models import conv_block, evaluate, model_of, value


def read(proto: onnx.ModelProto, folder: Path) -> Model:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return load_model(path)


def weightless(layers: int = 12) -> onnx.ModelProto:
    """A chain of residual convolution blocks whose weights are `ConstantOfShape`."""
    fill = helper.make_tensor("fill", TensorProto.FLOAT, [1], [0.5])
    nodes, constants, x = [], {"shape": np.array([8, 8, 3, 3], np.int64)}, "x"
    for layer in range(layers):
        weight, c, r, y = (f"{kind}{layer}" for kind in "wcry")
        nodes += [
            helper.make_node("ConstantOfShape", ["shape"], [weight], value=fill),
            helper.make_node("Conv", [x, weight], [c], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [c], [r]),
            helper.make_node("Add", [r, x], [y]),
        ]
        x = y
    return model_of(nodes, [value("x", [1, 8, 6, 6])], [value(x, [1, 8, 6, 6])], constants)


def test_only_models_without_weights_are_weightless(tmp_path: Path) -> None:
    assert is_weightless(read(weightless(), tmp_path))
    assert not is_weightless(read(conv_block(), tmp_path))


def test_weights_are_seeded_and_noted(tmp_path: Path) -> None:
    model = read(weightless(2), tmp_path)
    first, again, other = (with_random_weights(model, seed) for seed in (3, 3, 4))
    arrays = [{t.name: numpy_helper.to_array(t) for t in m.proto.graph.initializer} for m in (first, again, other)]
    np.testing.assert_array_equal(arrays[0]["w0"], arrays[1]["w0"])
    assert not np.array_equal(arrays[0]["w0"], arrays[2]["w0"])
    assert first.notes == ("2 constant weights replaced by random ones (seed 3)",)
    assert first.inputs == model.inputs


def test_deep_residual_nets_neither_vanish_nor_blow_up(tmp_path: Path) -> None:
    model = with_random_weights(read(weightless(12), tmp_path))
    (output,) = evaluate(model.proto, model.random_inputs(0))
    assert np.isfinite(output).all()
    assert 0.1 < output.std() < 100


def test_given_weights_stay(tmp_path: Path) -> None:
    model = read(conv_block(), tmp_path)
    before = {t.name: numpy_helper.to_array(t) for t in model.proto.graph.initializer}
    after = {t.name: numpy_helper.to_array(t) for t in with_random_weights(model).proto.graph.initializer}
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_every_weighted_operator_keeps_the_scale_of_its_input(operator: str, tmp_path: Path) -> None:
    convolution = operator.startswith("Conv")
    shapes = {"Conv": [64, 32, 3, 3], "ConvTranspose": [32, 64, 3, 3], "Gemm": [32, 64], "MatMul": [32, 64]}
    fill = helper.make_tensor("fill", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["w"], value=fill),
        helper.make_node(operator, ["x", "w"], ["y"]),
    ]
    shape, out = ([1, 32, 9, 9], [None] * 4) if convolution else ([20, 32], [20, 64])
    constants = {"shape": np.array(shapes[operator], np.int64)}
    model = with_random_weights(read(model_of(nodes, [value("x", shape)], [value("y", out)], constants), tmp_path))
    (output,) = evaluate(model.proto, model.random_inputs(0))
    assert 0.3 < output.std() < 3
