"""What `inspect` shows: figures of groups, edges between calls, and a picture that is whole."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from onnx import helper

from flextune.importing.model import model_from_proto
from flextune.lowering.precision.precision import Precision
from flextune.plan.layouts.layout_assignment import LayoutAssignment
from flextune.plan.partition import partition_model
from flextune.report.picture import draw, quantity
from flextune.report.view import GraphView, view_of
from flextune.testing.models import conv_block, model_of, random_array, value


@pytest.fixture(scope="module")
def view() -> GraphView:
    return view_of(partition_model(model_from_proto(conv_block(), "block & co")))


def test_groups_have_flops_bytes_and_weights(view: GraphView) -> None:
    heaviest = view.groups[0]
    assert heaviest.operators.startswith("conv2d")
    assert heaviest.weight_bytes == 4 * (3 * 3 * 4 * 8 + 8)
    pixels = 10 * 10
    assert heaviest.bytes == 4 * pixels * (4 + 8) + heaviest.weight_bytes
    assert heaviest.flops >= 2 * pixels * 8 * 3 * 3 * 4
    assert heaviest.intensity == heaviest.flops / heaviest.bytes
    assert sum(view.share(group) for group in view.groups) == pytest.approx(1.0)


def test_edges_follow_the_data(view: GraphView) -> None:
    labels = [call.label for call in view.calls]
    assert labels[0] == "x: float32[1, 4, 10, 10]"
    assert labels[-1] == "y: float32[1, 4, 10, 10]"
    reached = {0}
    for edge in sorted(view.edges, key=lambda edge: edge.target):
        if edge.source in reached:
            reached.add(edge.target)
    assert reached == set(range(len(labels)))


def test_reshapes_are_no_calls() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [2, 3, 4])], [value("y", [2, 5])], {"w": random_array(0, 12, 5)})
    view = view_of(partition_model(model_from_proto(proto, "flat")))
    assert not any("reshape" in call.label for call in view.calls)
    assert next(edge.tensor for edge in view.edges) == "float32[2, 3, 4]"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_operators_are_named_one_by_one(precision: str) -> None:
    """Names of operators have underscores of their own, which those of kernels are joined with."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]),
        helper.make_node("Sigmoid", ["p"], ["y"]),
    ]
    proto = model_of(
        nodes, [value("x", [1, 32, 9, 9])], [value("y", [1, 64, 8, 8])], {"w": random_array(0, 64, 32, 1, 1)}
    )
    view = view_of(partition_model(model_from_proto(proto, "pool"), precision=Precision(precision)))
    assert {group.operator_names for group in view.groups} >= {("conv2d", "relu"), ("max_pool2d", "sigmoid")}


def test_kernels_in_a_loop_count_as_often_as_it_iterates() -> None:
    weights = {"w": random_array(0, 1, 16, 4), "r": random_array(1, 1, 16, 4)}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)
    proto = model_of([node], [value("x", [7, 1, 4])], [value("y", [7, 1, 1, 4])], weights)
    view = view_of(partition_model(model_from_proto(proto, "lstm")))
    products = {group.count for group in view.groups if "matmul" in group.operators}
    assert products == {1, 7}
    assert [call.label for call in view.calls][-1].startswith("y: ")
    assert any(edge.target == len(view.calls) - 1 for edge in view.edges)


def test_convolutions_have_a_layout(view: GraphView) -> None:
    assert {group.layout for group in view.groups if "conv2d" in group.operators} == {"NHWC"}
    assert {group.layout for group in view.groups if "conv2d" not in group.operators} <= {""}
    partition = partition_model(model_from_proto(conv_block(), "block"))
    laid_out = view_of(partition.laid_out(LayoutAssignment.parse("NHWC>NCHW:0 NCHW>NHWC:1")))
    assert {group.layout for group in laid_out.groups if "conv2d" in group.operators} == {"NCHW>NHWC", "NHWC"}


def test_the_picture_is_whole(view: GraphView) -> None:
    root = ElementTree.fromstring(draw(view))
    boxes = root.findall("{http://www.w3.org/2000/svg}g")
    assert len(boxes) == len(view.calls)
    titles = [box.findtext("{http://www.w3.org/2000/svg}title", "") for box in boxes]
    assert any("of weights" in title for title in titles)
    shown = "".join(root.itertext())
    assert "block & co" in shown
    assert "1×4×10×10" in shown


def test_quantities_are_short() -> None:
    assert [quantity(number, "FLOP") for number in (0, 999, 1853000, 2.5e12)] == [
        *("0 FLOP", "999 FLOP", "1.85 MFLOP", "2.5 TFLOP")
    ]
