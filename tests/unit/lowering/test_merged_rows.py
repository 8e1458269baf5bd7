"""Kernels over rows of symbolic sizes: which groups have them, and that they compute what ONNX Runtime does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.apply.build import compile_model
from flextune.apply.model_check import onnxruntime_session
from flextune.importing.model import model_from_proto
from flextune.lowering.symbolic_shapes import sizes_for_plans
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.workload.dim import parse_dims

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

WIDTH = 24


def model(nodes: list[onnx.NodeProto], outputs: int) -> onnx.ModelProto:
    """Of `x` [batch, seq, WIDTH] and `r` [seq, WIDTH]; results are `y0`, `y1`, ..."""
    rng = np.random.default_rng(0)
    shapes = {"w": (WIDTH, 40), "v": (40, WIDTH), "b": (40,), "c": (1, 1, WIDTH), "g": (WIDTH,)}
    weights = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()]
    given = {"x": ("batch", "seq", WIDTH), "r": ("seq", WIDTH)}
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in given.items()],
        [helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, [None] * 3) for n in range(outputs)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def check(proto: onnx.ModelProto, planned: bool = True) -> Partition:
    """The model's partition, once its library computes what ONNX Runtime does; unplanned, every schedule is generic."""
    dims = parse_dims(("batch=1..4", "seq=0..33"))
    session = onnxruntime_session(proto.SerializeToString(), 1)
    given_model = model_from_proto(proto, "rows", dims=dims)
    partition = partition_model(given_model, sizes=sizes_for_plans(given_model) if planned else None)
    executable = compile_model(partition, {}, detect()).executable
    for batch, seq in [(1, 1), (4, 33), (3, 7), (1, 18), (2, 0)]:
        given = executable.random_inputs(1, {"batch": batch, "seq": seq})
        for name, want in zip(executable.run(given).items(), session.run(None, given), strict=True):
            np.testing.assert_allclose(name[1], want, atol=2e-5, err_msg=f"{name[0]} at {batch}, {seq}")
    return partition


def ranks(partition: Partition) -> dict[str, list[int]]:
    """Of the parameters of each kernel."""
    return {task.name: [len(each.ty.shape) for each in partition.module[task.name].params] for task in partition.tasks}


def test_products_norms_and_sums_are_over_rows() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["q"]),
        helper.make_node("Relu", ["q"], ["h"]),
        helper.make_node("MatMul", ["h", "v"], ["o"]),
        helper.make_node("Add", ["o", "x"], ["s"]),
        helper.make_node("LayerNormalization", ["s", "g"], ["n"], axis=2),
        helper.make_node("Add", ["n", "c"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y0"], axis=2),
    ]
    found = ranks(check(model(nodes, 1)))
    assert found
    assert all(max(each) == 2 for each in found.values()), found


def test_what_tells_the_axes_apart_keeps_them() -> None:
    nodes = [
        helper.make_node("Add", ["x", "r"], ["a"]),  # a row for each place of the sequence
        helper.make_node("MatMul", ["a", "w"], ["y0"]),
        helper.make_node("Sigmoid", ["x"], ["e"]),
        helper.make_node("Softmax", ["e"], ["y1"], axis=1),
    ]
    found = ranks(check(model(nodes, 2)))
    assert any(max(each) == 3 for each in found.values()), found
    assert any(max(each) == 2 for each in found.values()), found


def test_kernels_with_nothing_to_write_are_left_out() -> None:
    """Loops over batch and sequence in one divide by the sequence, and LLVM does so before it asks whether any run."""
    check(
        model(
            [helper.make_node("LayerNormalization", ["x", "g"], ["n"]), helper.make_node("Add", ["n", "c"], ["y0"])], 1
        ),
        planned=False,
    )
