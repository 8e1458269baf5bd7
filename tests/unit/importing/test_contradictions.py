"""Models that are not what they declare, or that would cost more than there is: refused in words, before any work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.errors import ModelError
from flextune.importing.model import model_from_proto
from flextune.lowering.lower import relax_operators
from flextune.testing.models import model_of, value

LOCAL = "local"


def small(
    operator: str, constant: np.ndarray | None = None, shape: Sequence[int] = (4,), **attributes: object
) -> onnx.ModelProto:
    """One node on `x`, with a constant as its second input."""
    inputs = ["x"] if constant is None else ["x", "c"]
    outputs = ["y", "z"] if operator == "Split" else ["y"]
    node = helper.make_node(operator, inputs, outputs, name="the_node", **attributes)
    constants = {} if constant is None else {"c": constant}
    return model_of([node], [value("x", shape)], [value(name, None) for name in outputs], constants, 18)


def computed(operator: str, *constants: np.ndarray) -> onnx.ModelProto:
    """A node on constants alone, whose result is summed up."""
    names = [f"c{place}" for place in range(len(constants))]
    nodes = [
        helper.make_node(operator, names, ["large"], name="the_node"),
        helper.make_node("Cast", ["large"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats"], ["sum"]),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return model_of(nodes, [value("x", [4])], [value("y", None)], dict(zip(names, constants, strict=True)), 18)


def with_functions(called: str, count: int, *functions: tuple[str, Sequence[str]]) -> onnx.ModelProto:
    """A call with `count` inputs; each function calls others one after the other."""
    protos = []
    for name, inner in functions:
        values = ["a", *(f"t{place}" for place in range(1, len(inner))), "b"]
        nodes = [
            helper.make_node(each, [values[place]], [values[place + 1]], domain="" if each == "Relu" else LOCAL)
            for place, each in enumerate(inner)
        ]
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(LOCAL, 1)]
        protos.append(helper.make_function(LOCAL, name, ["a"], ["b"], nodes, opsets))
    node = helper.make_node(called, ["x"] * count, ["y"], domain=LOCAL, name="the_node")
    proto = model_of([node], [value("x", [4])], [value("y", [4])], opset=18)
    proto.opset_import.append(helper.make_opsetid(LOCAL, 1))
    proto.functions.extend(protos)
    return proto


def with_branches(*counts: int) -> onnx.ModelProto:
    """A constant `If` with this many outputs, and this many in its branches."""
    graphs = [
        helper.make_graph(
            [helper.make_node("Relu", ["x"], [f"{count}_{place}"]) for place in range(count)],
            "branch",
            [],
            [value(f"{count}_{place}", None) for place in range(count)],
        )
        for count in counts[1:]
    ]
    names = [f"y{place}" for place in range(counts[0])]
    node = helper.make_node("If", ["c"], names, name="the_node", then_branch=graphs[0], else_branch=graphs[1])
    outputs = [value(name, [4]) for name in names]
    return model_of([node], [value("x", [4])], outputs, {"c": np.array(True)}, 18)


def with_raw_bytes(count: int) -> onnx.ModelProto:
    proto = small("Add", np.zeros(4, np.float32))
    proto.graph.initializer[0].raw_data = bytes(count)
    return proto


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def declared_float() -> onnx.ModelProto:
    proto = small("Shape")
    proto.graph.output[0].CopyFrom(value("y", [1]))
    return proto


DOUBLING = [("f0", ["Relu"]), *((f"f{place}", [f"f{place - 1}"] * 2) for place in range(1, 31))]

LONG, WINDOW = np.ones(2**16, np.float32), np.ones((1, 1, 3, 3), np.float32)

CASES = {
    "too many bytes": (with_raw_bytes(20), "needs 16 bytes and has 20"),
    "Shape as float": (declared_float(), "elem type"),
    "Split along axis 5": (small("Split", axis=5, num_outputs=2), "axis"),
    "Softmax along axis 9": (small("Softmax", axis=9), "axis"),
    "a permutation with an axis twice": (small("Transpose", shape=(4, 4), perm=[0, 0]), "repeated"),
    "shapes that do not go together": (small("Add", np.ones(5, np.float32)), "Incompatible"),
    "Reshape to more elements": (small("Reshape", int64(5)), "new shape"),
    "a stride of 0": (small("MaxPool", shape=(1, 1, 4, 4), kernel_shape=[2, 2], strides=[0, 0]), "stride"),
    "a window larger than the image": (small("Conv", np.ones((1, 1, 7, 7), np.float32), (1, 1, 4, 4)), "shape"),
    "a function with too many inputs": (with_functions("f", 2, ("f", ["Relu"])), "with 2 inputs"),
    "a function that is defined twice": (with_functions("f", 1, ("f", ["Relu"]), ("f", ["Relu"])), "twice"),
    "a recursive function": (with_functions("f", 1, ("f", ["g"]), ("g", ["f"])), "calls itself"),
    "functions that double": (with_functions("f30", 1, *DOUBLING), "nodes"),
    "branches of 1 and 2 outputs": (with_branches(2, 1, 2), "outputs"),
    "Range with step 0": (computed("Range", *map(np.int64, (0, 4, 0))), "step"),
    "Range to 5e9": (computed("Range", *map(np.int64, (0, 5 * 10**9, 1))), "elements"),
    "Range to 1e9": (computed("Range", *map(np.int64, (0, 10**9, 1))), "elements"),
    "2^31 zeros": (computed("ConstantOfShape", int64(2**31)), "elements"),
    "2^30 zeros": (computed("ConstantOfShape", int64(2**30)), "elements"),
    "an outer product of constants": (computed("MatMul", LONG.reshape(-1, 1), LONG.reshape(1, -1)), "elements"),
    "Expand to 4e12": (small("Expand", int64(10**6, 10**6, 4)), "elements"),
    "Tile by 1e11": (small("Tile", int64(10**11)), "elements"),
    "Pad by 1e11": (small("Pad", int64(10**11, 0)), "elements"),
    "a convolution with pads of 1e6": (small("Conv", WINDOW, (1, 1, 4, 4), pads=[10**6] * 4), "elements"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_is_refused_in_words(name: str) -> None:
    proto, words = CASES[name]
    with pytest.raises(ModelError) as caught:
        relax_operators(model_from_proto(proto, "it"))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


def test_resize_by_a_million_is_refused_before_its_coordinates_are_computed() -> None:
    node = helper.make_node("Resize", ["x", "", "s"], ["y"])
    scales = np.array([1, 1, 1e6, 1e6], np.float32)
    proto = model_of([node], [value("x", [1, 1, 4, 4])], [value("y", None)], {"s": scales}, 18)
    with pytest.raises(ModelError, match="elements"):
        relax_operators(model_from_proto(proto, "it"))


def test_outputs_without_a_declared_type_get_the_one_that_is_computed() -> None:
    proto = small("Shape")
    proto.graph.output[0].ClearField("type")
    assert model_from_proto(proto, "it").proto.graph.output[0].type.tensor_type.elem_type == TensorProto.INT64


def test_unknown_element_types_are_named() -> None:
    proto = small("Add", np.zeros(4, np.float32))
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "c")
    tensor.data_type = 99
    proto.graph.initializer[0].CopyFrom(tensor)
    with pytest.raises(ModelError, match="unknown element type 99"):
        model_from_proto(proto, "it")
