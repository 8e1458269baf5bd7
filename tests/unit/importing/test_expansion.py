"""Functions of the model and of ONNX replaced by their bodies."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from flextune.importing.expansion import expand_functions
from flextune.importing.operators import unsupported_operators
from flextune.testing.models import conv_block, evaluate, model_of, random_array, value


def test_operators_that_can_be_spelt_out_are() -> None:
    node = helper.make_node("Swish", ["x"], ["y"], alpha=2.0)
    proto = model_of([node], [value("x", [5])], [value("y", [5])], opset=24)
    expanded = expand_functions(proto)
    assert unsupported_operators(proto) == {"Swish": ["#0 (writes y)"]}
    assert unsupported_operators(expanded) == {}
    x = random_array(0, 5)
    np.testing.assert_allclose(evaluate(expanded, {"x": x})[0], x / (1 + np.exp(-2 * x)), rtol=1e-5)


def test_defaults_of_attributes_reach_the_body() -> None:
    node = helper.make_node("HannWindow", ["n"], ["y"])
    proto = model_of([node], [value("n", [], TensorProto.INT64)], [value("y", [None])])
    (window,) = evaluate(expand_functions(proto), {"n": np.array(8)})
    np.testing.assert_allclose(window, np.hanning(9)[:8], atol=1e-6)


def test_what_has_no_body_or_is_known_stays() -> None:
    assert expand_functions(conv_block()) == conv_block()
    unknown = model_of([helper.make_node("RandomNormalLike", ["x"], ["y"])], [value("x", [2])], [value("y", [2])])
    assert unsupported_operators(expand_functions(unknown)) == {"RandomNormalLike": ["#0 (writes y)"]}
