"""Models without shape arithmetic compute the same, at all sizes, when they are given what they no longer compute."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from flextune.importing.shapes.removal import GivenSizes, without_shape_arithmetic
from flextune.importing.shapes.tracker import track_shapes
from flextune.workload.dim import parse_dims
from tests.unit.importing.shapes.test_models import MODELS, inputs_of, read, some_sizes

SHAPE_MAKERS = {"Shape", "Size", "ConstantOfShape"}


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, inputs))


@pytest.mark.parametrize("name", MODELS)
def test_models_compute_the_same_without_it(name: str) -> None:
    proto, dims = read(name)
    table = track_shapes(proto, dims)
    given = without_shape_arithmetic(proto, table)
    onnx.checker.check_model(given.proto)
    assert not {"Shape", "Size"} & {node.op_type for node in given.proto.graph.node}
    assert len(given.proto.graph.node) <= len(proto.graph.node)
    for seed, sizes in enumerate(some_sizes(dims, seed=11)):
        inputs = inputs_of(proto, table, sizes, seed)
        for got, wanted in zip(run(given.proto, inputs | given.arrays(sizes)), run(proto, inputs), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def removed(graph: str, *ranges: str, **constants: np.ndarray) -> GivenSizes:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> agraph {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return without_shape_arithmetic(model, track_shapes(model, {dim.name: dim for dim in parse_dims(ranges)}))


def targets(given: GivenSizes) -> dict[str, list[int]]:
    return {each.name: numpy_helper.to_array(each).tolist() for each in given.proto.graph.initializer}


RESHAPED = """(float[n, s, 8] x) => (y) {{
    shape = Shape(x)  zero = Constant <value_ints = [0]> ()  one = Constant <value_ints = [1]> ()
    n = Gather(shape, zero)  s = Gather(shape, one)  t = Concat <axis = 0> ({target})  y = Reshape(x, t)
}}"""


@pytest.mark.parametrize(
    ("target", "ranges", "written"),
    [
        ("n, s, two, four", (), [0, 0, 2, 4]),
        ("n, two, s, four", (), [0, 2, -1, 4]),
        ("s, n, eight", (), None),
        ("n, eight, s", (), [0, 8, -1]),
        ("n, eight, s", ("n=0..3",), None),
        ("n, s, two, four", ("n=0..3", "s=0..4"), [0, 0, 2, 4]),
        ("n, s, two, four", ("n=3..3",), [3, 0, 2, 4]),
    ],
)
def test_targets_are_written_with_0_and_1(target: str, ranges: tuple[str, ...], written: list[int] | None) -> None:
    given = removed(RESHAPED.format(target=target), *ranges, two=np.array([2]), four=np.array([4]), eight=np.array([8]))
    assert targets(given).get("y_target") == written
    assert list(given.elements) == ([] if written else ["t"])
    assert [node.op_type for node in given.proto.graph.node] == ["Reshape"]


def test_what_is_computed_with_sizes_is_given() -> None:
    given = removed(
        "(float[n, s] x) => (y, q) { shape = Shape(x) q = Add(shape, two) r = Mul(q, two) y = Expand(z, r) }",
        two=np.array([2]),
        z=np.zeros(1, np.float32),
    )
    assert [node.op_type for node in given.proto.graph.node] == ["Add", "Expand"]  # q is an output
    sizes = {"n": 3, "s": 4}
    inputs = {"x": np.zeros((3, 4), np.float32)} | given.arrays(sizes)
    got = run(given.proto, inputs)
    assert got[0].shape == (10, 12)
    assert got[1].tolist() == [5, 6]
