"""Rules that spell out what the importer would misread: the same values, in nodes it reads as ONNX means them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify import simplify
from flextune.importing.simplify.axes import positive_axes
from flextune.importing.simplify.bounds import compare_bounds
from flextune.importing.simplify.branches import take_branches
from flextune.importing.simplify.exponents import cast_exponents
from flextune.importing.simplify.masks import constant_masks
from flextune.importing.simplify.normalization import spell_out_layer_norms
from flextune.importing.simplify.padding import clip_windows, explicit_padding, split_negative_pads
from flextune.importing.simplify.refusals import refuse_elements, refuse_misread
from flextune.importing.simplify.shifts import bounded_shifts
from flextune.importing.simplify.slopes import select_slopes
from flextune.importing.simplify.splits import explicit_splits
from flextune.testing.models import evaluate, model_of, operators, random_array, value

Rule = Callable[[OnnxGraph], None]


def rewritten(proto: onnx.ModelProto, rule: Rule) -> OnnxGraph:
    graph = OnnxGraph.of(onnx.shape_inference.infer_shapes(proto))
    rule(graph)
    onnx.checker.check_model(graph.to_proto())
    return graph


def assert_same(proto: onnx.ModelProto, graph: OnnxGraph, inputs: dict[str, np.ndarray]) -> None:
    with np.errstate(all="ignore"):
        pairs = zip(evaluate(graph.to_proto(), inputs), evaluate(proto, inputs), strict=True)
        for got, want in pairs:
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def node_model(
    node: onnx.NodeProto, shape: list[int], constants: dict[str, np.ndarray] | None = None, opset: int = 17
) -> onnx.ModelProto:
    outputs = [value(name, None) for name in node.output]
    return model_of([node], [value("x", shape)], outputs, constants, opset)


def pool(operator: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, ["x"], ["y"], **attributes)


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("kernel", "stride"), [([3, 2], [2, 1]), ([2, 5], [1, 3])])
def test_automatic_padding_is_written_out(automatic: str, kernel: list[int], stride: list[int]) -> None:
    node = pool("MaxPool", auto_pad=automatic, kernel_shape=kernel, strides=stride)
    proto = node_model(node, [1, 2, 7, 9])
    graph = rewritten(proto, explicit_padding)
    assert {entry.name for entry in graph.nodes[0].attribute} == {"kernel_shape", "strides", "pads"}
    runtime = pytest.importorskip("onnxruntime")  # ONNX's own evaluator rounds sizes down for SAME_LOWER
    x = {"x": random_array(0, 1, 2, 7, 9)}
    (want,) = runtime.InferenceSession(proto.SerializeToString()).run(None, x)
    np.testing.assert_allclose(evaluate(graph.to_proto(), x)[0], want, rtol=1e-5)


def test_automatic_padding_of_a_convolution() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_LOWER", dilations=[2, 1])
    proto = node_model(node, [1, 2, 7, 9], {"w": random_array(1, 3, 2, 3, 2)})
    graph = rewritten(proto, explicit_padding)
    assert {entry.name for entry in graph.nodes[0].attribute} == {"dilations", "pads"}
    assert_same(proto, graph, {"x": random_array(0, 1, 2, 7, 9)})


@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_sizes_that_are_rounded_up(counted: int, size: int) -> None:
    attributes = {"ceil_mode": 1, "kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    node = pool("AveragePool", count_include_pad=counted, **attributes)
    proto = node_model(node, [1, 1, size, size])
    graph = rewritten(proto, explicit_padding)
    assert all(entry.name != "ceil_mode" for entry in graph.nodes[-1].attribute)
    x = random_array(size, 1, 1, size, size)
    reference = averages(x[0, 0], bool(counted))
    (got,) = evaluate(graph.to_proto(), {"x": x})
    np.testing.assert_allclose(got[0, 0], reference, rtol=1e-5)


@pytest.mark.parametrize("operator", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize(
    ("attributes", "clipped"),
    [
        ({"kernel_shape": [40, 40], "strides": [40, 40], "ceil_mode": 1}, [5, 6]),
        ({"kernel_shape": [40, 3], "strides": [40, 2], "ceil_mode": 1}, [5, 3]),
        ({"kernel_shape": [7, 8], "pads": [1, 1, 1, 1]}, [5, 6]),
        ({"kernel_shape": [7, 6], "pads": [2, 0, 0, 0]}, [5, 6]),
        ({"kernel_shape": [6, 6], "pads": [2, 0, 0, 0]}, [6, 6]),
        ({"kernel_shape": [6, 7], "pads": [1, 1, 1, 1]}, [6, 7]),
    ],
)
def test_windows_larger_than_the_image_are_clipped(
    operator: str, attributes: dict[str, object], clipped: list[int]
) -> None:
    proto = node_model(pool(operator, **attributes), [1, 2, 5, 6])

    def both(graph: OnnxGraph) -> None:
        explicit_padding(graph)
        clip_windows(graph)

    graph = rewritten(proto, both)
    assert attribute(graph.nodes[-1], "kernel_shape", ()) == tuple(clipped)
    runtime = pytest.importorskip("onnxruntime")
    x = {"x": random_array(0, 1, 2, 5, 6)}
    (want,) = runtime.InferenceSession(proto.SerializeToString()).run(None, x)
    np.testing.assert_allclose(evaluate(graph.to_proto(), x)[0], want, rtol=1e-5)


def test_padding_that_counts_is_not_clipped() -> None:
    node = pool("AveragePool", kernel_shape=[7, 8], pads=[1, 1, 1, 1], count_include_pad=1)
    graph = rewritten(node_model(node, [1, 2, 5, 6]), clip_windows)
    assert attribute(graph.nodes[-1], "kernel_shape", ()) == (7, 8)


def averages(x: np.ndarray, counted: bool) -> np.ndarray:
    """3x3 windows, stride 2, one row of padding on each side, sizes rounded up."""
    size = len(x)
    count = -(-(size + 2 - 3) // 2) + 1
    count -= (count - 1) * 2 >= size + 1
    result = np.empty((count, count), np.float32)
    for row in range(count):
        for column in range(count):
            spans = [(2 * place - 1, min(2 * place + 2, size + 1)) for place in (row, column)]
            inside = x[tuple(slice(max(low, 0), min(high, size)) for low, high in spans)]
            whole = (spans[0][1] - spans[0][0]) * (spans[1][1] - spans[1][0])
            result[row, column] = inside.sum() / (whole if counted else inside.size)
    return result


def test_pads_that_take_away_are_slices() -> None:
    node = helper.make_node("Pad", ["x", "p"], ["y"])
    proto = node_model(node, [4, 5], {"p": np.array([-1, 2, 1, -3])})
    graph = rewritten(proto, split_negative_pads)
    assert operators(graph) == ["Slice", "Pad"]
    x = random_array(0, 4, 5)
    np.testing.assert_array_equal(evaluate(graph.to_proto(), {"x": x})[0], np.pad(x[1:, :2], ((0, 1), (2, 0))))


@pytest.mark.parametrize("size", [6, 7])
def test_parts_have_sizes(size: int) -> None:
    node = helper.make_node("Split", ["x"], ["a", "b", "c"], num_outputs=3, axis=0)
    proto = node_model(node, [size, 2], opset=18)
    graph = rewritten(proto, explicit_splits)
    assert list(graph.constants[graph.nodes[0].input[1]]) == ([2, 2, 2] if size == 6 else [3, 3, 1])
    assert_same(proto, graph, {"x": random_array(0, size, 2)})


@pytest.mark.parametrize(("base", "exponent"), [(np.float32, np.int64), (np.int32, np.float32)])
def test_exponents_have_the_type_of_the_base(base: type, exponent: type) -> None:
    types = [onnx.helper.np_dtype_to_tensor_dtype(np.dtype(each)) for each in (base, exponent)]
    inputs = [value("x", [3], types[0]), value("n", [3], types[1])]
    proto = model_of([helper.make_node("Pow", ["x", "n"], ["y"])], inputs, [value("y", [3], types[0])])
    graph = rewritten(proto, cast_exponents)
    assert operators(graph).count("Cast") >= 1
    assert_same(proto, graph, {"x": np.array([1, 2, 3], base), "n": np.array([2, 3, 0], exponent)})


SPECIAL = np.array([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-40, 3.0, 9.0], np.float32)


@pytest.mark.parametrize("names", [["x", "lo", "hi"], ["x", "", "hi"], ["x", "lo"], ["x"]])
def test_clip_keeps_nan(names: list[str]) -> None:
    bounds = {"lo": np.array(0, np.float32), "hi": np.array(6, np.float32)}
    constants = {name: bounds[name] for name in names if name in bounds}
    proto = node_model(helper.make_node("Clip", names, ["y"]), [8], constants)
    graph = rewritten(proto, compare_bounds)
    assert "Clip" not in operators(graph)
    assert_same(proto, graph, {"x": SPECIAL})


@pytest.mark.parametrize("operator", ["Max", "Min"])
def test_extremes_of_two_values_keep_nan(operator: str) -> None:
    node = helper.make_node(operator, ["a", "b"], ["y"])
    proto = model_of([node], [value("a", [8]), value("b", [8])], [value("y", [8])])
    graph = rewritten(proto, compare_bounds)
    assert operator not in operators(graph)
    assert_same(proto, graph, {"a": SPECIAL, "b": SPECIAL[::-1].copy()})
    assert_same(proto, graph, {"a": SPECIAL, "b": np.zeros(8, np.float32)})


def test_slopes_are_selected_and_keep_nan() -> None:
    slopes = np.array([0.5, -2.0, 0.0], np.float32)
    node = helper.make_node("PRelu", ["x", "s"], ["y"])
    proto = node_model(node, [4, 3], {"s": slopes})
    graph = rewritten(proto, select_slopes)
    assert operators(graph) == ["Less", "Mul", "Where"]
    x = random_array(0, 4, 3)
    x[1, 1] = np.nan
    assert_same(proto, graph, {"x": x})


def test_slopes_of_old_sets_are_those_of_channels() -> None:
    node = helper.make_node("PRelu", ["x", "s"], ["y"])
    slopes = np.array([0.5, -2.0, 0.0], np.float32)
    graph = rewritten(node_model(node, [2, 3, 3, 3], {"s": slopes}, opset=6), select_slopes)
    x = random_array(0, 2, 3, 3, 3)
    want = np.where(x < 0, slopes.reshape(3, 1, 1) * x, x)
    np.testing.assert_allclose(evaluate(graph.to_proto(), {"x": x})[0], want)


@pytest.mark.parametrize("attributes", [{}, {"alpha": -2.0}])
def test_what_is_below_a_threshold_is_zero(attributes: dict[str, float]) -> None:
    """As a product with the truth value, minus infinity would be NaN."""
    proto = node_model(helper.make_node("ThresholdedRelu", ["x"], ["y"], **attributes), [8])
    graph = rewritten(proto, compare_bounds)
    assert sorted(operators(graph)) == ["Greater", "Where"]
    (result,) = evaluate(graph.to_proto(), {"x": SPECIAL})
    least = attributes.get("alpha", 1.0)
    np.testing.assert_array_equal(result, np.where(np.greater(SPECIAL, least), SPECIAL, np.float32(0)))


def test_branches_that_are_taken_replace_the_condition() -> None:
    branches = [
        helper.make_graph([helper.make_node(operator, ["x"], [name])], name, [], [value(name, [3])])
        for operator, name in (("Neg", "negative"), ("Abs", "positive"))
    ]
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Equal", ["s", "three"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    for size in (3, 4):
        proto = model_of(nodes, [value("x", [size])], [value("y", None)], {"three": np.array([3])})
        graph = rewritten(proto, take_branches)
        assert operators(graph) == ["Neg" if size == 3 else "Abs", "Identity"]
        assert_same(proto, graph, {"x": random_array(0, size)})


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_shifts_beyond_the_width(direction: str, dtype: type) -> None:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node("BitShift", ["x", "s"], ["y"], direction=direction)
    proto = model_of([node], [value("x", [6], kind), value("s", [6], kind)], [value("y", [6], kind)])
    graph = rewritten(proto, bounded_shifts)
    places = np.array([0, 1, 7, 8, 9, 100], dtype)
    numbers = np.array([1, 100, 127, 127, 3, 5], dtype)
    expected = [
        int(number) << int(place) if direction == "LEFT" else int(number) >> int(place)
        for number, place in zip(numbers, places, strict=True)
    ]
    got = evaluate(graph.to_proto(), {"x": numbers, "s": places})[0]
    np.testing.assert_array_equal(got, np.array([each & 255 for each in expected]).astype(dtype))


@pytest.mark.parametrize(("axis", "shape", "opset"), [(-1, [4], 17), (1, [3, 4], 17), (1, [4], 18)])
def test_layer_norms_with_more_outputs_are_spelt_out(axis: int, shape: list[int], opset: int) -> None:
    constants = {"s": random_array(1, *shape), "b": random_array(2, *shape)}
    node = helper.make_node("LayerNormalization", ["x", "s", "b"], ["y", "mean", "rate"], axis=axis)
    proto = node_model(node, [2, 3, 4], constants, opset)
    graph = rewritten(proto, spell_out_layer_norms)
    assert "LayerNormalization" not in operators(graph)
    x = random_array(0, 2, 3, 4)
    axes = tuple(range(axis % 3, 3))
    mean, deviation = x.mean(axes, keepdims=True), np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    wanted = [(x - mean) / deviation * constants["s"] + constants["b"], mean, 1 / deviation]
    for got, want in zip(evaluate(graph.to_proto(), {"x": x}), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_plain_layer_norms_stay() -> None:
    node = helper.make_node("LayerNormalization", ["x", "s"], ["y"])
    assert operators(rewritten(node_model(node, [2, 4], {"s": random_array(0, 4)}), spell_out_layer_norms)) == [
        "LayerNormalization"
    ]


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("ReduceMean", ["x"], ["y"], axes=[-1, 0]),
        helper.make_node("Softmax", ["x"], ["y"], axis=-2),
        helper.make_node("ReduceSum", ["x", "axes"], ["y"]),
        helper.make_node("Slice", ["x", "one", "two", "axes"], ["y"]),
    ],
)
def test_axes_count_from_the_front(node: onnx.NodeProto) -> None:
    constants = {"axes": np.array([-1]), "one": np.array([1]), "two": np.array([2])}
    used = {name: array for name, array in constants.items() if name in node.input}
    proto = node_model(node, [2, 3, 4], used)
    graph = rewritten(proto, positive_axes)
    numbers = [axis for entry in graph.nodes[0].attribute for axis in (*entry.ints, entry.i)]
    numbers += [int(axis) for name in graph.nodes[0].input for axis in graph.constants.get(name, np.array([0]))]
    assert min(numbers) >= 0
    assert_same(proto, graph, {"x": random_array(0, 2, 3, 4)})


def test_masks_of_dropout_are_constant() -> None:
    proto = node_model(helper.make_node("Dropout", ["x"], ["y", "m"]), [2, 3])
    proto.graph.output[1].type.tensor_type.elem_type = TensorProto.BOOL
    graph = rewritten(proto, constant_masks)
    assert list(graph.nodes[0].output) == ["y"]
    np.testing.assert_array_equal(graph.constants["m"], np.ones((2, 3), np.bool_))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("LRN", ["x"], ["y"], size=4, name="lrn_1"), ["LRN", "lrn_1", "even"]),
        (helper.make_node("Dropout", ["x", "", "yes"], ["y"], name="drop"), ["Dropout", "drop", "training"]),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="c", output_shape=[3, 3]), ["ConvTranspose", "c"]),
        (helper.make_node("Resize", ["x", "r", "s"], ["y"], name="z"), ["Resize", "z", "no constants"]),
        (helper.make_node("NonZero", ["x"], ["y"], name="nz"), ["NonZero", "nz", "depends on values"]),
    ],
)
def test_what_would_be_misread_is_refused_by_name(node: onnx.NodeProto, words: list[str]) -> None:
    scales, weight = np.array([1, 1, 0.7, 0.7], np.float32), np.ones((8, 1, 2, 2), np.float32)
    constants = {"yes": np.array(True), "s": scales, "w": weight}
    used = {name: array for name, array in constants.items() if name in node.input}
    with pytest.raises(ModelError) as caught:
        refuse_misread(OnnxGraph.of(node_model(node, [1, 8, 2, 2], used, opset=18)))
    assert all(word in str(caught.value) for word in words), caught.value


def test_element_types_without_arithmetic_are_refused() -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)
    proto = model_of([node], [value("x", [3])], [value("y", [3], TensorProto.FLOAT8E4M3FN)], opset=21)
    with pytest.raises(ModelError, match=r"FLOAT8E4M3FN \(y\)"):
        refuse_elements(OnnxGraph.of(proto))


def test_all_rules_together_keep_the_values() -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Clip", ["p", "lo", "hi"], ["c"]),
        helper.make_node("Split", ["c"], ["a", "b"], axis=1),
        helper.make_node("Max", ["a", "b"], ["m"]),
        helper.make_node("ReduceMean", ["m"], ["y"], axes=[-1, -2]),
    ]
    constants = {"lo": np.array(-0.5, np.float32), "hi": np.array(0.5, np.float32)}
    proto = model_of(nodes, [value("x", [1, 4, 7, 7])], [value("y", None)], constants)
    assert_same(proto, rewritten(proto, simplify), {"x": random_array(0, 1, 4, 7, 7)})
