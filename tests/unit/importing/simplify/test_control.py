"""Loops, scans and branches, held against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from flextune.apply.build import compile_model
from flextune.apply.signature import Runtime
from flextune.errors import ModelError
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import random_array

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, shape: Sequence[int] | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return make_tensor_value_info(name, kind, shape)


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Mapping[str, np.ndarray] | None = None,
) -> onnx.GraphProto:
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    return make_graph(list(nodes), "graph", list(inputs), list(outputs), initializers)


def model(inner: onnx.GraphProto, opset: int = 17) -> onnx.ModelProto:
    return make_model(inner, opset_imports=[make_opsetid("", opset)], ir_version=8)


def check(proto: onnx.ModelProto, *given: Mapping[str, np.ndarray]) -> None:
    """The built model gives what ONNX Runtime gives, for each of the given inputs."""
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    read = model_from_proto(onnx.ModelProto.FromString(proto.SerializeToString()), "control")
    executable = compile_model(partition_model(read), {}, detect()).executable
    assert executable.signature.runtime is Runtime.OWN
    for inputs in given:
        got = executable.run(inputs)
        for name, want in zip(read.outputs, session.run(None, dict(inputs)), strict=True):
            np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5)
            assert got[name].dtype == want.dtype


def counted_loop(limit: bool, condition: bool, opset: int = 17) -> onnx.ModelProto:
    """h = tanh(h @ w + n) while the sum of h is small; n is the number of the iteration, w is read from outside."""
    body = graph(
        [
            make_node("Cast", ["n"], ["f"], to=FLOAT),
            make_node("MatMul", ["h", "w"], ["m"]),
            make_node("Mul", ["f", "tenth"], ["g"]),
            make_node("Add", ["m", "g"], ["a"]),
            make_node("Tanh", ["a"], ["h_next"]),
            make_node("ReduceSum", ["h_next"], ["s"], keepdims=0),
            make_node("Less", ["s", "most"], ["small"]),
            make_node("And", ["small", "go"], ["again"]) if condition else make_node("Identity", ["go"], ["again"]),
        ],
        [value("n", [], INT64), value("go", [], BOOL), value("h", None)],
        [value("again", [], BOOL), value("h_next", None)],
        {"tenth": np.float32(0.1), "most": np.float32(5)},
    )
    nodes = [
        make_node("Relu", ["x"], ["first"]),
        make_node("Loop", ["count" if limit else "", "" if condition else "yes", "first"], ["last"], body=body),
        make_node("Add", ["last", "x"], ["y"]),
    ]
    constants = {"w": random_array(0, 12, 12) / 4, "yes": np.array(True)}
    inputs = [value("x", [3, 12]), *([value("count", [], INT64)] if limit else [])]
    return model(graph(nodes, inputs, [value("y", [3, 12])], constants), opset)


@pytest.mark.parametrize("condition", [False, True])
@pytest.mark.parametrize("opset", [11, 17])
def test_the_number_of_iterations_is_computed(condition: bool, opset: int) -> None:
    inputs = [{"x": random_array(n, 3, 12), "count": np.array(n, np.int64)} for n in (0, 1, 4, 50)]
    check(counted_loop(limit=True, condition=condition, opset=opset), *inputs)


def test_what_a_loop_gives_may_be_the_model_s_output_by_another_name() -> None:
    body = graph(
        [make_node("Tanh", ["h"], ["t"]), make_node("Identity", ["go"], ["again"]), make_node("Neg", ["t"], ["part"])],
        [value("n", [], INT64), value("go", [], BOOL), value("h", None)],
        [value("again", [], BOOL), value("t", None), value("part", None)],
    )
    nodes = [
        make_node("Loop", ["three", "", "x"], ["last", "parts"], body=body),
        make_node("Identity", ["parts"], ["y"]),
        make_node("Dropout", ["last"], ["z"]),
    ]
    outputs = [value("y", [3, 2, 5]), value("z", [2, 5])]
    check(model(graph(nodes, [value("x", [2, 5])], outputs, {"three": np.array(3)})), {"x": random_array(1, 2, 5)})


def test_a_condition_alone_ends_a_loop() -> None:
    check(counted_loop(limit=False, condition=True), *({"x": random_array(n, 3, 12)} for n in range(3)))


@pytest.mark.parametrize("width", [16, 5])
def test_a_loop_collects_and_hands_on_several_values(width: int) -> None:
    """Values change places, one stays, one is read from outside and handed on, one is collected and carried."""
    body = graph(
        [
            make_node("Add", ["a", "b"], ["c"]),
            make_node("Mul", ["c", "half"], ["next_a"]),
            make_node("Identity", ["go"], ["again"]),
            make_node("Neg", ["a"], ["minus"]),
            make_node("Gather", ["table", "n"], ["row"]),
            *(make_node("Identity", [each], [f"{each}_out"]) for each in ("a", "s", "x", "next_a")),
        ],
        [value("n", [], INT64), value("go", [], BOOL), *(value(name, None) for name in "abst")],
        [
            value("again", [], BOOL),
            *(value(name, None) for name in ("next_a", "a_out", "s_out", "x_out", "next_a_out", "minus", "row")),
        ],
        {"half": np.float32(0.5)},
    )
    results = [f"y{number}" for number in range(7)]
    nodes = [make_node("Loop", ["count", "yes", "x", "x", "z", "z"], results, body=body)]
    constants = {"count": np.array(6, np.int64), "yes": np.array(True), "table": random_array(0, 6, 2, 3)}
    outputs = [*(value(name, [2, width]) for name in results[:4]), *(value(n, [6, 2, width]) for n in results[4:6])]
    outputs.append(value("y6", [6, 2, 3]))
    proto = model(graph(nodes, [value("x", [2, width]), value("z", [2, width])], outputs, constants))
    check(proto, {"x": random_array(1, 2, width), "z": random_array(2, 2, width)})


def scan(direction: int, axis: int, out_axis: int) -> onnx.ModelProto:
    body = graph(
        [
            make_node("MatMul", ["h", "w"], ["m"]),
            make_node("Add", ["m", "row"], ["a"]),
            make_node("Sigmoid", ["a"], ["next"]),
            make_node("ReduceMean", ["next"], ["mean"], axes=[0], keepdims=0),
            make_node("Identity", ["next"], ["seen"]),
        ],
        [value("h", [2, 8]), value("row", [2, 8])],
        [value("next", [2, 8]), value("seen", [2, 8]), value("mean", [8])],
    )
    shape = [2, 8]
    shape.insert(axis, 5)
    whole, means = [2, 8], [8]
    whole.insert(out_axis, 5)
    means.insert(min(out_axis, 1), 5)
    options = {
        "num_scan_inputs": 1,
        "scan_input_axes": [axis],
        "scan_input_directions": [direction],
        "scan_output_axes": [out_axis, min(out_axis, 1)],
        "scan_output_directions": [direction, 1 - direction],
    }
    nodes = [make_node("Scan", ["h0", "x"], ["last", "all", "means"], body=body, **options)]
    outputs = [value("last", [2, 8]), value("all", whole), value("means", means)]
    return model(graph(nodes, [value("h0", [2, 8]), value("x", shape)], outputs, {"w": random_array(0, 8, 8)}))


@pytest.mark.parametrize(("direction", "axis", "out_axis"), [(0, 0, 0), (1, 0, 0), (1, 1, 2), (0, 2, 1)])
def test_a_scan_in_any_direction_and_axis(direction: int, axis: int, out_axis: int) -> None:
    proto = scan(direction, axis, out_axis)
    shape = [dim.dim_value for dim in proto.graph.input[1].type.tensor_type.shape.dim]
    check(proto, {"h0": random_array(1, 2, 8), "x": random_array(2, *shape)})


def test_a_branch_is_taken_at_run_time() -> None:
    """Both sides read one weight from outside; one gives what it reads as it is."""
    then = graph(
        [
            make_node("MatMul", ["x", "w"], ["t"]),
            make_node("Relu", ["t"], ["t2"]),
            make_node("Identity", ["x"], ["t3"]),
        ],
        [],
        [value("t2", None), value("t3", None)],
    )
    other = graph(
        [make_node("MatMul", ["x", "w"], ["e"]), make_node("Neg", ["e"], ["e2"])],
        [],
        [value("e2", None), value("e", None)],
    )
    nodes = [
        make_node("Equal", ["rate", "wanted"], ["c"]),
        make_node("If", ["c"], ["y", "z"], then_branch=then, else_branch=other),
        make_node("Add", ["y", "z"], ["sum"]),
    ]
    constants = {"w": random_array(0, 48, 48), "wanted": np.array(16000, np.int64)}
    inputs = [value("x", [4, 48]), value("rate", [], INT64)]
    proto = model(graph(nodes, inputs, [value("sum", [4, 48]), value("y", [4, 48])], constants))
    check(proto, *({"x": random_array(1, 4, 48), "rate": np.array(rate, np.int64)} for rate in (16000, 8000)))


def test_regions_in_regions() -> None:
    """A loop over a branch, one side of which is a scan; the outer loop's number and values reach the innermost one."""
    innermost = graph(
        [
            make_node("Add", ["s", "row"], ["s1"]),
            make_node("Mul", ["s1", "a"], ["s2"]),
            make_node("Tanh", ["s2"], ["s3"]),
            make_node("Identity", ["s3"], ["s4"]),
        ],
        [value("s", [4]), value("row", [4])],
        [value("s3", [4]), value("s4", [4])],
    )
    then = graph(
        [make_node("Scan", ["h", "x"], ["last", "all"], body=innermost, num_scan_inputs=1)],
        [],
        [value("last", [4]), value("all", [3, 4])],
    )
    other = graph(
        [make_node("Neg", ["h"], ["n1"]), make_node("Mul", ["x", "a"], ["n2"])],
        [],
        [value("n1", [4]), value("n2", [3, 4])],
    )
    body = graph(
        [
            make_node("Mod", ["n", "two"], ["odd"]),
            make_node("Cast", ["odd"], ["is_odd"], to=BOOL),
            make_node("If", ["is_odd"], ["next", "seen"], then_branch=then, else_branch=other),
            make_node("Identity", ["go"], ["again"]),
        ],
        [value("n", [], INT64), value("go", [], BOOL), value("h", [4])],
        [value("again", [], BOOL), value("next", [4]), value("seen", [3, 4])],
        {"two": np.array(2, np.int64)},
    )
    nodes = [make_node("Sigmoid", ["x"], ["a0"]), make_node("ReduceMax", ["a0"], ["a"], keepdims=0)]
    nodes.append(make_node("Loop", ["count", "yes", "h0"], ["y", "z"], body=body))
    constants = {"count": np.array(5, np.int64), "yes": np.array(True)}
    inputs = [value("x", [3, 4]), value("h0", [4])]
    proto = model(graph(nodes, inputs, [value("y", [4]), value("z", [5, 3, 4])], constants))
    check(proto, {"x": random_array(1, 3, 4), "h0": random_array(2, 4)})


def test_shapes_that_change_are_refused_by_name() -> None:
    body = graph(
        [make_node("Concat", ["h", "h"], ["hh"], axis=0), make_node("Identity", ["go"], ["again"])],
        [value("n", [], INT64), value("go", [], BOOL), value("h", None)],
        [value("again", [], BOOL), value("hh", None)],
    )
    nodes = [make_node("Loop", ["count", "", "x"], ["y"], "grows", body=body)]
    proto = model(graph(nodes, [value("x", [2])], [value("y", None)], {"count": np.array(3, np.int64)}))
    with pytest.raises(ModelError, match=r"Loop 'grows' carries .*\[2\] on as .*\[4\]"):
        partition_model(model_from_proto(proto, "control"))
