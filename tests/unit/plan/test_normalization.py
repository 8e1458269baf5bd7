"""Local response normalization is one kernel, and computes what its definition says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.importing.model import Model, load_model
from flextune.lowering.lower import relax_operators
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.alternative import PARTS
from flextune.plan.fusion.plan import make_plan
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import model_of, random_array, value


def normalized(folder: Path, channels: int, **attributes: float) -> Model:
    """A convolution and a local response normalization of its result."""
    constants = {"w": random_array(1, channels, 4, 3, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("LRN", ["c"], ["y"], **attributes),
    ]
    path = folder / "model.onnx"
    outputs = [value(name, [1, channels, 7, 6]) for name in ("c", "y")]
    proto = model_of(nodes, [value("x", [1, 4, 7, 6])], outputs, constants)
    path.write_bytes(proto.SerializeToString())
    return load_model(path)


def by_definition(c: np.ndarray, size: int, alpha: float, beta: float, bias: float) -> np.ndarray:
    """ONNX operators, "LRN": channels from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2)."""
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    square = np.pad(c.astype(np.float64) ** 2, ((0, 0), (before, after), (0, 0), (0, 0)))
    sums = sum(square[:, first : first + c.shape[1]] for first in range(size))
    return np.asarray(c / (bias + alpha / size * sums) ** beta)


@pytest.mark.parametrize(
    ("channels", "size", "alpha", "beta", "bias"),
    [(64, 5, 1e-4, 0.75, 1.0), (17, 3, 0.5, 0.5, 2.0), (5, 5, 0.3, 0.9, 1.0), (3, 7, 1.0, 1.0, 0.1)],
)
def test_one_kernel_that_computes_the_definition(
    tmp_path: Path, channels: int, size: int, alpha: float, beta: float, bias: float
) -> None:
    model = normalized(tmp_path, channels, size=size, alpha=alpha, beta=beta, bias=bias)
    partition = partition_model(model)
    assert partition.switcher is not None
    kinds = [kind for kind in partition.switcher.kinds if kind.group.pattern == "normalization"]
    assert len(kinds) == 1
    for choice in ({}, {kinds[0].name: PARTS}):
        executable = compile_model(partition.switched(choice), {}, detect()).executable
        result = executable.run({"x": random_array(7, 1, 4, 7, 6)})
        expected = by_definition(result["c"], size, alpha, beta, bias)
        np.testing.assert_allclose(result["y"], expected, rtol=2e-6, atol=1e-7)


def test_a_pooling_whose_input_is_read_by_nothing_else_is_left_to_the_next_pattern(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2]),
        helper.make_node("Relu", ["p"], ["y"]),
    ]
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(nodes, [value("x", [1, 4, 7, 6])], [value("y", [1, 4, 6, 5])], {}).SerializeToString())
    graph = OperatorGraph.of(relax_operators(load_model(path)))
    assert graph is not None
    assert "normalization" not in {group.pattern for group in make_plan(graph).groups}
