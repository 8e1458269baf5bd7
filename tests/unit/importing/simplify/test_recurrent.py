"""Recurrent layers written out step by step, held against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.errors import ModelError
from flextune.importing.model import model_from_proto
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify import simplify
from flextune.importing.simplify.recurrent import MAX_STEPS, USUAL
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import model_of, operators, random_array, value

INPUT, HIDDEN = 6, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(
    operator: str, steps: int = 3, batch: int = 2, states: bool = False, bias: bool = True, **attributes: object
) -> onnx.ModelProto:
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    width = GATES[operator] * HIDDEN
    constants = {"w": random_array(1, directions, width, INPUT), "r": random_array(2, directions, width, HIDDEN)}
    if bias:
        constants["b"] = random_array(3, directions, 2 * width)
    names = ["x", "w", "r", "b" if bias else "", "", *(["h", "c"][: 1 + (operator == "LSTM")] if states else [])]
    outputs = ["y", "y_h", "y_c"][: 2 + (operator == "LSTM")]
    node = helper.make_node(operator, names, outputs, hidden_size=HIDDEN, name="recurrent", **attributes)
    given = [value(name, [directions, batch, HIDDEN]) for name in names[5:]]
    shapes = [[steps, directions, batch, HIDDEN], *[[directions, batch, HIDDEN]] * 2]
    results = [value(name, shape) for name, shape in zip(outputs, shapes, strict=False)]
    return model_of([node], [value("x", [steps, batch, INPUT]), *given], results, constants)


def run(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    results: list[np.ndarray] = session.run(None, inputs)
    return results


def inputs_of(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    model = model_from_proto(proto, "recurrent")
    return model.random_inputs(4)


@pytest.mark.parametrize("states", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
    ids=["LSTM", "GRU", "GRU, linear before reset", "RNN"],
)
def test_the_same_sequence_and_states(
    operator: str, attributes: dict[str, object], direction: str, states: bool
) -> None:
    proto = layer(operator, direction=direction, states=states, **attributes)
    graph = OnnxGraph.of(proto)
    simplify(graph)
    assert not set(operators(graph)) & set(USUAL)
    inputs = inputs_of(proto)
    for got, want in zip(run(graph.to_proto(), inputs), run(proto, inputs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("operator", sorted(USUAL))
@pytest.mark.parametrize(("steps", "batch", "bias"), [(1, 1, True), (4, 1, False)])
def test_built_models(operator: str, steps: int, batch: int, bias: bool) -> None:
    proto = layer(operator, steps, batch, bias=bias)
    inputs = inputs_of(proto)
    model = model_from_proto(proto, "recurrent")
    got = compile_model(partition_model(model), {}, detect()).executable.run(inputs)
    for name, want in zip(model.outputs, run(proto, inputs), strict=True):
        np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (layer("LSTM", input_forget=1), "peepholes"),
        (layer("RNN", activations=["Relu"]), "activations"),
        (layer("GRU", clip=0.5), "clip"),
        (layer("RNN", MAX_STEPS + 1), "cut the sequence"),
    ],
)
def test_what_is_not_written_out_is_refused_by_name(proto: onnx.ModelProto, words: str) -> None:
    with pytest.raises(ModelError, match=words) as raised:
        partition_model(model_from_proto(proto, "recurrent"))
    assert "recurrent" in str(raised.value)
