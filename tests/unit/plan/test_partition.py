"""Splitting a lowered model: counts, shares, constants, keys that do not depend on the model's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.importing.model import load_model
from flextune.plan.partition import Partition, partition_model
from flextune.testing.models import conv_block, model_of, random_array, value


def partition_of(proto: onnx.ModelProto, folder: Path) -> Partition:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return partition_model(load_model(path))


def repeated(names: str, layers: int = 3) -> onnx.ModelProto:
    """Three equal 3x3 convolutions with relu in a row; values are called after `names`."""
    nodes, constants, x = [], {}, "x"
    for layer in range(layers):
        weight, bias, y = (f"{names}{kind}{layer}" for kind in "wby")
        constants |= {weight: random_array(layer, 8, 8, 3, 3), bias: random_array(layer + 9, 8)}
        nodes.append(helper.make_node("Conv", [x, weight, bias], [f"{y}c"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"{y}c"], [y]))
        x = y
    return model_of(nodes, [value("x", [1, 8, 6, 6])], [value(x, [1, 8, 6, 6])], constants)


def test_equal_groups_are_one_task(tmp_path: Path) -> None:
    partition = partition_of(repeated("a"), tmp_path)
    convolution = partition.tasks[0]
    assert convolution.count == 3
    assert convolution.workload.constants == (1, 2)
    assert dict(convolution.workload.params)["name"] == "conv2d_add_relu"
    assert [spec.shape for spec in convolution.workload.inputs] == [(1, 6, 6, 8), (3, 3, 8, 8), (1, 1, 1, 8)]
    assert convolution.flops_share > 0.9
    assert sum(task.flops_share for task in partition.tasks) == pytest.approx(1.0)
    assert partition.fallbacks == ()


def test_keys_do_not_depend_on_names_or_weights(tmp_path: Path) -> None:
    first, second = (partition_of(repeated(names), tmp_path) for names in ("a", "other"))
    assert [task.workload.key for task in first.tasks] == [task.workload.key for task in second.tasks]


def test_flops_count_every_call(tmp_path: Path) -> None:
    one, three = (partition_of(repeated("a", layers), tmp_path) for layers in (1, 3))
    multiply_adds = 6 * 6 * 8 * 8 * 9
    assert one.tasks[0].workload.flops >= 2 * multiply_adds
    assert three.flops - one.flops == 2 * one.tasks[0].workload.flops


def test_a_weight_that_is_an_input_is_not_constant(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    partition = partition_of(model_of(nodes, [value("x", [4, 8]), value("w", [8, 3])], [value("y", [4, 3])]), tmp_path)
    assert [task.workload.constants for task in partition.tasks] == [()]


def test_reshapes_are_no_tasks(tmp_path: Path) -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["a"]), helper.make_node("Reshape", ["a", "shape"], ["y"])]
    proto = model_of(nodes, [value("x", [4, 6])], [value("y", [24])], {"shape": np.array([24], np.int64)})
    assert [dict(task.workload.params)["name"] for task in partition_of(proto, tmp_path).tasks] == ["softmax"]


def test_workloads_of_a_model_check_themselves(tmp_path: Path) -> None:
    for task in partition_of(conv_block(), tmp_path).tasks:
        inputs = task.workload.random_inputs(0)
        outputs = task.workload.reference(inputs)
        assert [array.shape for array in outputs] == [spec.shape for spec in task.workload.outputs]
        assert all(np.isfinite(array).all() for array in outputs)
