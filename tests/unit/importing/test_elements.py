"""Tensors without elements, and operators on element types that they rarely have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import flextune
from flextune.apply.signature import Runtime
from flextune.testing.models import model_of, value
from tests.differential.comparison import differences, ours

Arrays = dict[str, np.ndarray]


def model(
    nodes: list[onnx.NodeProto], inputs: Arrays, constants: Arrays | None = None, opset: int = 20
) -> onnx.ModelProto:
    values = [value(name, each.shape, helper.np_dtype_to_tensor_dtype(each.dtype)) for name, each in inputs.items()]
    result = nodes[-1].output[0]
    proto = model_of(nodes, values, [helper.make_value_info(result, onnx.TypeProto())], constants, 20)
    proto.graph.output[0].CopyFrom(onnx.shape_inference.infer_shapes(proto).graph.output[0])
    return proto


EMPTY, FULL = np.zeros((0, 4), np.float32), np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.mark.parametrize(
    ("nodes", "inputs", "constants"),
    [
        ([helper.make_node("Concat", ["e", "f"], ["y"], axis=0)], {"e": EMPTY, "f": FULL}, {}),
        ([helper.make_node("ReduceSum", ["e"], ["y"])], {"e": EMPTY}, {}),
        ([helper.make_node("MatMul", ["e", "w"], ["y"])], {"e": EMPTY.T.copy()}, {"w": np.ones((0, 5), np.float32)}),
        ([helper.make_node("Relu", ["e"], ["y"])], {"e": EMPTY}, {}),
        ([helper.make_node("Slice", ["f", "s", "s"], ["y"])], {"f": FULL}, {"s": np.array([1])}),
        ([helper.make_node("Gather", ["f", "s"], ["y"])], {"f": FULL}, {"s": np.zeros(0, np.int64)}),
    ],
)
def test_tensors_without_elements(nodes: list[onnx.NodeProto], inputs: Arrays, constants: Arrays) -> None:
    assert not differences(model(nodes, inputs, constants), inputs)


TRUTHS = np.array([[True, False, True], [False, False, False]])
WHOLE = np.array([[2, 3, -4], [0, 1, 7]], np.int32)
WIDE = np.linspace(-3, 3, 6).reshape(2, 3)


@pytest.mark.parametrize(
    ("operator", "operands", "attributes"),
    [
        ("Equal", (TRUTHS, TRUTHS[::-1].copy()), {}),
        ("ReduceMax", (TRUTHS,), {}),
        ("ReduceMin", (TRUTHS,), {"keepdims": 0}),
        ("Pow", (WHOLE, np.abs(WHOLE)), {}),
        ("Pow", (WHOLE.astype(np.int64), np.array(2, np.int64)), {}),
        ("Selu", (WIDE,), {}),
        ("Cosh", (WIDE,), {}),
        ("Erf", (WIDE,), {}),
        ("LayerNormalization", (WIDE, WIDE[0]), {}),
        ("DequantizeLinear", (WHOLE.astype(np.int8), np.array(0.3, np.float16)), {}),
    ],
)
def test_element_types(operator: str, operands: tuple[np.ndarray, ...], attributes: dict[str, int]) -> None:
    inputs = {f"x{place}": each for place, each in enumerate(operands)}
    node = helper.make_node(operator, list(inputs), ["y"], **attributes)
    assert not differences(model([node], inputs), inputs, 1e-6)


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("operator", ["Gather", "GatherElements"])
def test_indices_of_either_width_count_from_both_ends(operator: str, kind: type) -> None:
    table = np.arange(20, dtype=np.float32).reshape(5, 4)
    indices = np.array([[0, -1, 4, -5]], kind) if operator == "GatherElements" else np.array([0, -1, 4], kind)
    node = helper.make_node(operator, ["table", "i"], ["y"])
    assert not differences(model([node], {"i": indices}, {"table": table}), {"i": indices}, 0.0)


@pytest.mark.parametrize("operator", ["Div", "Mod"])
@pytest.mark.parametrize("dtype", [np.int32, np.int8, np.uint8, np.int64])
def test_divisions_by_0_and_of_the_least_number_go_on(operator: str, dtype: type) -> None:
    limits = np.iinfo(dtype)
    left = np.array([7, limits.min, limits.max, limits.min, 7, 9], dtype)
    right = np.array([0, 0, 2, -1 if limits.min else 1, -1 if limits.min else 3, 4], dtype)
    (got,) = ours(
        model([helper.make_node(operator, ["a", "b"], ["y"])], {"a": left, "b": right}), {"a": left, "b": right}
    )
    pairs = [(int(a), int(b)) for a, b in zip(left, right, strict=True)]
    if operator == "Div":
        exact = [0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) for a, b in pairs]
    else:
        exact = [0 if b == 0 else a % b for a, b in pairs]
    wanted = [value if value <= limits.max else limits.min for value in exact]
    np.testing.assert_array_equal(got, np.array(wanted, dtype))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_means_of_whole_numbers_leave_out_what_is_over(dtype: type) -> None:
    numbers = {"x": np.arange(12, dtype=dtype).reshape(3, 1, 4)}
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    for axes in ([0], [1], [0, 2]):
        assert not differences(model(nodes, numbers, {"axes": np.array(axes)}), numbers)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.uint32, np.int64])
def test_the_largest_of_any_whole_numbers(dtype: type) -> None:
    numbers = {"x": np.array([[3, 1, 2, 3], [0, 9, 9, 4]], dtype)}
    nodes = [helper.make_node("TopK", ["x", "k"], ["y", "i"])]
    assert not differences(model(nodes, numbers, {"k": np.array([3])}), numbers)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize(
    ("shape", "axis", "count", "dtype"),
    [((5,), 0, 5, np.float32), ((3, 7, 4), 1, 2, np.int32), ((2, 9), -1, 3, np.uint64), ((1,), -1, 1, np.int64)],
)
def test_the_largest_of_few_with_ties(
    shape: tuple[int, ...], axis: int, count: int, dtype: type, largest: int, tmp_path: Path
) -> None:
    """In our own runtime, as NumPy's stable sorting orders them."""
    x = np.random.default_rng(len(shape)).integers(0, 5, shape).astype(dtype)
    kind, taken = helper.np_dtype_to_tensor_dtype(x.dtype), [*shape]
    taken[axis] = count
    proto = model_of(
        [helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=axis, largest=largest)],
        [value("x", shape, kind)],
        [value("v", taken, kind), value("i", taken, onnx.TensorProto.INT64)],
        {"k": np.array([count])},
    )
    (tmp_path / "top.onnx").write_bytes(proto.SerializeToString())
    executable = flextune.optimize(tmp_path / "top.onnx", minutes=0, only_own=True)
    assert executable.signature.runtime is Runtime.OWN
    found = executable.run({"x": x})
    wide = x.astype(object)
    order = np.argsort(-wide if largest else wide, axis, kind="stable").take(range(count), axis)
    np.testing.assert_array_equal(found["i"], order)
    np.testing.assert_array_equal(found["v"], np.take_along_axis(x, order, axis))
