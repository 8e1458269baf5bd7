"""Sizes and ranges of a model's inputs: what is given, what contradicts itself, what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

from flextune.errors import ModelError, UsageError
from flextune.importing.model import Model, load_model
from flextune.workload.dim import parse_dims

SHAPES = {"x": ["batch", 3, "width"], "z": ["batch", None], "v": [4]}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in SHAPES.items()]
    nodes = [helper.make_node("Relu", [name], [f"{name}_out"]) for name in SHAPES]
    outputs = [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None) for name in SHAPES]
    file = tmp_path_factory.mktemp("dynamic") / "m.onnx"
    save(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs)), file)
    return file


def _read(path: Path, *dims: str, **shapes: tuple[int, ...]) -> Model:
    return load_model(path, shapes, dims=parse_dims(dims))


def _texts(model: Model) -> list[str]:
    return [str(spec) for spec in model.inputs]


def test_ranges_and_shapes_together(path: Path) -> None:
    model = _read(path, "width=8..320", "z_1=1..9", x=(2, 3, 8))
    assert _texts(model) == ["x: float32[2, 3, 8]", "z: float32[2, z_1]", "v: float32[4]"]
    assert [str(dim) for dim in model.dims] == ["z_1=1..9"]
    model = _read(path, "width=8..320:4", "z_1=7", "batch=0..4")
    assert _texts(model) == ["x: float32[batch, 3, width]", "z: float32[batch, 7]", "v: float32[4]"]
    assert [str(dim) for dim in model.dims] == ["batch=0..4", "width=8..320:4"]


def test_all_that_is_missing_is_named_at_once(path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"width, z_1 in x: \[batch, 3, width\]; z: \[batch, z_1\]; .*--dim z_1=1\.\.512"
    ):
        _read(path, "batch=1..4")


@pytest.mark.parametrize(
    ("dims", "shapes", "message"),
    [
        (["bach=1..4"], {}, "no dimension 'bach'.*did you mean 'batch'"),
        (["width=1..4"], {"x": (2, 3, 1), "z": (3, 1)}, "'z' is given 3 for batch, which is 2 elsewhere"),
        (["batch=2"], {"x": (3, 3, 1)}, "'x' is given 3 for batch, which is 2 elsewhere"),
        (["batch=1..4"], {"x": (3, 4, 1)}, r"declared as \[batch, 3, width\]; \[3, 4, 1\] does not fit"),
        (["batch=1..4"], {"x": (3, 3)}, "does not fit"),
        (["batch=1..4"], {"q": (3, 3)}, "no input 'q'"),
    ],
)
def test_contradictions(path: Path, dims: list[str], shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _read(path, *dims, **shapes)


@pytest.mark.parametrize("text", ["batch=4..1", "batch=", "batch=-1..4", "=1..4", "batch=5..7:8"])
def test_ranges_without_sizes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_dims([text])
