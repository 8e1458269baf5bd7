"""Recurrent layers over any number of steps and sequences, compiled once and compared with ONNX Runtime at many."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from flextune.target.target import Target
from tests.unit.apply.sized_cases import Case, compare_at_sizes, compiled, real, whole

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

node = helper.make_node

CASES = {
    "both directions, of sequences that end early": Case(
        [
            node("Cast", ["ids"], ["shorter"], to=TensorProto.INT32),
            node("Add", ["shorter", "one"], ["lengths"]),
            node("LSTM", ["x", "W", "R", "B", "lengths"], ["y", "h", "c"], hidden_size=6, direction="bidirectional"),
        ],
        {"x": ("s", "b", 5), "ids": ("b",)},
        ("s=2..12", "b=1..4"),
        {"W": real(2, 24, 5), "R": real(2, 24, 6), "B": real(2, 48), "one": np.array(1, np.int32)},
        ("y", "h", "c"),
    ),
    "a state before the first step": Case(
        [node("GRU", ["x", "W", "R", "B", "", "h0"], ["y", "h"], hidden_size=6, linear_before_reset=1)],
        {"x": ("s", "b", 5), "h0": (1, "b", 6)},
        ("s=1..12", "b=1..4"),
        {"W": real(1, 18, 5), "R": real(1, 18, 6), "B": real(1, 36)},
        ("y", "h"),
    ),
    "backwards over what a convolution leaves of a length": Case(
        [
            node("Conv", ["x", "k"], ["c"], strides=[2], pads=[1, 1]),
            node("Transpose", ["c"], ["t"], perm=[2, 0, 1]),
            node("RNN", ["t", "W", "R"], ["z", "h"], hidden_size=16, direction="reverse"),
            node("Squeeze", ["z", "axis"], ["y"]),
        ],
        {"x": (2, 5, "s")},
        ("s=1..13",),
        {"k": real(8, 5, 3), "W": real(1, 16, 8), "R": real(1, 16, 16), "axis": whole(1)},
        ("y", "h"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_steps_and_sequences_of_any_number(name: str, target: Target) -> None:
    executable = compiled(CASES[name], target)
    assert executable.notes == ()
    compare_at_sizes(CASES[name], executable, 8)
