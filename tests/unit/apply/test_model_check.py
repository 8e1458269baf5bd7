"""The comparison with a reference sees what it must see."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from flextune.apply.build import Build
from flextune.apply.model_check import check_against_onnxruntime, max_relative_error
from flextune.errors import EnvironmentFault
from flextune.importing.model import Model


def test_equal_outputs_agree_and_the_largest_error_counts() -> None:
    want = {"a": np.array([1.0, -4.0], np.float32), "b": np.array([2, 3])}
    assert max_relative_error(want, want) == 0.0
    off = {"a": np.array([1.0, -4.4], np.float32), "b": np.array([2, 3])}
    assert max_relative_error(off, want) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_infinitely_wrong(bad: float) -> None:
    want, got = {"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, bad])}
    assert max_relative_error(got, want) == np.inf
    assert max_relative_error(want, got) == np.inf
    assert max_relative_error(got, got) == 0.0


def test_other_shapes_are_infinitely_wrong() -> None:
    assert max_relative_error({"a": np.zeros((2, 1))}, {"a": np.zeros(2)}) == np.inf


def test_zero_reference_gives_the_absolute_error() -> None:
    assert max_relative_error({"a": np.array([0.25])}, {"a": np.array([0.0])}) == 0.25


def test_onnxruntime_agrees(model: Model, build: Build) -> None:
    pytest.importorskip("onnxruntime")
    assert check_against_onnxruntime(model, build.executable, seed=2) < 1e-5


def test_missing_onnxruntime_says_how_to_get_it(model: Model, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentFault, match="pip install onnxruntime"):
        check_against_onnxruntime(model, build.executable)
