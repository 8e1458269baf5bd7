from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.errors import UsageError
from flextune.importing.model import Model, load_model
from flextune.lowering.calls import call_sites
from flextune.lowering.precision.precision import Precision
from flextune.lowering.precision.rewrite import product_layers
from flextune.plan.group_kernels import group_kernels
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.models import evaluate, model_of, random_array, value

BFLOAT16 = Precision.parse("bf16")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Three convolutions, the second with a residual sum, then pooling, a dense layer and a view."""
    constants = {
        "w1": random_array(1, 64, 3, 3, 3) / 3,
        "w2": random_array(2, 64, 64, 3, 3) / 12,
        "w3": random_array(3, 32, 64, 1, 1) / 4,
        "b2": random_array(4, 64),
        "w4": random_array(5, 32, 20) / 3,
        "shape": np.array([20, 1], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["s2"]),
        helper.make_node("Relu", ["s2"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["c3"]),
        helper.make_node("GlobalAveragePool", ["c3"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w4"], ["m"]),
        helper.make_node("Reshape", ["m", "shape"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [1, 3, 16, 16])], [value("y", [20, 1])], constants)
    onnx.save(proto, tmp_path / "model.onnx")
    return load_model(tmp_path / "model.onnx")


def run(partition: Partition, x: np.ndarray) -> np.ndarray:
    return compile_model(partition, {}, detect()).executable.run({"x": x})["y"]


def error(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


def test_results_are_those_of_float32_to_two_digits(model: Model) -> None:
    x = random_array(9, 1, 3, 16, 16)
    partition = partition_model(model, precision=BFLOAT16)
    assert 0 < error(run(partition, x), evaluate(model.proto, {"x": x})[0]) < 0.02


def test_large_values_between_kernels_are_stored_in_two_bytes(model: Model) -> None:
    partition = partition_model(model, precision=BFLOAT16)
    stored = [str(site.variable.ty.dtype) for site in call_sites(partition.module)]
    assert stored.count("uint16") >= 3
    assert {str(spec.dtype) for spec in compile_model(partition, {}, detect()).executable.outputs} == {"float32"}


def test_records_do_not_mix(model: Model) -> None:
    keys = [{task.workload.key for task in partition_model(model, precision=p).tasks} for p in (Precision(), BFLOAT16)]
    assert len(keys[0] & keys[1]) <= 2  # what works on small values is the same program


def test_layers_can_be_kept(model: Model) -> None:
    layers = product_layers(partition_model(model).module)
    assert [layer.number for layer in layers] == [0, 1, 2, 3]
    x = random_array(9, 1, 3, 16, 16)
    want = evaluate(model.proto, {"x": x})[0]
    errors = [error(run(partition_model(model, precision=BFLOAT16.keeping(kept)), x), want) for kept in ((), range(4))]
    assert errors[1] < errors[0]


def test_a_light_head_stays_float32(tmp_path: Path) -> None:
    """A hundredth of the weights, for one row: its rounding would be the output's. It is no layer to choose."""
    constants = {
        "w1": random_array(1, 160, 160) / 12,
        "w2": random_array(2, 160, 160) / 12,
        "h": random_array(3, 160, 2),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["b"]),
        helper.make_node("ReduceMean", ["b"], ["p"], axes=[0], keepdims=1),
        helper.make_node("MatMul", ["p", "h"], ["y"]),
    ]
    onnx.save(model_of(nodes, [value("x", [64, 160])], [value("y", [1, 2])], constants), tmp_path / "model.onnx")
    partition = partition_model(load_model(tmp_path / "model.onnx"), precision=BFLOAT16)
    products = [task.workload for task in partition.tasks if len(task.workload.inputs) > 1]
    (head,) = [product for product in products if product.inputs[-1].dtype == "float32"]
    assert head.inputs[-1].shape == (160, 2)
    measured = [workloads for group in group_kernels(partition) for workloads in group.kernels.values()]
    assert any(head in workloads for workloads in measured)  # what is measured for it is what it is


@pytest.mark.hardware("bf16")
def test_every_product_gets_the_dot_product_instruction(model: Model) -> None:
    from flextune.platforms import platform_registry

    partition = partition_model(model, precision=BFLOAT16)
    traces = [
        str(platform_registry.get("x86").search_space(task.workload, detect()).trace.to_json())
        for task in partition.tasks
        if task.workload.dtype == "bfloat16" and {"conv2d", "matmul"} & set(task.name.split("_"))
    ]
    assert traces
    assert all("bf16_pairs" in trace for trace in traces)


def test_alternatives_are_in_the_same_precision(model: Model) -> None:
    partition = partition_model(model, precision=BFLOAT16)
    known = {task.workload.key for task in partition.tasks}
    groups = group_kernels(partition)
    assert any(group.key in known for group in groups)


def test_a_processor_without_bfloat16_is_refused() -> None:
    with pytest.raises(UsageError, match="AVX512-BF16"):
        BFLOAT16.check(Target.parse("x86:znver3,cores=2"))
    BFLOAT16.check(Target.parse("x86:znver4,cores=2"))


def test_unknown_precision() -> None:
    with pytest.raises(UsageError, match="bfloat16"):
        Precision.parse("bfloat")


def test_layers_to_keep_are_part_of_the_text() -> None:
    kept = Precision.parse("bf16,keep=0+7")
    assert Precision.parse(str(kept)) == kept == Precision("bfloat16", (0, 7))
    with pytest.raises(UsageError, match="expected layers to keep"):
        Precision.parse("bf16,keep=a")


def test_a_layer_that_is_not_there(model: Model) -> None:
    with pytest.raises(UsageError, match="no layer 9 to keep"):
        partition_model(model, precision=BFLOAT16.keeping([9]))


def test_small_values_are_stored_as_what_they_are_concatenated_to(tmp_path: Path) -> None:
    """Each half is small, the whole is large; where both are bfloat16 the halves are written in place."""
    constants = {f"w{index}": random_array(index, 32, 32, 1, 1) / 4 for index in range(2)}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"]),
        helper.make_node("Conv", ["x", "w1"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    proto = model_of(nodes, [value("x", [1, 32, 10, 10])], [value("y", [1, 64, 5, 5])], constants)
    onnx.save(proto, tmp_path / "joined.onnx")
    narrow = partition_model(load_model(tmp_path / "joined.onnx"), precision=BFLOAT16)
    executable = compile_model(narrow, {}, detect()).executable
    assert not any("concat" in kernel for kernel in executable.signature.kernels)
    x = random_array(5, 1, 32, 10, 10)
    assert error(executable.run({"x": x})["y"], evaluate(proto, {"x": x})[0]) < 2e-2


def test_a_kernel_with_several_results(tmp_path: Path) -> None:
    constants = {"w1": random_array(1, 64, 3, 3, 3) / 3, "w2": random_array(2, 32, 32, 3, 3) / 12}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Split", ["c"], ["a", "b"], axis=1),
        helper.make_node("Conv", ["b", "w2"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["a", "d"], ["y"], axis=1),
    ]
    proto = model_of(nodes, [value("x", [1, 3, 16, 16])], [value("y", [1, 64, 16, 16])], constants)
    onnx.save(proto, tmp_path / "split.onnx")
    x = random_array(9, 1, 3, 16, 16)
    got = run(partition_model(load_model(tmp_path / "split.onnx"), precision=BFLOAT16), x)
    assert error(got, evaluate(proto, {"x": x})[0]) < 0.02
