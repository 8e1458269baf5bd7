"""Sizes of inputs, from shapes and dimensions that are given: what holds for all, and all that is wrong at once."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from flextune.errors import ModelError, UsageError
from flextune.importing.input_sizes import default_dims
from flextune.importing.model import Model, model_from_proto
from flextune.workload.dim import parse_dims

Sizes = list[int | str | None]


def read(inputs: dict[str, Sizes | None], shapes: dict[str, tuple[int, ...]], *dims: str) -> Model:
    """A model that adds nothing to nothing: only its inputs matter."""
    declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in inputs.items()]
    nodes = [helper.make_node("Relu", [name], [f"{name}_y"]) for name in inputs]
    outputs = [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None) for name in inputs]
    graph = helper.make_graph(nodes, "g", declared, outputs)
    model = onnx.ModelProto.FromString(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()
    )
    return model_from_proto(model, "m", shapes, "m.onnx", dims=parse_dims(dims))


TEXT: dict[str, Sizes | None] = {"ids": ["batch", "seq"], "mask": ["batch", "seq"], "past": ["batch", 2, "past", 8]}


def texts(model: Model) -> list[str]:
    return [str(spec).partition("[")[2].rstrip("]") for spec in model.inputs]


@pytest.mark.parametrize(
    ("shapes", "dims", "wanted"),
    [
        ({"ids": (3, 7), "past": (3, 2, 5, 8)}, (), ["3, 7", "3, 7", "3, 2, 5, 8"]),
        ({"past": (3, 2, 0, 8)}, ("seq=4",), ["3, 4", "3, 4", "3, 2, 0, 8"]),
        ({}, ("seq=4", "past=9"), ["1, 4", "1, 4", "1, 2, 9, 8"]),
        ({}, ("seq=4", "past=9", "batch=2"), ["2, 4", "2, 4", "2, 2, 9, 8"]),
        ({}, ("seq=1..4", "past=9", "batch=1..2"), ["batch, seq", "batch, seq", "batch, 2, 9, 8"]),
        ({"ids": (2, 3)}, ("seq=1..4", "past=0..9"), ["2, 3", "2, 3", "2, 2, past, 8"]),
    ],
)
def test_a_size_holds_for_every_input(
    shapes: dict[str, tuple[int, ...]], dims: tuple[str, ...], wanted: list[str]
) -> None:
    assert texts(read(TEXT, shapes, *dims)) == wanted


def test_sizes_that_nobody_gave_are_noted() -> None:
    model = read(TEXT, {}, "seq=4", "past=9")
    assert model.notes == tuple(f"input {name!r}: dynamic batch 'batch' set to 1" for name in TEXT)
    assert not read(TEXT, {"ids": (2, 3)}, "past=9").notes


def test_the_ranges_that_are_used_belong_to_the_model() -> None:
    model = read(TEXT, {"ids": (2, 3)}, "seq=1..4", "past=0..9")
    assert [str(dim) for dim in model.dims] == ["past=0..9"]
    both = read(TEXT, {}, "past=0..9:3", "seq=7", "batch=1..4")
    assert [str(dim) for dim in both.dims] == ["batch=1..4", "past=0..9:3"]
    assert model.inputs[2].bind({"past": 4}).shape == (2, 2, 4, 8)


def test_a_static_0_is_a_0() -> None:
    assert texts(read({"x": [0, 3]}, {})) == ["0, 3"]


def test_expressions_follow() -> None:
    inputs: dict[str, Sizes | None] = {"a": ["past", "seq"], "b": [1, "past + seq"]}
    assert texts(read(inputs, {"a": (3, 4)})) == ["3, 4", "1, 7"]
    assert texts(read(inputs, {}, "past=0..8", "seq=1")) == ["past, 1", "1, past + 1"]
    with pytest.raises(ModelError, match=r"which is b: float32\[1, 7\] for the other sizes given"):
        read(inputs, {"a": (3, 4), "b": (1, 8)})


@pytest.mark.parametrize(
    ("inputs", "shapes", "dims", "words"),
    [
        (TEXT, {}, (), ["--shape ids=1x128 (its own sizes), or --dim seq=1..512 (ranges", "--shape past=1x2x224x8"]),
        (TEXT, {"ids": (2, 7), "mask": (3, 8)}, (), ["'batch' is one size, and is 2 in --shape ids=2x7", "'seq' is"]),
        (TEXT, {"ids": (2, 7)}, ("seq=8", "past=1"), ["'seq' is one size, and is 8 in --dim seq=8 but 7 in --shape"]),
        (TEXT, {"ids": (2, 7), "past": (2, 3, 4, 8)}, (), ["'past' is declared as [batch, 2, past, 8]; the shape"]),
        (TEXT, {"ids": (2, 9)}, ("seq=1..8", "past=1"), ["9 in --shape ids=2x9 is no size of --dim seq=1..8"]),
        (TEXT, {}, ("seq=1..8", "past=1"), ["'ids' has dynamic dimensions [batch, seq]", "or --dim batch=1..512"]),
        ({"x": ["n", "m"], "y": ["m", "n"]}, {}, (), ["'x' has dynamic dimensions [n, m]", "'y' has dynamic"]),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_is_named(
    inputs: dict[str, Sizes | None], shapes: dict[str, tuple[int, ...]], dims: tuple[str, ...], words: list[str]
) -> None:
    with pytest.raises(ModelError) as error:
        read(inputs, shapes, *dims)
    for each in words:
        assert each in str(error.value)


def test_names_that_are_not_there() -> None:
    with pytest.raises(UsageError, match=r"m.onnx has no dimension 'sq': .*did you mean 'seq'"):
        read(TEXT, {}, "sq=4")
    with pytest.raises(ModelError, match="no input 'id'"):
        read(TEXT, {"id": (1, 2)})


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        (TEXT, "batch=1..8 seq=1..512 past=1..512"),
        ({"x": ["n", 3, "h", "w"]}, "n=1..8 h=32..1024 w=32..1024"),
        ({"x": ["n", 3, 8, 8], "z": ["n", 5]}, ""),
        ({"x": [None, 3, None]}, "x_0=1..8 x_2=1..512"),
    ],
)
def test_sizes_of_a_model_that_nobody_gave_have_usual_ranges(inputs: dict[str, Sizes | None], wanted: str) -> None:
    declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in inputs.items()]
    assert " ".join(map(str, default_dims(declared))) == wanted
