"""`--value`: inputs that select a branch or a size, as constants."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import flextune
from flextune.cli.inputs import read_values
from flextune.errors import ModelError, UsageError
from flextune.importing.model import model_from_proto
from flextune.testing.models import model_of, value


def test_numbers_and_lists_are_read() -> None:
    assert read_values(["sr=16000", "s=1,2", "f=0.5", "b=true"]) == {"sr": 16000, "s": [1, 2], "f": 0.5, "b": 1}


@pytest.mark.parametrize("text", ["sr", "=3", "sr=", "sr=many"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--value"):
        read_values([text])


def resampled() -> onnx.ModelProto:
    """If(Equal(sr, 16000)) then 2 x else x + 5, as voice detectors have it, and a Reshape by an input."""
    branches = {
        name: helper.make_graph([helper.make_node(operator, ["x", "k"], [name])], name, [], [value(name, None)])
        for name, operator in (("then_branch", "Mul"), ("else_branch", "Add"))
    }
    nodes = [
        helper.make_node("Equal", ["sr", "rate"], ["c"]),
        helper.make_node("If", ["c"], ["t"], **branches),
        helper.make_node("Reshape", ["t", "s"], ["y"]),
    ]
    inputs = [value("x", [6]), value("sr", [], TensorProto.INT64), value("s", [2], TensorProto.INT64)]
    constants = {"rate": np.array(16000, np.int64), "k": np.array(5, np.float32)}
    return model_of(nodes, inputs, [value("y", None)], constants, 18)


def test_values_become_constants_of_the_declared_type() -> None:
    model = model_from_proto(resampled(), "it", values={"sr": 16000, "s": [2, 3]})
    assert [spec.name for spec in model.inputs] == ["x"]
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.proto.graph.initializer}
    assert found["sr"].dtype == np.int64
    assert found["sr"].shape == ()
    assert found["s"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rs": 1}, "no input 'rs'"),
        ({"sr": 0.5}, "cannot hold"),
        ({"s": [1, 2, 3]}, "declared as"),
        ({"sr": "x"}, "no value"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        model_from_proto(resampled(), "it", values=values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "wanted"), [(16000, [0, 5, 10, 15, 20, 25]), (8000, [5, 6, 7, 8, 9, 10])])
def test_the_branch_that_is_selected_runs(rate: int, wanted: list[float]) -> None:
    values = {"sr": rate, "s": [2, 3]}
    with flextune.optimize(resampled(), minutes=0, values=values) as executable:
        got = executable.run({"x": np.arange(6, dtype=np.float32)})["y"]
    np.testing.assert_array_equal(got, np.reshape(wanted, (2, 3)).astype(np.float32))
