"""The Python interface says what is wrong with what it is given, before it makes or starts anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

import flextune
from flextune.errors import UsageError
from flextune.testing.models import model_of, value


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where the records would be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEXTUNE_DB", raising=False)
    return tmp_path


def small_model() -> ModelProto:
    return model_of([helper.make_node("Relu", ["x"], ["y"])], [value("x", [4, 4])], [value("y", [4, 4])], {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"minutes": "2"}, "minutes must be a number, got '2'"),
        ({"minutes": True}, "minutes must be a number"),
        ({"minutes": -1}, "minutes must be positive"),
        ({"minutes": None}, "a budget needs trials or minutes"),
        ({"trials": "3"}, "trials must be a whole number"),
        ({"trials": 1.5}, "trials must be a whole number"),
        ({"database": 123}, "file name or postgresql:// URL of a records database, got 123"),
        ({"database": ""}, "of a records database, got ''"),
        ({"precision": None}, "name of a precision"),
        ({"precision": "float17"}, "unknown precision"),
        ({"without": "layouts"}, "list of names of passes"),
        ({"without": None}, "list of names of passes"),
        ({"without": [1]}, "list of names of passes"),
        ({"shapes": [1]}, "shapes by the names of inputs"),
        ({"shapes": {"x": 4}}, "shapes by the names of inputs"),
        ({"shapes": {"x": ("4", 4)}}, "shapes by the names of inputs"),
        ({"dims": 5}, "sizes or ranges by the names of dimensions"),
        ({"dims": "n=1..3"}, "sizes or ranges by the names of dimensions"),
        ({"dims": {"n": (1, 2, 3)}}, "sizes or ranges by the names of dimensions"),
        ({"dims": {"n": 1.5}}, "sizes or ranges by the names of dimensions"),
        ({"dims": {"n": (3, 1)}}, "the range 3..1 is not one of sizes"),
        ({"dims": ["n=1", "n=2"]}, "'n' is given twice"),
        ({"dims": {"n": 3}}, "has no dimension 'n'"),
        ({"example_inputs": (1,)}, "example_inputs are for PyTorch modules"),
        ({"target": 5}, "expected a target or its text"),
        ({"search": {"strategy": "random"}}, "search takes a flextune.SearchOptions, got dict"),
        ({"on_progress": 5}, "on_progress must be a function"),
    ],
)
def test_what_optimize_cannot_use_is_named(given: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=message):
        flextune.optimize(small_model(), **given)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("workload", "given", "message"),
    [
        (None, {}, "expected a workload or its text"),
        (small_model(), {}, "expected a workload or its text"),
        ("no_such_operator", {}, "unknown operator"),
        ("gemm:m=8,n=8,k=8", {"minutes": 0}, "minutes must be positive"),
        ("gemm:m=8,n=8,k=8", {"database": 4}, "of a records database, got 4"),
        ("gemm:m=8,n=8,k=8", {"search": 5}, "search takes a flextune.SearchOptions"),
        ("gemm:m=8,n=8,k=8", {"on_progress": 3}, "on_progress must be a function"),
    ],
)
def test_what_tune_cannot_use_is_named(workload: Any, given: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=message):
        flextune.tune(workload, **given)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": "a"}, "seed must be a whole number"),
        ({"seed": -1}, "not negative"),
        ({"strategy": None}, "chosen by name, got None"),
        ({"cost_model": 3}, "chosen by name, got 3"),
    ],
)
def test_search_options_are_checked_as_they_are_made(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flextune.SearchOptions(**given)


@pytest.mark.parametrize("path", [None, 3, "", b"records.db"])
def test_a_database_is_a_file_name_or_a_url(path: Any, folder: Path) -> None:
    with pytest.raises(UsageError, match="of a records database"):
        flextune.open_database(path)
    assert not list(folder.iterdir())


def test_without_minutes_a_model_is_built_and_nothing_written(folder: Path) -> None:
    executable = flextune.optimize(small_model(), minutes=0)
    inputs = executable.random_inputs(0)
    np.testing.assert_array_equal(executable.run(inputs)["y"], np.maximum(inputs["x"], 0))
    assert not list(folder.iterdir())


@pytest.mark.parametrize("dims", [{"n": (1, 5)}, {"n": "1..5"}, ["n=1..5"]])
def test_a_build_for_a_range_takes_all_sizes_in_it(dims: Any) -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], [value("x", ["n", 4])], [value("y", ["n", 4])], {})
    built = flextune.optimize(model, minutes=0, dims=dims, only_own=True)
    for rows in (1, 3, 5):
        x = np.linspace(-1, 1, 4 * rows, dtype=np.float32).reshape(rows, 4)
        np.testing.assert_array_equal(built.run({"x": x})["y"], np.maximum(x, 0))
    with pytest.raises(UsageError, match=r"6 is out of the range n=1..5"):
        built.run({"x": np.zeros((6, 4), np.float32)})


def test_a_model_that_is_given_stays_as_it_was() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], [value("x", ["n", 4])], [value("y", ["n", 4])], {})
    before = model.SerializeToString(deterministic=True)
    for rows in (3, 5):
        built = flextune.optimize(model, minutes=0, shapes={"x": (rows, 4)})
        assert built.inputs[0].shape == (rows, 4)
    assert model.SerializeToString(deterministic=True) == before
