"""Which inputs decide shapes, and models with their values bound."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from flextune.errors import ModelError
from flextune.importing.binding import bind_inputs, shape_inputs
from flextune.importing.model import model_from_proto
from flextune.testing.models import evaluate, model_of, random_array, value

INT64 = TensorProto.INT64


def test_targets_of_reshapes_decide_shapes_also_through_other_nodes() -> None:
    nodes = [
        helper.make_node("Mul", ["s", "t"], ["u"]),
        helper.make_node("Reshape", ["x", "u"], ["y"]),
    ]
    inputs = [value("x", [6]), value("s", [2], INT64), value("t", [2], INT64)]
    proto = model_of(nodes, inputs, [value("y", [None, None])])
    assert shape_inputs(proto.graph) == {"s", "t"}
    bound = bind_inputs(proto, {"s": np.array([3, 1]), "t": np.array([1, 2])})
    assert [each.name for each in bound.graph.input] == ["x"]
    assert len(proto.graph.input) == 3
    assert evaluate(bound, {"x": random_array(0, 6)})[0].shape == (3, 2)


def test_what_is_read_through_a_shape_only_is_free() -> None:
    nodes = [helper.make_node("Shape", ["z"], ["s"]), helper.make_node("Expand", ["x", "s"], ["y"])]
    proto = model_of(nodes, [value("x", [1]), value("z", [4])], [value("y", [4])])
    assert shape_inputs(proto.graph) == frozenset()


def test_conditions_decide_and_so_does_what_branches_need() -> None:
    branches = [
        helper.make_graph(
            [helper.make_node("Reshape", ["x", name], [f"y_{name}"])], name, [], [value(f"y_{name}", None)]
        )
        for name in ("s", "t")
    ]
    node = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    inputs = [value("x", [6]), value("s", [1], INT64), value("t", [2], INT64), value("c", [], TensorProto.BOOL)]
    assert shape_inputs(model_of([node], inputs, [value("y", None)]).graph) == {"s", "t", "c"}


def test_a_model_whose_shapes_stay_open_is_refused_by_name() -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    proto = model_of([node], [value("x", [6]), value("s", [2], INT64)], [value("y", [None, None])])
    with pytest.raises(ModelError, match=r"'s' decide shapes.*constants"):
        model_from_proto(proto, "open")


def test_defaults_of_inputs_are_known() -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    inputs = [value("x", [6]), value("s", [2], INT64)]  # as IR version 3 lists its initializers
    proto = model_of([node], inputs, [value("y", [None, None])], {"s": np.array([2, 3])})
    assert shape_inputs(proto.graph) == frozenset()
    assert [spec.name for spec in model_from_proto(proto, "old").inputs] == ["x"]
