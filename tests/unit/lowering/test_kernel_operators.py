"""What a kernel computes, in words: kept through lowering and bfloat16, whatever its function is called."""

from __future__ import annotations

import pytest
from onnx import helper
from tvm import tirx

from flextune.importing.model import model_from_proto
from flextune.lowering.kernel_operators import described, operators_in_name, operators_of
from flextune.lowering.layout import Layout
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.plan.alternative import PARTS, Alternative
from flextune.plan.partition import Partition, partition_model
from flextune.report.view import view_of
from flextune.testing.models import model_of, random_array, value
from tests.unit.plan.layouts.nets import branching


@pytest.mark.parametrize(
    ("function", "operators"),
    [
        ("fused_conv2d10_add6_relu6", "conv2d_add_relu"),
        ("max_pool2d", "max_pool2d"),
        ("max_pool2d12", "max_pool2d"),
        ("transpose1", "transpose"),
        ("fused_transpose1_reshape", "transpose_reshape"),
        ("avg_pool3d1", "avg_pool3d"),
    ],
)
def test_names_lose_only_their_numbers(function: str, operators: str) -> None:
    assert operators_in_name(function) == operators


def computed(partition: Partition) -> dict[str, str]:
    functions = partition.module.functions_items()
    return {
        name.name_hint: described(operators_of(each)) for name, each in functions if isinstance(each, tirx.PrimFunc)
    }


@pytest.mark.parametrize("precision", [FLOAT32, Precision("bfloat16")], ids=str)
def test_every_kernel_says_what_it_computes(precision: Precision) -> None:
    partition = partition_model(model_from_proto(branching(24), "net"), precision=precision)
    assert partition.switcher is not None
    found = computed(partition)
    assert "conv2d_add_relu" in found.values()
    assert set(found.values()) == {operators_in_name(name) for name in found}
    assert {task.workload.param("name") for task in partition.tasks} <= set(found.values())
    assert {group.operators for group in view_of(partition).groups} <= set(found.values())
    apart = partition.switched({each.name: PARTS for each in partition.switcher.kinds if PARTS in each.alternatives})
    assert "conv2d" in computed(apart).values()


def test_another_algorithm_computes_the_same_operators() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Log", ["a"], ["y"]),
    ]
    shape = [1, 16, 24, 24]
    proto = model_of(nodes, [value("x", shape)], [value("y", shape)], {"w": random_array(1, 16, 16, 3, 3)})
    partition = partition_model(model_from_proto(proto, "net"))
    winograd = Alternative(algorithm="winograd", size=2)
    switched = partition.switched({"group1": winograd})
    assert sorted(computed(partition).values()) == ["conv2d_log", "permute_dims", "permute_dims"]
    assert sorted(computed(switched).values()) == sorted(computed(partition).values())
    assert len(switched.tasks) == len(partition.tasks)
    assert switched.tasks[0].workload.key != partition.tasks[0].workload.key


def test_volumes_have_no_layout_of_images() -> None:
    nodes = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2, 2], strides=[2, 2, 2])]
    proto = model_of(nodes, [value("x", [1, 3, 8, 8, 8])], [value("y", [1, 3, 4, 4, 4])])
    assert [group.layout for group in view_of(partition_model(model_from_proto(proto, "net"))).groups] == [""]


@pytest.mark.parametrize("text", ["NCHWD", "NCHWD4c", "NCW", "", "NHWCx"])
def test_what_is_no_layout_of_an_image(text: str) -> None:
    assert Layout.of_image(text) is None
    assert Layout.of_image("NCHW16c") == Layout.parse("NCHW16c")
