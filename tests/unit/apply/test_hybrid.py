"""Models of which ONNX Runtime runs parts: the same numbers, in one file, whatever is around the parts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import flextune
from flextune.apply.build import Build, compile_model
from flextune.apply.hybrid_build import HybridOptions, SplitModel, build_split, split_model
from flextune.apply.signature import Runtime
from flextune.errors import EnvironmentFault, ModelError, UsageError
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.plan.parts.parts import ModelPart
from flextune.target.target import Target
from flextune.testing.models import model_of, random_array, value

onnxruntime = pytest.importorskip("onnxruntime")

RUNTIME = HybridOptions()
INT64, STRING = TensorProto.INT64, TensorProto.STRING
WEIGHTS = {
    "w1": random_array(1, 8, 4, 3, 3),
    "w2": random_array(2, 8, 8, 3, 3),
    "w3": random_array(3, 8, 8, 1, 1),
    "mask": np.ones((1, 1, 10, 10), np.int32),
    "half": np.array(0.5, np.float32),
}
X = value("x", [1, 4, 10, 10])


def node(operator: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, outputs, name=f"{outputs[0]}_node", **attributes)


def conv(source: str, weight: str, result: str) -> onnx.NodeProto:
    pads = [0] * 4 if weight == "w3" else [1] * 4
    return node("Conv", [source, weight], result, pads=pads)


def island(source: str, result: str) -> list[onnx.NodeProto]:
    """An operator that nothing here computes, in the middle of a network: scaled by the tanh of a masked pooling."""
    pooling = {"domain": "com.microsoft", "kernel_shape": [3, 3], "pads": [1] * 4}
    return [
        node("MaxpoolWithMask", [source, "mask"], f"{result}_pool", **pooling),
        node("Tanh", [f"{result}_pool"], f"{result}_bounded"),
        node("Mul", [source, f"{result}_bounded"], result),
    ]


def proto_of(nodes: Sequence[onnx.NodeProto], outputs: Sequence[onnx.ValueInfoProto], **more: Any) -> onnx.ModelProto:
    read = {name for each in nodes for name in each.input}
    read |= {"w2", "mask"} if any(each.op_type == "Loop" for each in nodes) else set()
    constants = {name: array for name, array in {**WEIGHTS, **more.pop("constants", {})}.items() if name in read}
    proto = model_of(nodes, more.pop("inputs", [X]), outputs, constants, **more)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def split(proto: onnx.ModelProto, options: HybridOptions | None = RUNTIME) -> SplitModel:
    copied = onnx.ModelProto.FromString(proto.SerializeToString())
    model = model_from_proto(copied, "net", only_own=options is None)
    return split_model(model, partition_model, options)


def built(proto: onnx.ModelProto, target: Target) -> tuple[SplitModel, Build]:
    return build_split(split(proto), lambda partition: compile_model(partition, {}, target), target)


def by_onnxruntime(proto: onnx.ModelProto, inputs: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in proto.graph.output]
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(got) == list(wanted)
    for name, want in wanted.items():
        if isinstance(want, list):
            assert len(got[name]) == len(want)
            for mine, theirs in zip(got[name], want, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
        elif want is None or want.dtype == object:
            np.testing.assert_array_equal(got[name], want)
        else:
            assert got[name].dtype == want.dtype
            np.testing.assert_allclose(
                got[name], want, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(want).max(initial=0)))
            )


def two_islands() -> onnx.ModelProto:
    nodes = [conv("x", "w1", "a"), *island("a", "b"), conv("b", "w2", "c"), *island("c", "d"), conv("d", "w2", "y")]
    return proto_of(nodes, [value("y", [1, 8, 10, 10])])


def branch_around_an_island() -> onnx.ModelProto:
    nodes = [
        conv("x", "w1", "a"),
        *island("a", "b"),
        conv("a", "w3", "side"),
        node("Add", ["side", "b"], "sum"),
        conv("sum", "w2", "y"),
    ]
    return proto_of(nodes, [value("y", [1, 8, 10, 10])])


def outputs_of_all_sides() -> onnx.ModelProto:
    """Outputs that are read again, that come from both sides, that are an input, and that are a constant."""
    nodes = [conv("x", "w1", "a"), *island("a", "b"), conv("b", "w2", "c"), node("Identity", ["half"], "k")]
    shape = [1, 8, 10, 10]
    return proto_of(
        nodes, [value("a", shape), value("b_pool", shape), value("c", shape), value("k", []), value("b", shape)]
    )


def data_dependent_tail() -> onnx.ModelProto:
    nodes = [
        conv("x", "w1", "a"),
        node("Relu", ["a"], "r"),
        node("NonZero", ["r"], "places"),
        node("Transpose", ["places"], "rows"),
        node("GatherND", ["r", "rows"], "found"),
    ]
    return proto_of(nodes, [value("found", [None]), value("rows", [None, 4], INT64), value("r", [1, 8, 10, 10])])


def detection_head() -> onnx.ModelProto:
    constants = {
        "most": np.array([5], np.int64),
        "overlap": np.array([0.5], np.float32),
        "least": np.array([0.0], np.float32),
        "box_shape": np.array([1, 100, 4], np.int64),
        "score_shape": np.array([1, 4, 100], np.int64),
        "wb": random_array(8, 4, 8, 1, 1),
        "last": np.array([2], np.int64),
    }
    nodes = [
        conv("x", "w1", "a"),
        node("Conv", ["a", "wb"], "head"),
        node("Reshape", ["head", "box_shape"], "boxes"),
        node("Reshape", ["head", "score_shape"], "raw"),
        node("Sigmoid", ["raw"], "scores"),
        node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], "kept"),
        node("Gather", ["kept", "last"], "which", axis=1),
        node("Squeeze", ["which"], "index"),
        node("Gather", ["boxes", "index"], "chosen", axis=1),
    ]
    return proto_of(nodes, [value("chosen", [1, None, 4]), value("kept", [None, 3], INT64)], constants=constants)


def control_flow() -> onnx.ModelProto:
    """A loop with an island in it, whose body reads a value and a weight from outside, which our side reads too."""
    body = helper.make_graph(
        [
            helper.make_node("Conv", ["state", "w2"], ["next0"], pads=[1] * 4),
            helper.make_node("Add", ["next0", "a"], ["next1"]),
            *island("next1", "next2"),
            helper.make_node("Tanh", ["next2"], ["next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [value("i", [], INT64), value("go", [], TensorProto.BOOL), value("state", [1, 8, 10, 10])],
        [value("go_on", [], TensorProto.BOOL), value("next", [1, 8, 10, 10])],
    )
    nodes = [
        conv("x", "w1", "a"),
        node("Loop", ["times", "", "a"], "looped", body=body),
        conv("looped", "w2", "y"),
    ]
    inputs = [X, value("times", [], INT64)]
    return proto_of(nodes, [value("y", [1, 8, 10, 10])], inputs=inputs)


def other_domain() -> onnx.ModelProto:
    """An operator of ONNX Runtime's own, whose result's shape only it knows; what follows is ours again."""
    nodes = [
        conv("x", "w1", "a"),
        helper.make_node("Inverse", ["a"], ["i"], domain="com.microsoft", name="inverse"),
        node("Tanh", ["i"], "t"),
        conv("t", "w2", "y"),
    ]
    return proto_of(nodes, [value("y", [1, 8, 10, 10])])


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    each.__name__: each
    for each in (
        two_islands,
        branch_around_an_island,
        outputs_of_all_sides,
        data_dependent_tail,
        detection_head,
        control_flow,
        other_domain,
    )
}
SIDES = {
    "two_islands": "own other own other own",
    "branch_around_an_island": "own other own",
    "outputs_of_all_sides": "own other own",
    "data_dependent_tail": "own procedure own",
    "detection_head": "own procedure other",
    "control_flow": "own other",
    "other_domain": "own other own",
}


def side_of(part: ModelPart) -> str:
    return "procedure" if part.are_procedures else "own" if part.is_own else "other"


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, target: Target) -> tuple[str, onnx.ModelProto, SplitModel, Build]:
    proto = MODELS[request.param]()
    return request.param, proto, *built(proto, target)


Case = tuple[str, onnx.ModelProto, SplitModel, Build]


def inputs_of(build: Build, seed: int) -> dict[str, np.ndarray]:
    inputs = build.executable.random_inputs(seed)
    return {name: np.array(3) if name == "times" else array for name, array in inputs.items()}


@pytest.mark.parametrize("little_bytes", [0, 1 << 16], ids=["bound", "copied"])
def test_a_hybrid_model_gives_what_onnxruntime_gives(
    case: Case, little_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flextune.compilers.onnxruntime.kernel._LITTLE_BYTES", little_bytes)
    _, proto, _, build = case
    for seed in range(3):
        inputs = inputs_of(build, seed)
        assert_same(build.executable.run(inputs), by_onnxruntime(proto, inputs))


def test_parts_are_as_few_as_they_can_be(case: Case) -> None:
    name, _, found, build = case
    assert [side_of(part) for part in found.parts.parts] == SIDES[name].split()
    assert build.executable.signature.runtime is Runtime.HYBRID
    assert len(build.executable.signature.parts) == len(found.parts.parts)


def test_one_file_holds_it_all(case: Case, tmp_path: Path) -> None:
    _, _, _, build = case
    saved = build.executable.save(tmp_path / "net.flextune")
    inputs = inputs_of(build, 5)
    with flextune.load(saved) as loaded:
        assert loaded.signature == build.executable.signature
        assert_same(loaded.run(inputs), build.executable.run(inputs))
    assert list(tmp_path.iterdir()) == [saved]


def test_only_own_refuses_and_names_the_node() -> None:
    with pytest.raises(ModelError, match=r"MaxpoolWithMask: b_pool_node"):
        split(branch_around_an_island(), None)


def test_what_is_wholly_ours_needs_nobody_else(monkeypatch: pytest.MonkeyPatch, target: Target, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found, build = built(proto_of([conv("x", "w1", "y")], [value("y", [1, 8, 10, 10])]), target)
    assert found.whole is not None
    assert build.executable.signature.runtime is Runtime.OWN
    assert not flextune.load(build.executable.save(tmp_path / "net.so")).signature.parts


def test_without_onnxruntime_messages_say_what_it_is_needed_for(
    monkeypatch: pytest.MonkeyPatch, target: Target, tmp_path: Path
) -> None:
    proto = branch_around_an_island()
    saved = built(proto, target)[1].executable.save(tmp_path / "net.flextune")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentFault, match=r"runs parts of this model.*pip install"):
        flextune.load(saved)
    with pytest.raises(ModelError, match=r"(?s)MaxpoolWithMask: b_pool_node.*pip install"):
        split(proto)


def test_strings_and_sequences_stay_with_onnxruntime(target: Target, tmp_path: Path) -> None:
    nodes = [
        conv("x", "w1", "a"),
        node("SplitToSequence", ["a"], "parts", axis=1, keepdims=1),
        node("SequenceAt", ["parts", "which"], "one"),
        node("StringConcat", ["words", "words"], "twice"),
    ]
    sequence = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    outputs = [value("twice", [None], STRING), sequence, value("one", [1, 1, 10, 10]), value("a", [1, 8, 10, 10])]
    inputs = [X, value("words", [3], STRING), value("which", [], INT64)]
    proto = proto_of(nodes, outputs, inputs=inputs, opset=20)
    _, build = built(proto, target)
    loaded = flextune.load(build.executable.save(tmp_path / "net.flextune"))
    given = {
        "x": random_array(0, 1, 4, 10, 10),
        "words": np.array(["so", "it", "goes"], object),
        "which": np.array(2),
    }
    for executable in (build.executable, loaded):
        assert_same(executable.run(given), by_onnxruntime(proto, given))
    assert str(build.executable.outputs[1]) == "parts: sequence(float32)"
    with pytest.raises(UsageError, match=r"twice: string\[3\] has no size that is known"):
        loaded.run(given, {"twice": np.empty(3, object)})


def test_sequences_go_in(target: Target) -> None:
    sequence = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    nodes = [node("ConcatFromSequence", ["parts"], "joined", axis=0), conv("x", "w1", "a")]
    outputs = [value("joined", [None, 2]), value("a", [1, 8, 10, 10])]
    proto = proto_of(nodes, outputs, inputs=[X, sequence])
    _, build = built(proto, target)
    given = {"parts": [random_array(1, 2, 2), random_array(2, 3, 2)], "x": random_array(0, 1, 4, 10, 10)}
    assert_same(build.executable.run(given), by_onnxruntime(proto, given))


def test_inputs_that_decide_shapes_stay_with_onnxruntime(target: Target) -> None:
    nodes = [conv("x", "w1", "a"), node("Reshape", ["a", "sizes"], "r"), node("Relu", ["r"], "y")]
    proto = proto_of(nodes, [value("y", [None, None])], inputs=[X, value("sizes", [2], INT64)])
    _, build = built(proto, target)
    for sizes in ([8, 100], [80, 10]):
        given = {"x": random_array(0, 1, 4, 10, 10), "sizes": np.array(sizes)}
        assert_same(build.executable.run(given), by_onnxruntime(proto, given))


def test_branches_for_other_sizes_do_not_matter_to_onnxruntime(target: Target) -> None:
    """Their shapes contradict the inputs', which only shows where it infers them from given sizes."""
    two, three = (
        helper.make_graph([helper.make_node("Squeeze", ["x", "axis"], ["s"]), gemm], name, [], [value("t", None)])
        for name, gemm in (
            ("two", helper.make_node("Gemm", ["s", "w"], ["t"])),
            ("three", helper.make_node("Gemm", ["s", "v"], ["t"])),
        )
    )
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "one"], ["length"]),
        helper.make_node("Add", ["length", "more"], ["sum"]),
        helper.make_node("Equal", ["sum", "five"], ["is_five"]),
        helper.make_node("If", ["is_five"], ["r"], then_branch=two, else_branch=three),
        helper.make_node("NonZero", ["r"], ["y"]),
    ]
    constants = {
        "axis": np.array([0]), "one": np.array(1), "five": np.array(5),
        "w": random_array(0, 4, 3), "v": random_array(1, 6, 3),
    }  # fmt: skip
    inputs = [value("x", [1, 2, 4]), helper.make_tensor_value_info("more", TensorProto.INT64, [])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT64, None)]
    proto = model_of(nodes, inputs, outputs, constants)
    _, build = built(proto, target)
    given = {"x": random_array(2, 1, 2, 4), "more": np.array(3)}
    free = onnx.ModelProto.FromString(proto.SerializeToString())
    for dimension in free.graph.input[0].type.tensor_type.shape.dim:
        dimension.Clear()
    assert_same(build.executable.run(given), by_onnxruntime(free, given))


def test_callers_memory_is_written_in_place(target: Target) -> None:
    _, build = built(outputs_of_all_sides(), target)
    inputs = build.executable.random_inputs(0)
    wanted = build.executable.run(inputs)
    odd = np.zeros(801, np.float32)[1:].reshape(1, 8, 10, 10)
    memory = {"a": odd, "c": np.zeros((1, 8, 10, 10), np.float32)}
    given = build.executable.run(inputs, memory)
    assert given["a"] is odd
    for name, array in wanted.items():
        np.testing.assert_array_equal(given[name], array)
    build.executable.set_threads(1)
    np.testing.assert_allclose(build.executable.run(inputs)["c"], wanted["c"], rtol=1e-5, atol=1e-5)


def test_weights_of_several_parts_are_stored_once(target: Target, tmp_path: Path) -> None:
    def distances(source: str, rows: str, image: str, result: str) -> list[onnx.NodeProto]:
        return [
            node("Reshape", [source, rows], f"{result}_rows"),
            node("CDist", [f"{result}_rows", "table"], f"{result}_far", domain="com.microsoft", metric="euclidean"),
            node("Reshape", [f"{result}_far", image], f"{result}_image"),
            conv(f"{result}_image", "w3", result),
        ]

    table = random_array(5, 240, 10)
    shapes = {"rows1": [80, 10], "image1": [1, 8, 40, 60], "rows2": [1920, 10], "image2": [1, 8, 240, 240]}
    constants = {"table": table, **{name: np.array(shape) for name, shape in shapes.items()}}
    nodes = [conv("x", "w1", "a"), *distances("a", "rows1", "image1", "b"), *distances("b", "rows2", "image2", "c")]
    proto = proto_of(nodes, [value("c", [1, 8, 240, 240])], constants=constants)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    found, build = built(proto, target)
    inputs = build.executable.random_inputs(0)
    saved = build.executable.save(tmp_path / "net.flextune")
    assert [part.is_own for part in found.parts.parts] == [True, False, True, False, True]
    assert saved.read_bytes().count(table.tobytes()) == 1
    assert_same(flextune.load(saved).run(inputs), by_onnxruntime(proto, inputs))


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN", "BFLOAT16"])
def test_elements_that_numpy_lacks_cross_the_border(kind: str, target: Target) -> None:
    """Given and taken as arrays of `ml_dtypes`, where ONNX Runtime packs them, or knows no NumPy type for them."""
    element = TensorProto.DataType.Value(kind)
    narrow: Any = helper.tensor_dtype_to_np_dtype(element)
    nodes = [node("Cast", ["n"], "wide", to=TensorProto.FLOAT), node("Cast", ["x"], "narrow", to=element)]
    nodes += [node("Reshape", ["n", "sizes"], "some")] * (kind == "BFLOAT16")
    dynamic = [value("some", [None, None], element)] * (kind == "BFLOAT16")
    outputs = [value("wide", [3, 5]), value("narrow", [2, 3], element), *dynamic]
    inputs = [value("x", [2, 3]), value("n", [3, 5], element), *[value("sizes", [2], INT64)] * len(dynamic)]
    proto = proto_of(nodes, outputs, inputs=inputs, opset=21)
    _, build = built(proto, target)
    whole = np.arange(15).reshape(3, 5) % 7
    given = {"x": np.array([[0, 1, 2], [3, 4, 5]], np.float32), "n": whole.astype(np.float32).astype(narrow)}
    given |= {"sizes": np.array([5, 3])} if dynamic else {}
    results = build.executable.run(given)
    np.testing.assert_array_equal(results["wide"], whole)
    assert results["narrow"].dtype == narrow
    np.testing.assert_array_equal(results["narrow"].astype(np.float32), given["x"])
    if dynamic:
        np.testing.assert_array_equal(results["some"].astype(np.float32), whole.reshape(5, 3))
