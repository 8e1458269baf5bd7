"""Operators written by others: the same values as ONNX's evaluator or ONNX Runtime gives for the operator itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.errors import ModelError
from flextune.importing.model import model_from_proto
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.fused import spell_out_fused
from flextune.importing.simplify.opset import upgrade_operators
from flextune.importing.simplify.resizes import explicit_resizes
from flextune.importing.simplify.spelling import spell_out_operators
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, model_of, value

MICROSOFT, ML = "com.microsoft", "ai.onnx.ml"
RNG = np.random.default_rng(7)
Arrays = dict[str, np.ndarray]


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def model(
    operator: str,
    inputs: Arrays,
    outputs: int = 1,
    constants: Sequence[str] = (),
    names: Sequence[str] = (),
    domain: str = "",
    opset: int = 20,
    **attributes: Any,
) -> onnx.ModelProto:
    node = helper.make_node(
        operator, list(names or inputs), [f"y{place}" for place in range(outputs)], domain=domain, **attributes
    )
    ports = [
        value(name, array.shape, helper.np_dtype_to_tensor_dtype(array.dtype))
        for name, array in inputs.items()
        if name not in constants
    ]
    results = [onnx.ValueInfoProto(name=name) for name in node.output]
    proto = model_of([node], ports, results, {name: inputs[name] for name in constants}, opset)
    if domain:
        proto.opset_import.append(helper.make_opsetid(domain, 3 if domain == ML else 1))
    return proto


def by_runtime(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    given = {port.name for port in proto.graph.input}
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    results: list[np.ndarray] = session.run(None, {name: inputs[name] for name in given})
    return results


def assert_same(
    proto: onnx.ModelProto,
    inputs: Arrays,
    rule: Callable[[OnnxGraph], None],
    reference: Callable[[onnx.ModelProto, Arrays], list[np.ndarray]],
) -> None:
    graph = OnnxGraph.of(proto)
    upgrade_operators(graph)
    rule(graph)
    (node,) = proto.graph.node
    alike = [each for each in graph.nodes if (each.domain, each.op_type) == (node.domain, node.op_type)]
    assert all(len(each.output) < len(node.output) or each.attribute != node.attribute for each in alike)
    used = {name: array for name, array in inputs.items() if name in {port.name for port in proto.graph.input}}
    with np.errstate(all="ignore"):
        for got, want in zip(evaluate(graph.to_proto(), used), reference(proto, used), strict=True):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6 * max(1.0, np.abs(want).max(initial=0)))


def spelt(proto: onnx.ModelProto, inputs: Arrays, by: Callable[..., list[np.ndarray]] = evaluate) -> None:
    assert_same(proto, inputs, spell_out_operators, by)


def fused(operator: str, inputs: Arrays, outputs: int = 1, domain: str = MICROSOFT, **options: Any) -> None:
    assert_same(model(operator, inputs, outputs, domain=domain, **options), inputs, spell_out_fused, by_runtime)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_norms_are_divided_by_and_0_stays_0(axis: int) -> None:
    x = floats(3, 4, 5)
    x[:, 1, :], x[1] = 0, 0
    for power in (1, 2):
        spelt(model("LpNormalization", {"x": x}, p=power, axis=axis), {"x": x}, by_runtime)


def test_places_are_reversed_up_to_each_length() -> None:
    for time, batch, dtype in ((0, 1, np.float32), (1, 0, np.int64), (1, 0, np.uint8)):
        x = (10 * floats(5, 4, 3)).astype(dtype)
        lengths = RNG.integers(1, x.shape[time] + 1, x.shape[batch])
        inputs = {"x": x, "n": lengths}
        spelt(model("ReverseSequence", inputs, time_axis=time, batch_axis=batch), inputs)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_products_are_cumulative(exclusive: int, reverse: int) -> None:
    for shape, axis in (((7,), 0), ((3, 13), 1), ((2, 5, 3), -2), ((1, 4), 0)):
        inputs = {"x": floats(*shape), "axis": np.array(axis)}
        spelt(model("CumProd", inputs, 1, ["axis"], opset=26, exclusive=exclusive, reverse=reverse), inputs)


def test_caches_are_written_from_an_index_on() -> None:
    for mode in ("linear", "circular"):
        for shape, count, axis in (((2, 3, 8, 4), 2, -2), ((3, 6, 2), 4, 1), ((1, 2, 3, 5), 2, -1)):
            given = [count if place == axis % len(shape) else size for place, size in enumerate(shape)]
            inputs = {"x": floats(*shape), "u": floats(*given), "i": RNG.integers(0, 3, shape[0])}
            spelt(model("TensorScatter", inputs, opset=24, mode=mode, axis=axis), inputs)


def test_classes_are_compared_and_slices_chosen() -> None:
    for axis in (-1, 0, 1):
        for depth in (integers(5), np.array(5)):
            inputs = {"i": RNG.integers(-7, 9, (3, 4)), "d": depth, "v": np.array([2, 7], np.float32)}
            spelt(model("OneHot", inputs, 1, ["d"], axis=axis), inputs, by_runtime)
    inputs = {"x": floats(3, 4), "c": np.array([True, False, True])}
    spelt(model("Compress", inputs, 1, ["c"], axis=1), inputs)
    spelt(model("Compress", inputs, 1, ["c"]), inputs)


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((2, 3, 6, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ((1, 2, 9, 7), {"kernel_shape": [3, 2], "strides": [2, 1], "dilations": [2, 1], "pads": [1, 0, 1, 1]}),
        ((1, 2, 6, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        ((1, 2, 5, 5), {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
        ((2, 3, 9), {"kernel_shape": [3]}),
        ((2, 2, 6, 7), {"kernel_shape": [2, 3], "storage_order": 1, "strides": [2, 2]}),
    ],
)
def test_places_of_maxima(shape: tuple[int, ...], window: dict[str, Any]) -> None:
    x = floats(*shape)
    spelt(model("MaxPool", {"x": x}, 2, **window), {"x": x}, by_runtime)


def test_values_are_put_at_places() -> None:
    for size, wanted in (((2, 3, 3, 4), None), ((1, 1, 2, 2), (1, 1, 5, 5))):
        x = floats(*size)
        total = x.size * 4
        inputs = {"x": x, "i": RNG.choice(total, x.size, replace=False).reshape(size)}
        if wanted:
            inputs["s"] = integers(*wanted)
        constants = ["s"] if wanted else []
        spelt(model("MaxUnpool", inputs, 1, constants, kernel_shape=[2, 2], strides=[2, 2]), inputs)
    cases: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], int]] = [
        ((6, 7), (2, 3), {"strides": [2, 1], "pads": [1, 0, 1, 2]}, 28),
        ((6, 6), (2, 2), {"dilations": [2, 1]}, 20),
        ((3, 4, 5), (1, 2, 2), {}, 36),
    ]
    for image, block, options, count in cases:
        inputs = {"x": floats(2, 3 * int(np.prod(block)), count), "s": integers(*image), "b": integers(*block)}
        spelt(model("Col2Im", inputs, 1, ["s", "b"], **options), inputs)


@pytest.mark.parametrize("given", [None, 4, 16, 13])
def test_transforms_of_any_length_along_any_axis(given: int | None) -> None:
    for shape, axis in (((2, 12, 1), 1), ((3, 5, 12, 2), 2), ((10, 3, 2), 0)):
        for inverse, half in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if half and inverse == (shape[-1] == 1):
                continue
            inputs = {"x": floats(*shape), "axis": np.array(axis)}
            names = ["x", "", "axis"]
            if given is not None:
                inputs["n"], names[1] = np.array(given), "n"
            constants = [name for name in inputs if name != "x"]
            spelt(model("DFT", inputs, 1, constants, names, inverse=inverse, onesided=half), inputs)


def test_long_transforms_are_made_in_steps() -> None:
    for size, pair, inverse, half in ((600, 1, 0, 1), (1024, 2, 0, 0), (1000, 2, 1, 0), (301, 2, 1, 1)):
        inputs = {"x": floats(2, size, pair), "axis": np.array(1)}
        proto = model("DFT", inputs, 1, ["axis"], ["x", "", "axis"], inverse=inverse, onesided=half)
        spelt(proto, inputs)
    inputs = {"x": floats(1, 1031, 2), "axis": np.array(1)}
    graph = OnnxGraph.of(model("DFT", inputs, 1, ["axis"], ["x", "", "axis"]))
    with pytest.raises(ModelError, match="1031, a prime number"):
        spell_out_operators(graph)


def test_signals_are_transformed_by_frames() -> None:
    for length, step, has_window, half, pair in ((16, 8, True, 1, 1), (20, 7, False, 1, 1), (16, 8, True, 0, 2)):
        inputs = {"x": floats(2, 100, pair), "step": np.array(step), "n": np.array(length)}
        if has_window:
            inputs["w"] = np.hanning(length).astype(np.float32)
        names = ["x", "step", "w" if has_window else "", "n"]
        for constants in (
            ["step", "n"],
            ["step", "n", *inputs.keys() & {"w"}],
        ):
            spelt(model("STFT", inputs, 1, constants, names, onesided=half), inputs)


def test_one_sided_transforms_are_meant_where_nothing_is_said() -> None:
    """ONNX's inference takes the default for the other one: what reads the shape would see another."""
    nodes = [
        helper.make_node("STFT", ["x", "step", "w"], ["f"]),
        helper.make_node("ReduceSumSquare", ["f", "last"], ["s"], keepdims=0),
        helper.make_node("MatMul", ["s", "m"], ["y"]),
        helper.make_node("Shape", ["s"], ["n"]),
        helper.make_node("Expand", ["one", "n"], ["z"]),
    ]
    constants = {
        "step": np.array(8), "w": np.hanning(16).astype(np.float32), "last": integers(-1), "m": floats(9, 4),
        "one": np.ones(1, np.float32),
    }  # fmt: skip
    proto = model_of(nodes, [value("x", [2, 100])], [value("y", None), value("z", None)], constants, 18)
    runtime, given = pytest.importorskip("onnxruntime"), {"x": floats(2, 100)}
    free = onnx.ModelProto.FromString(proto.SerializeToString())
    for dimension in free.graph.input[0].type.tensor_type.shape.dim:
        dimension.Clear()
    wanted = runtime.InferenceSession(free.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)
    read = model_from_proto(proto, "net")
    results = compile_model(partition_model(read), {}, detect()).executable.run(given)
    for got, want in zip(results.values(), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_images_are_read_at_places(mode: str, padding: str) -> None:
    for align in (0, 1):
        for image, grid in (((2, 3, 5, 6), (2, 4, 3, 2)), ((1, 2, 3, 4, 5), (1, 2, 3, 4, 3))):
            if mode == "cubic" and len(image) == 5:
                continue
            inputs = {"x": floats(*image), "g": RNG.uniform(-1.8, 1.8, grid).astype(np.float32)}
            options = {"mode": mode, "padding_mode": padding, "align_corners": align}
            spelt(model("GridSample", inputs, **options), inputs, by_runtime)


def test_convolutions_are_read_beside_their_places() -> None:
    for options, image, weight, parts in (
        ({"pads": [1, 1, 1, 1], "strides": [2, 1]}, (2, 4, 7, 6), (2, 4, 3, 3), 2),
        ({"group": 2, "dilations": [2, 1], "pads": [2, 0, 1, 1]}, (1, 4, 8, 7), (4, 2, 2, 3), 1),
    ):
        taps = weight[2] * weight[3]
        outputs = (4, 6) if parts == 2 else (9, 6)
        inputs = {"x": floats(*image), "w": floats(*weight), "o": floats(image[0], parts * taps * 2, *outputs)}
        inputs |= {"b": floats(weight[0]), "m": floats(image[0], parts * taps, *outputs)}
        spelt(model("DeformConv", inputs, offset_group=parts, **options), inputs, by_runtime)


def test_elements() -> None:
    numbers = np.array([5.3, -5.3, 5.3, -5.3, 0, np.inf, 3, np.nan, -7, 4], np.float32)
    divisors = np.array([2, 2, -2, -2, 3, 2, np.inf, 1, -np.inf, 0], np.float32)
    inputs = {"a": numbers, "b": divisors}
    spelt(model("Mod", inputs, opset=28), inputs)
    for negative, positive in ((0, 0), (0, 1), (1, 0)):
        proto = model("IsInf", {"a": -numbers}, detect_negative=negative, detect_positive=positive)
        spelt(proto, {"a": -numbers})
    for dtype in (onnx.TensorProto.DOUBLE, onnx.TensorProto.INT32):
        spelt(model("EyeLike", {"x": floats(3, 5)}, k=1, dtype=dtype), {"x": floats(3, 5)})


def test_bits_of_whole_numbers_are_kept() -> None:
    for before, after in ((np.uint32, onnx.TensorProto.INT32), (np.int8, onnx.TensorProto.UINT8)):
        numbers = {"x": np.array([0, 1, np.iinfo(before).max, np.iinfo(before).min], before)}
        spelt(model("BitCast", numbers, opset=26, to=after), numbers)
    graph = OnnxGraph.of(model("BitCast", {"x": floats(2)}, opset=26, to=onnx.TensorProto.INT64))
    with pytest.raises(ModelError, match="bits of float32 as int64"):
        spell_out_operators(graph)


def test_chosen_axes_are_resized() -> None:
    inputs = {"x": floats(1, 2, 4, 5), "s": integers(7, 9)}
    for policy in ("not_larger", "not_smaller", "stretch"):
        names = ["x", "", "", "s"]
        proto = model("Resize", inputs, 1, ["s"], names, axes=[2, 3], keep_aspect_ratio_policy=policy)
        graph = OnnxGraph.of(proto)
        explicit_resizes(graph)
        assert all(node.op_type != "Resize" for node in graph.nodes)
        (got,), (want,) = (evaluate(each, {"x": inputs["x"]}) for each in (graph.to_proto(), proto))
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_dropout_that_drops_is_refused() -> None:
    inputs = {"x": floats(2), "r": np.array(0.5, np.float32), "t": np.array(True)}
    with pytest.raises(ModelError, match="Dropout y0 in training mode draws random numbers"):
        model_from_proto(model("Dropout", inputs, 1, ["r", "t"]), "m", only_own=False)


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [("Relu", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.7]), ("HardSigmoid", [0.3, 0.4])],
)
def test_fused_convolutions(activation: str, parameters: list[float]) -> None:
    inputs = {"x": floats(1, 3, 6, 6), "w": floats(4, 3, 3, 3), "b": floats(4)}
    options: dict[str, Any] = {"activation_params": parameters} if parameters else {}
    fused("FusedConv", inputs, activation=activation, pads=[1, 1, 1, 1], **options)


def test_fused_products() -> None:
    inputs = {"a": floats(3, 4), "b": floats(5, 4), "c": floats(5)}
    fused("FusedGemm", inputs, activation="LeakyRelu", activation_alpha=0.3, transB=1, alpha=0.5, beta=2.0)
    for turned, first, second in (((1, 0), (2, 4, 3), (2, 4, 5)), ((0, 1), (2, 3, 4), (5, 4))):
        inputs = {"a": floats(*first), "b": floats(*second)}
        fused("FusedMatMul", inputs, transA=turned[0], transB=turned[1], alpha=0.7)


def test_fused_norms_and_activations() -> None:
    inputs = {"x": floats(2, 3, 8), "s": floats(1, 3, 8), "g": floats(8), "b": floats(8), "c": floats(8)}
    fused("SkipLayerNormalization", inputs, epsilon=1e-5)
    fused("SkipSimplifiedLayerNormalization", {name: inputs[name] for name in "xsg"} | {"s": floats(2, 3, 8)})
    for operator in ("BiasGelu", "FastGelu", "QuickGelu", "Gelu"):
        fused(operator, {name: inputs[name] for name in ("xb" if operator in ("BiasGelu", "FastGelu") else "x")})
    tables = {"w": floats(7, 8), "p": floats(5, 8), "t": floats(2, 8), "g": floats(8), "b": floats(8)}
    ids = {"i": RNG.integers(0, 7, (2, 3)).astype(np.int32), "s": RNG.integers(0, 2, (2, 3)).astype(np.int32)}
    fused("EmbedLayerNormalization", {**ids, **tables, "m": np.array([[1, 1, 0], [1, 1, 1]], np.int32)}, 2)


@pytest.mark.parametrize("later", [0, 1])
def test_fused_attention(later: int) -> None:
    base = {"x": floats(2, 3, 8), "w": floats(8, 24), "b": floats(24)}
    masks = [np.array([2, 3]), np.array([[1, 1, 0], [1, 1, 1]]), np.array([3, 2, 0, 1]), np.ones((2, 3, 3))]
    for mask in masks:
        fused("Attention", {**base, "m": mask.astype(np.int32)}, num_heads=2, unidirectional=later)
    past = {"m": np.ones((2, 5), np.int32), "p": floats(2, 2, 2, 2, 4)}
    fused("Attention", {**base, **past}, 2, num_heads=2, unidirectional=later)
    query = {"q": floats(2, 3, 8), "k": floats(2, 4, 8), "v": floats(2, 4, 12)}
    fused("MultiHeadAttention", query, num_heads=2, scale=0.2)
    biased = {**query, "v": floats(2, 4, 8), "b": floats(24), "m": np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.int32)}
    fused("MultiHeadAttention", {**biased, "r": floats(1, 2, 3, 4)}, num_heads=2)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_fused_rotations(interleaved: int) -> None:
    positions = RNG.integers(0, 9, (2, 3))
    fused("RotaryEmbedding", {"x": floats(2, 3, 16), "p": integers(2), "c": floats(10, 2), "s": floats(10, 2)})
    whole = {"x": floats(2, 2, 3, 8), "p": positions, "c": floats(10, 4), "s": floats(10, 4)}
    fused("RotaryEmbedding", whole, interleaved=interleaved)
    part = {"x": floats(2, 3, 16), "p": positions, "c": floats(10, 2), "s": floats(10, 2)}
    fused("RotaryEmbedding", part, interleaved=interleaved, num_heads=2, rotary_embedding_dim=4)


def classical(operator: str, inputs: Arrays, outputs: int = 1, **options: Any) -> None:
    fused(operator, inputs, outputs, ML, opset=15, **options)


def test_scalers_norms_and_linear_models() -> None:
    x = 5 * floats(5, 4)
    x[2] = 0
    for dtype in (np.float32, np.int64):
        classical("Scaler", {"x": x.astype(dtype)}, offset=[0.1, 0.2, 0.3, 0.4], scale=[1.0, 2.0, 3.0, 4.0])
        for norm in ("MAX", "L1", "L2"):
            classical("Normalizer", {"x": x.astype(dtype)}, norm=norm)
    weights = {"coefficients": floats(12).tolist(), "intercepts": floats(3).tolist()}
    for transform in ("NONE", "LOGISTIC", "SOFTMAX"):
        classical("LinearRegressor", {"x": x}, targets=3, post_transform=transform, **weights)
        classical("LinearClassifier", {"x": x}, 2, classlabels_ints=[4, 7, 9], post_transform=transform, **weights)


def trees(modes: Sequence[str], targets: int, prefix: str) -> dict[str, Any]:
    """Three trees of two levels with random comparisons and weights."""
    nodes: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    nodes["missing_value_tracks_true"] = []
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(3):
        for number in range(7):
            is_leaf = number > 2
            row = (
                tree,
                number,
                int(RNG.integers(4)),
                float(floats(1)[0]),
                "LEAF" if is_leaf else str(RNG.choice(modes)),
            )
            sides = (0, 0) if is_leaf else (2 * number + 1, 2 * number + 2)
            for name, entry in zip(nodes, (*row, *sides, int(RNG.integers(2))), strict=True):
                nodes[name].append(entry)
            for target in range(targets if is_leaf else 0):
                for name, entry in zip(leaves, (tree, number, target, float(RNG.random())), strict=True):
                    leaves[name].append(entry)
    return {f"nodes_{name}": each for name, each in nodes.items()} | {
        f"{prefix}_{name}": each for name, each in leaves.items()
    }


def test_ensembles_of_trees() -> None:
    x = floats(6, 4)
    x[1, 2] = np.nan
    several = ["BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_LEQ", "BRANCH_EQ", "BRANCH_NEQ"]
    for modes in (["BRANCH_LEQ"], several):
        for join in ("SUM", "AVERAGE", "MIN", "MAX"):
            options = {"n_targets": 2, "aggregate_function": join, "base_values": [0.5, -0.5]}
            classical("TreeEnsembleRegressor", {"x": x}, **options, **trees(modes, 2, "target"))
        options = {"classlabels_int64s": [3, 5, 8], "post_transform": "SOFTMAX"}
        classical("TreeEnsembleClassifier", {"x": x}, 2, **options, **trees(modes, 3, "class"))


def test_encoders_of_numbers() -> None:
    numbers = {"x": np.array([[1, 5], [9, 2]])}
    keys = {"keys_int64s": [1, 2, 5], "values_floats": [0.1, 0.2, 0.5]}
    classical("LabelEncoder", numbers, **keys, default_float=-3.0)
    classical("LabelEncoder", {"x": np.array([1, 2], np.float32)}, keys_floats=[2.0], values_int64s=[5])
    classical("OneHotEncoder", numbers, cats_int64s=[1, 5, 7])
    classical("Binarizer", {"x": floats(3, 2)}, threshold=0.2)
    classical("ArrayFeatureExtractor", {"x": floats(2, 3, 4), "i": integers(0, 2)})
    classical("FeatureVectorizer", {"a": floats(3, 2), "b": floats(3, 1)}, inputdimensions=[2, 1])
    missing = floats(3, 2)
    missing[0, 1] = np.nan
    classical("Imputer", {"x": missing}, imputed_value_floats=[1.0, 2.0], replaced_value_float=np.nan)


@pytest.mark.parametrize(
    ("operator", "domain", "options", "says"),
    [
        ("LpNormalization", "", {"p": 3}, "order 3"),
        ("LinearClassifier", ML, {"classlabels_strings": ["a", "b"], "coefficients": [1.0] * 8}, "strings"),
        ("FusedConv", MICROSOFT, {"activation": "Mish"}, "activation Mish"),
    ],
)
def test_what_is_not_supported_is_named(operator: str, domain: str, options: dict[str, Any], says: str) -> None:
    inputs = {"x": floats(2, 4), **({"w": floats(2, 4)} if operator == "FusedConv" else {})}
    graph = OnnxGraph.of(model(operator, inputs, 2 if domain == ML else 1, domain=domain, **options))
    with pytest.raises(ModelError, match=rf"{operator} y0: .*{says}"):
        (spell_out_fused if domain else spell_out_operators)(graph)
