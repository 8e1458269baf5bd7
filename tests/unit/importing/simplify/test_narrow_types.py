"""Numbers of few bits, against `ml_dtypes` and ONNX's evaluator: every code, and every float16 as what is rounded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.errors import ModelError
from tests.differential.comparison import evaluated, ours

FLOATS = ("FLOAT4E2M1", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ")
WHOLE = ("INT2", "INT4", "UINT2", "UINT4")
NARROW = (*FLOATS, "FLOAT8E8M0", *WHOLE)


def _type(name: str) -> np.dtype:
    return np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(name)))


def _all_values(name: str) -> np.ndarray:
    bits = int("".join(each for each in name.replace("FLOAT", "").replace("INT", "").replace("U", "")[:1]))
    return np.arange(1 << bits, dtype=np.uint8).view(_type(name))


def _run(nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], kind: int, opset: int = 25) -> np.ndarray:
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    graph = helper.make_graph(nodes, "narrow", values, [helper.make_tensor_value_info("y", kind, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=11)
    (result,) = ours(model, inputs, "none", only_own=True)
    wanted = evaluated(model, inputs)
    assert wanted is not None
    np.testing.assert_array_equal(_plain(result), _plain(wanted[0]))
    assert result.dtype == wanted[0].dtype
    return result


def _plain(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind in "Vf" else array


@pytest.mark.parametrize("name", NARROW)
def test_every_code_is_widened_exactly(name: str) -> None:
    codes = _all_values(name)
    (result,) = [_run([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], {"x": codes}, TensorProto.FLOAT)]
    np.testing.assert_array_equal(result, codes.astype(np.float32))


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("name", FLOATS)
def test_every_float16_is_rounded_as_by_ml_dtypes(name: str, saturate: int) -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    kind = TensorProto.DataType.Value(name)
    node = helper.make_node("Cast", ["x"], ["y"], to=kind, saturate=saturate)
    with np.errstate(all="ignore"):
        _run([node], {"x": values}, kind)


@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
def test_powers_of_two_are_rounded_as_asked(mode: str) -> None:
    values = np.float32([1, 1.1, 1.5, 1.6, 3, 1e38, 3.4e38, 1e-38, 0, np.inf, np.nan, 2.0**-126])
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E8M0, round_mode=mode)
    _run([node], {"x": values}, TensorProto.FLOAT8E8M0)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_lose_what_is_beyond_their_bits(name: str) -> None:
    kind = TensorProto.DataType.Value(name)
    values = np.arange(-20, 20, dtype=np.int32)
    _run([helper.make_node("Cast", ["x"], ["y"], to=kind)], {"x": values}, kind)


@pytest.mark.parametrize("name", ["FLOAT8E5M2", "INT4", "UINT2"])
def test_what_moves_elements_moves_codes(name: str) -> None:
    kind = TensorProto.DataType.Value(name)
    codes = np.resize(_all_values(name), 12).reshape(3, 4)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"]),
        helper.make_node("Concat", ["t", "t"], ["y"], axis=0),
    ]
    _run(nodes, {"x": codes}, kind)


@pytest.mark.parametrize(
    ("name", "block", "scale"), [("INT4", 2, (2, 3)), ("UINT8", 2, (2, 3)), ("INT2", 0, (3,)), ("FLOAT8E4M3FN", 0, ())]
)
def test_scales_of_blocks_rows_and_all(name: str, block: int, scale: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    kind = TensorProto.DataType.Value(name)
    attributes = {"axis": 0, "block_size": block} if block else {"axis": 1}
    inputs = {
        "x": rng.standard_normal((4, 3)).astype(np.float32) * 9,
        "s": rng.uniform(0.5, 2, scale).astype(np.float32),
    }
    zero = [] if name.startswith("FLOAT") else ["z"]
    if zero:
        inputs["z"] = np.ones(scale, np.int8).astype(_type(name))
    quantized = _run(
        [helper.make_node("QuantizeLinear", ["x", "s", *(zero or ["n"])], ["y"], **attributes)],
        inputs if zero else {**inputs, "n": np.zeros(scale, np.float32).astype(_type(name))},
        kind,
    )
    given = {"x": quantized, **{key: value for key, value in inputs.items() if key != "x"}}
    _run([helper.make_node("DequantizeLinear", ["x", "s", *zero], ["y"], **attributes)], given, TensorProto.FLOAT)


def test_constants_of_few_bits() -> None:
    weight = numpy_helper.from_array(np.arange(-4, 4).astype(_type("INT4")))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    _run(nodes, {"x": np.ones(8, np.float32)}, TensorProto.FLOAT)


def test_graphs_inside_of_nodes_do_not_take_codes_for_numbers() -> None:
    def branch(name: str) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(name, TensorProto.FLOAT, (4,))
        return helper.make_graph([helper.make_node("Cast", ["x"], [name], to=TensorProto.FLOAT)], name, [], [result])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))
    with pytest.raises(ModelError, match="If y: numbers of fewer than 8 bits"):
        _run([node], {"c": np.array(True), "x": np.arange(-2, 2).astype(_type("INT4"))}, TensorProto.FLOAT)
