"""Operators whose results' sizes data decide, by our own functions, compared with ONNX Runtime bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import flextune
from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.apply.hybrid_build import build_split, split_model
from flextune.compilers.procedures.compiler import ProcedureCompiler
from flextune.compilers.subgraph_compiler import SubgraphOptions
from flextune.errors import BuildError, ModelError
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.target import Target
from flextune.trial.artifact import Artifact

Arrays = Mapping[str, np.ndarray]
node = helper.make_node

ELEMENTS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")


def proto_of(
    nodes: list[onnx.NodeProto], inputs: Arrays, outputs: Mapping[str, tuple[str, int]], constants: Arrays | None = None
) -> onnx.ModelProto:
    """A model whose outputs have these types and numbers of dimensions, of any size."""
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    results = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [None] * rank)
        for name, (dtype, rank) in outputs.items()
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", values, results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def by_procedures(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    compiler, options = ProcedureCompiler(), SubgraphOptions(1)
    model = model_from_proto(onnx.ModelProto.FromString(proto.SerializeToString()), "m")
    artifact, weights = compiler.compile(model, options)
    outputs: list[Any] = [None] * len(model.outputs)
    compiler.load(artifact, weights, options).run([inputs[spec.name] for spec in model.inputs], outputs)
    return outputs


def by_onnxruntime(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    found: list[np.ndarray] = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, dict(inputs))
    return found


def assert_same(got: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for mine, theirs in zip(got, wanted, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_array_equal(mine, theirs)


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Few different values, of which some are 0."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.integers(0 if dtype.startswith("u") else -2, 3, shape).astype(dtype)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (0, 3), (3, 4, 5), (2, 1, 3, 2)], ids=str)
def test_nonzero(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for dtype in (*ELEMENTS, *FLOATS):
        inputs = {"x": drawn(rng, shape, dtype)}
        proto = proto_of([node("NonZero", ["x"], ["y"])], inputs, {"y": ("int64", 2)})
        got = by_procedures(proto, inputs)[0]
        wanted = np.array(np.nonzero(np.atleast_1d(inputs["x"])), np.int64)
        assert_same([got], [wanted])
        if dtype in ("bool", "float32", "int64", "int32", "uint8"):
            assert_same([got], by_onnxruntime(proto, inputs))


def test_nan_is_not_zero_and_negative_zero_is() -> None:
    for dtype in FLOATS:
        inputs = {"x": np.array([0.0, -0.0, np.nan, -np.inf, 1e-7], dtype)}
        proto = proto_of([node("NonZero", ["x"], ["y"])], inputs, {"y": ("int64", 2)})
        assert by_procedures(proto, inputs)[0].tolist() == [np.flatnonzero(inputs["x"]).tolist()]


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("conditions", [(1,), (0, 1, 1), (0, 0, 0)], ids=str)
def test_compress(axis: int | None, conditions: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    attributes = {} if axis is None else {"axis": axis}
    for dtype in (*ELEMENTS, "float32", "float64"):
        inputs = {"x": drawn(rng, (3, 3, 4), dtype), "c": np.array(conditions, bool)}
        proto = proto_of([node("Compress", ["x", "c"], ["y"], **attributes)], inputs, {"y": (dtype, axis_rank(axis))})
        assert_same(by_procedures(proto, inputs), by_onnxruntime(proto, inputs))


def axis_rank(axis: int | None) -> int:
    return 1 if axis is None else 3


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("is_sorted", [0, 1])
def test_unique(axis: int | None, is_sorted: int) -> None:
    """With all outputs: values, first places, the place of each element, counts."""
    rng = np.random.default_rng(2)
    attributes = {"sorted": is_sorted, **({} if axis is None else {"axis": axis})}
    for dtype in ("float32", "float64", "int64", "int8"):
        for shape in ((6, 2, 5), (1, 1, 1), (9, 1, 2)):
            inputs = {"x": drawn(rng, shape, dtype)}
            outputs = {"y": (dtype, axis_rank(axis)), "first": ("int64", 1), "inverse": ("int64", 1), "n": ("int64", 1)}
            proto = proto_of([node("Unique", ["x"], [*outputs], **attributes)], inputs, outputs)
            assert_same(by_procedures(proto, inputs), by_onnxruntime(proto, inputs))


def test_unique_of_types_that_onnxruntime_lacks() -> None:
    rng = np.random.default_rng(3)
    for dtype in (*ELEMENTS, "float16"):
        inputs = {"x": drawn(rng, (40,), dtype)}
        outputs = {"y": (dtype, 1), "first": ("int64", 1), "inverse": ("int64", 1), "n": ("int64", 1)}
        proto = proto_of([node("Unique", ["x"], [*outputs])], inputs, outputs)
        wanted = np.unique(inputs["x"], return_index=True, return_inverse=True, return_counts=True)
        assert_same(by_procedures(proto, inputs), list(wanted))


def test_nan_is_one_value_after_all_others() -> None:
    inputs = {"x": np.array([np.nan, 2, -np.inf, np.nan, 1, 2], np.float32)}
    proto = proto_of([node("Unique", ["x"], ["y", "", "", "n"])], inputs, {"y": ("float32", 1), "n": ("int64", 1)})
    values, counts = by_procedures(proto, inputs)
    np.testing.assert_array_equal(values, np.array([-np.inf, 1, 2, np.nan], np.float32))
    assert counts.tolist() == [1, 1, 2, 2]


def boxes_and_scores(seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Corners on a coarse grid, so that many overlaps and scores are equal and many areas 0; in any order."""
    rng = np.random.default_rng(seed)
    batches, classes, count = (int(n) for n in rng.integers(1, [3, 4, 40]))
    step = [4.0, 0.1][seed % 2]
    boxes = rng.integers(0, 8, (batches, count, 4)).astype(np.float32) * np.float32(step)
    scores = rng.integers(0, 10, (batches, classes, count)).astype(np.float32) / np.float32(10)
    limits = {
        "most": np.array([rng.integers(0, 12)], np.int64),
        "overlap": np.array([rng.choice([0, 0.25, 1 / 3, 0.5, 1])], np.float32),
        "least": np.array([rng.choice([0.0, 0.3, 0.95])], np.float32),
    }
    return {"boxes": boxes, "scores": scores, **limits}, {"center_point_box": int(rng.integers(0, 2))}


@pytest.mark.parametrize("given", range(3, 6))
def test_boxes_are_suppressed_as_onnxruntime_does(given: int) -> None:
    names = ["boxes", "scores", "most", "overlap", "least"]
    for seed in range(60):
        inputs, attributes = boxes_and_scores(seed)
        inputs = {name: inputs[name] for name in names[:given]}
        nodes = [node("NonMaxSuppression", names[:given], ["y"], **attributes)]
        proto = proto_of(nodes, inputs, {"y": ("int64", 2)})
        assert_same(by_procedures(proto, inputs), by_onnxruntime(proto, inputs))


def test_without_a_number_no_box_is_selected() -> None:
    inputs = {name: array for name, array in boxes_and_scores(3)[0].items() if name in ("boxes", "scores")}
    proto = proto_of([node("NonMaxSuppression", ["boxes", "scores"], ["y"])], inputs, {"y": ("int64", 2)})
    assert by_procedures(proto, inputs)[0].shape == (0, 3)


def test_what_is_no_procedure_or_no_artifact_of_one_is_refused() -> None:
    inputs = {"boxes": np.zeros((1, 2, 4), np.float32), "scores": np.zeros((1, 1, 2), np.float32)}
    constants = {"most": np.array([1], np.int64), "overlap": np.array([2], np.float32)}
    nodes = [node("NonMaxSuppression", ["boxes", "scores", "most", "overlap"], ["y"])]
    with pytest.raises(BuildError, match="iou_threshold is 2"):
        by_procedures(proto_of(nodes, inputs, {"y": ("int64", 2)}, constants), inputs)
    with pytest.raises(ModelError, match="Relu y is no procedure"):
        by_procedures(proto_of([node("Relu", ["boxes"], ["y"])], inputs, {"y": ("float32", 3)}), inputs)
    for content in (b"", b"\xff" * 64, (2).to_bytes(8, "little") + b"{}"):
        with pytest.raises(BuildError, match="list of procedures"):
            ProcedureCompiler().load(Artifact("procedures", content), {}, SubgraphOptions(1))


def moments(draws: np.ndarray) -> tuple[float, float, float, float]:
    return float(draws.mean()), float(draws.std()), float(draws.min()), float(draws.max())


def test_random_numbers_have_the_distribution_that_is_asked_for() -> None:
    nodes = [
        node("RandomUniform", [], ["u"], shape=[400, 100], low=-1.0, high=3.0, dtype=11),
        node("RandomNormal", [], ["n"], shape=[40000], mean=2.0, scale=0.5),
        node("RandomUniformLike", ["x"], ["l"]),
        node("Multinomial", ["weights"], ["m"], sample_size=20000, dtype=7),
    ]
    inputs = {"x": np.zeros((3, 5), np.float16), "weights": np.log(np.array([[1, 3], [0.5, 0]], np.float32) + 1e-30)}
    outputs = {"u": ("float64", 2), "n": ("float32", 1), "l": ("float16", 2), "m": ("int64", 2)}
    uniform, normal, like, drawn_classes = by_procedures(proto_of(nodes, inputs, outputs), inputs)
    np.testing.assert_allclose(moments(uniform), (1, 4 / np.sqrt(12), -1, 3), atol=0.03)
    np.testing.assert_allclose(moments(normal)[:2], (2, 0.5), atol=0.02)
    assert (like.shape, like.dtype, drawn_classes.dtype) == ((3, 5), np.float16, np.int64)
    np.testing.assert_allclose(drawn_classes.mean(1), (0.75, 0), atol=0.02)


def test_a_seed_gives_the_same_numbers_and_each_run_others() -> None:
    proto = proto_of([node("RandomNormal", [], ["y"], shape=[5], seed=3.0)], {}, {"y": ("float32", 1)})
    compiler, options = ProcedureCompiler(), SubgraphOptions(1)
    artifact, weights = compiler.compile(model_from_proto(proto, "m"), options)
    kernels = [compiler.load(artifact, weights, options) for _ in range(2)]
    runs: list[list[Any]] = [[None], [None], [None]]
    kernels[0].run([], runs[0])
    kernels[0].run([], runs[1])
    kernels[1].run([], runs[2])
    np.testing.assert_array_equal(runs[0][0], runs[2][0])
    assert not np.array_equal(runs[0][0], runs[1][0])


def detector() -> tuple[onnx.ModelProto, Arrays]:
    """The end of a detector: a layer, scores, boxes that stay, and what is gathered of them."""
    rng = np.random.default_rng(5)
    inputs = {"x": rng.standard_normal((1, 60, 16)).astype(np.float32)}
    constants = {
        "w": rng.standard_normal((16, 4)).astype(np.float32),
        "v": rng.standard_normal((16, 3)).astype(np.float32),
        "most": np.array([20], np.int64),
        "overlap": np.array([0.4], np.float32),
        "least": np.array([0.9], np.float32),
        "last": np.array(2, np.int64),
        "rows": np.array([-1, 4], np.int64),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["raw"]),
        node("Exp", ["raw"], ["boxes"]),
        node("MatMul", ["x", "v"], ["logits"]),
        node("Transpose", ["logits"], ["by_class"], perm=[0, 2, 1]),
        node("Sigmoid", ["by_class"], ["scores"]),
        node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["kept"]),
        node("Gather", ["kept", "last"], ["which"], axis=1),
        node("Reshape", ["boxes", "rows"], ["plain"]),
        node("Gather", ["plain", "which"], ["chosen"], axis=0),
        node("Cast", ["kept"], ["numbers"], to=1),
        node("Concat", ["numbers", "chosen"], ["y"], axis=1),
    ]
    return proto_of(nodes, inputs, {"y": ("float32", 2), "kept": ("int64", 2)}, constants), inputs


def built_alone(proto: onnx.ModelProto, target: Target) -> Executable:
    split = split_model(model_from_proto(proto, "net"), partition_model, None)
    return build_split(split, lambda partition: compile_model(partition, {}, target), target)[1].executable


def test_what_follows_has_the_actual_sizes_and_is_ours(target: Target, tmp_path: Path) -> None:
    proto, inputs = detector()
    wanted = by_onnxruntime(proto, inputs)
    assert 3 < len(wanted[0]) < 60
    executable = built_alone(proto, target)
    assert executable.signature.is_own
    saved = flextune.load(executable.save(tmp_path / "net.so"))
    none_left = {"x": np.full_like(inputs["x"], np.nan)}
    for each in (executable, saved):
        got = each.run(dict(inputs))
        np.testing.assert_array_equal(got["kept"], wanted[1])
        np.testing.assert_allclose(got["y"], wanted[0], rtol=1e-4)
        assert each.run(none_left)["y"].shape == (0, 7)


def test_a_model_that_another_runtime_would_need_is_refused_alone(target: Target) -> None:
    inputs = {"x": np.zeros((2, 3), np.float32)}
    nodes = [
        node("NonZero", ["x"], ["p"]),
        node("SequenceConstruct", ["p"], ["s"]),
        node("SequenceLength", ["s"], ["y"]),
    ]
    with pytest.raises(ModelError):
        built_alone(proto_of(nodes, inputs, {"y": ("int64", 0)}), target)
