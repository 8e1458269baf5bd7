"""NaN, infinities and signed zeros in default builds, where TVM's arithmetic simplifies as if there were none."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.testing.models import model_of, value
from tests.differential.comparison import differences

X = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3.0, -3.0, 1e38, -1e38, 1e-45], np.float32)
T = X[::-1].copy()
CONSTANTS = {
    "zero": np.float32(0),
    "minus_zero": np.float32(-0.0),
    "one": np.float32(1),
    "two": np.float32(2),
    "large": np.float32(1e30),
    "inf": np.float32(np.inf),
}

Step = tuple[str, ...]

CHAINS: dict[str, tuple[Step, ...]] = {
    "0 * x": (("Mul", "zero", "x"),),
    "x * -0": (("Mul", "x", "minus_zero"),),
    "0 / x": (("Div", "zero", "x"),),
    "x - x": (("Sub", "x", "x"),),
    "x / x": (("Div", "x", "x"),),
    "x == x": (("Equal", "x", "x"),),
    "not x == x": (("Equal", "x", "x"), ("Not", "a0")),
    "x <= x": (("LessOrEqual", "x", "x"),),
    "not x < 1": (("Less", "x", "one"), ("Not", "a0")),
    "not x >= 1": (("GreaterOrEqual", "x", "one"), ("Not", "a0")),
    "not x == 1": (("Equal", "x", "one"), ("Not", "a0")),
    "x < 1 or x >= 1": (("Less", "x", "one"), ("GreaterOrEqual", "x", "one"), ("Or", "a0", "a1")),
    "x < 1 xor x >= 1": (("Less", "x", "one"), ("GreaterOrEqual", "x", "one"), ("Xor", "a0", "a1")),
    "not (x < t or x > t)": (("Less", "x", "t"), ("Greater", "x", "t"), ("Or", "a0", "a1"), ("Not", "a2")),
    "not (x < t and t < 1)": (("Less", "x", "t"), ("Less", "t", "one"), ("And", "a0", "a1"), ("Not", "a2")),
    "0 * x + x": (("Mul", "x", "zero"), ("Add", "a0", "x")),
    "2 * x - 2 * x": (("Mul", "x", "two"), ("Mul", "x", "two"), ("Sub", "a0", "a1")),
    "(x + t) - x": (("Add", "x", "t"), ("Sub", "a0", "x")),
    "x - (t + x)": (("Add", "t", "x"), ("Sub", "x", "a0")),
    "(x + 1e30) - 1e30": (("Add", "x", "large"), ("Sub", "a0", "large")),
    "(x * 1e30) * 1e30": (("Mul", "x", "large"), ("Mul", "a0", "large")),
    "x * inf": (("Mul", "x", "inf"),),
    "x / inf": (("Div", "x", "inf"),),
    "0 * relu(x)": (("Relu", "x"), ("Mul", "a0", "zero")),
    "not x < 0 ? x : 0": (("Less", "x", "zero"), ("Not", "a0"), ("Where", "a1", "x", "zero")),
    "sum of 0 * x": (("Mul", "x", "zero"), ("ReduceSum", "a0")),
    "largest of x - x": (("Sub", "x", "x"), ("ReduceMax", "a0")),
}


def chain(steps: tuple[Step, ...], **attributes: object) -> onnx.ModelProto:
    """Each step an operator and what it reads; `a0` is the result of the first one."""
    nodes = [
        helper.make_node(operator, list(read), [f"a{place}"], name=f"n{place}", **attributes)
        for place, (operator, *read) in enumerate(steps)
    ]
    read = {name for node in nodes for name in node.input}
    inputs = [value(name, X.shape) for name in ("x", "t") if name in read]
    constants = {name: np.asarray(array) for name, array in CONSTANTS.items() if name in read}
    result = nodes[-1].output[0]
    proto = model_of(nodes, inputs, [helper.make_value_info(result, onnx.TypeProto())], constants, 18)
    proto.graph.output[0].CopyFrom(onnx.shape_inference.infer_shapes(proto).graph.output[0])
    return proto


@pytest.mark.parametrize("name", CHAINS)
def test_special_values_come_out_as_ieee_754_has_them(name: str) -> None:
    proto = chain(CHAINS[name])
    inputs = {each.name: {"x": X, "t": T}[each.name] for each in proto.graph.input}
    assert not differences(proto, inputs, 1e-6)


def test_a_slope_of_zero_keeps_nan_and_gives_nan_for_minus_infinity() -> None:
    assert not differences(chain((("LeakyRelu", "x"),), alpha=0.0), {"x": X}, 0.0)


def test_numbers_keep_their_values_where_a_sum_is_subtracted_again() -> None:
    x = np.linspace(-3, 3, 10, dtype=np.float32)
    assert not differences(chain(CHAINS["(x + t) - x"]), {"x": x * np.float32(1e7), "t": x}, 1e-6)
