"""Products of a tensor with itself: both operands are one buffer, and one of them is packed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.testing.models import model_of, random_array, value
from tests.differential.comparison import differences


@pytest.mark.parametrize("size", [16, 37, 64])
@pytest.mark.parametrize("form", ["x @ x", "relu(x) @ relu(x)", "x @ x + x", "x @ x.T", "batched"])
def test_a_tensor_multiplied_by_itself(form: str, size: int) -> None:
    shape = [3, size, size] if form == "batched" else [size, size]
    nodes = {
        "x @ x": [helper.make_node("MatMul", ["x", "x"], ["y"])],
        "relu(x) @ relu(x)": [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("MatMul", ["a", "a"], ["y"])],
        "x @ x + x": [helper.make_node("Gemm", ["x", "x", "x"], ["y"])],
        "x @ x.T": [helper.make_node("Gemm", ["x", "x"], ["y"], transB=1)],
        "batched": [helper.make_node("MatMul", ["x", "x"], ["y"])],
    }[form]
    proto: onnx.ModelProto = model_of(nodes, [value("x", shape)], [value("y", shape)])
    assert not differences(proto, {"x": np.asarray(random_array(0, *shape))}, 1e-5)
