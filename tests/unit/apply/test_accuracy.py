from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.accuracy import accuracy_of, compared, read_samples
from flextune.apply.build import compile_model
from flextune.apply.kept_layers import find_kept_layers
from flextune.apply.layerwise import LayerwiseModel
from flextune.errors import UsageError
from flextune.importing.model import Model, load_model
from flextune.importing.values import ValueSpec
from flextune.lowering.precision.precision import Precision
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, random_array, value

SPECS = (ValueSpec("x", (2, 3), "float32"), ValueSpec("ids", (2,), "int64"))


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Three convolutions; the second subtracts nearly equal sums, so that bfloat16 costs it most digits."""
    w2 = random_array(2, 48, 48, 1, 1)
    w2[:, 24:] = -w2[:, :24] * np.float32(1.001)
    w1 = random_array(1, 48, 4, 3, 3)
    w1[24:] = w1[:24]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"]),
        helper.make_node("Conv", ["c2", "w3"], ["c3"]),
        helper.make_node("GlobalAveragePool", ["c3"], ["y"]),
    ]
    constants = {"w1": w1, "w2": w2, "w3": random_array(3, 8, 48, 1, 1)}
    proto = model_of(nodes, [value("x", [1, 4, 12, 12])], [value("y", [1, 8, 1, 1])], constants)
    path = tmp_path_factory.mktemp("models") / "model.onnx"
    onnx.save(proto, path)
    return load_model(path)


@pytest.fixture(scope="module")
def layerwise(model: Model) -> LayerwiseModel:
    return LayerwiseModel(partition_model(model), detect())


def test_equal_outputs() -> None:
    outputs = {"y": random_array(0, 2, 5)}
    (found,) = compared([(outputs, outputs)]).outputs
    assert (found.max_relative_error, found.top1) == (0.0, 1.0)
    assert found.cosine == pytest.approx(1.0)


def test_figures_of_different_outputs() -> None:
    want = {"y": np.array([[1.0, 2.0], [4.0, 3.0]], np.float32)}
    got = {"y": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}
    (found,) = compared([(got, want)]).outputs
    assert found.max_relative_error == pytest.approx(0.25)
    assert found.top1 == 0.5
    assert found.cosine == pytest.approx((1 + 4 + 12 + 12) / 30)
    assert "top-1 agreement 50%" in str(found)


def test_samples_of_a_file(tmp_path: Path) -> None:
    one = save(tmp_path / "one.npz", x=np.zeros((2, 3), np.float32), ids=np.zeros(2, np.int64))
    many = save(tmp_path / "many.npz", x=np.zeros((5, 2, 3), np.float32), ids=np.zeros((5, 2), np.int64))
    assert [len(read_samples(path, SPECS)) for path in (one, many, None)] == [1, 5, 4]
    assert read_samples(many, SPECS)[4]["ids"].shape == (2,)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 3), np.float32)}, "lacks an array for input ids"),
        ({"x": np.zeros((3, 3), np.float32), "ids": np.zeros(2, np.int64)}, r"expected x: float32\[2, 3\]"),
        ({"x": np.zeros((2, 3), np.float64), "ids": np.zeros(2, np.int64)}, "got float64"),
        ({"y": np.zeros((2, 3), np.float32)}, "is no input"),
        ({"x": np.zeros((5, 2, 3), np.float32), "ids": np.zeros((4, 2), np.int64)}, "same number of samples"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(save(tmp_path / "samples.npz", **arrays), SPECS)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "samples.npz").write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"expected an \.npz file"):
        read_samples(tmp_path / "samples.npz", SPECS)


def test_kernel_by_kernel_is_the_model(model: Model, layerwise: LayerwiseModel) -> None:
    x = random_array(5, 1, 4, 12, 12)
    exact = layerwise.run({"x": x}, None)["y"]
    np.testing.assert_allclose(exact, evaluate(model.proto, {"x": x})[0], rtol=1e-4, atol=1e-5)
    for keep in ((), (1,)):
        built = compile_model(partition_model(model, precision=Precision("bfloat16", keep)), {}, detect()).executable
        np.testing.assert_allclose(layerwise.run({"x": x}, keep)["y"], built.run({"x": x})["y"], rtol=2e-3, atol=1e-3)


def test_a_model_of_several_outputs_kernel_by_kernel(tmp_path: Path) -> None:
    """They are a tuple with a name of its own, in which an input may be too."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Split", ["h"], ["a", "b"], axis=1),
        helper.make_node("MatMul", ["a", "v"], ["y"]),
        helper.make_node("Identity", ["x"], ["z"]),
    ]
    constants = {"w": random_array(1, 64, 64), "v": random_array(2, 32, 48)}
    outputs = [value("y", [16, 48]), value("b", [16, 32]), value("z", [16, 64])]
    path = tmp_path / "model.onnx"
    onnx.save(model_of(nodes, [value("x", [16, 64])], outputs, constants), path)
    several = load_model(path)
    samples = read_samples(None, several.inputs)[:1]
    found = LayerwiseModel(partition_model(several), detect()).run(samples[0], None)
    for got, want in zip(found.values(), evaluate(several.proto, dict(samples[0])), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_layers_are_kept_until_the_error_is_small(layerwise: LayerwiseModel) -> None:
    samples = read_samples(None, layerwise.partition.model.inputs)[:2]
    loose = find_kept_layers(layerwise, samples, 10.0)
    tight = find_kept_layers(layerwise, samples, loose.error_before / 4)
    assert loose.layers == ()
    assert tight.layers
    assert tight.error <= loose.error_before / 4 or set(tight.layers) == set(layerwise.layers)


def test_accuracy_of_a_build(model: Model) -> None:
    executable = compile_model(partition_model(model), {}, detect()).executable
    samples = read_samples(None, model.inputs)[:1]
    found = accuracy_of(
        executable.run, lambda sample: dict(zip(["y"], evaluate(model.proto, dict(sample)), strict=True)), samples
    )
    assert found.max_relative_error < 1e-3
