"""A constant that several kernels use is stored once for each form in which they expect it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from flextune.apply.build import compile_model
from flextune.apply.equal_bytes import EqualBytes
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.target import Target
from flextune.testing.models import evaluate


def tied_products() -> onnx.ModelProto:
    """One matrix in eight products, one after the other."""
    nodes = []
    for number in range(8):
        nodes.append(make_node("MatMul", [f"h{number}" if number else "x", "w"], [f"m{number}"]))
        nodes.append(make_node("Relu", [f"m{number}"], [f"h{number + 1}"]))
    return _model(nodes, {"x": (8, 64)}, ["h8"], {"w": (64, 64)})


def pyramid() -> onnx.ModelProto:
    """One convolution on images of five sizes, for which register tiles of different widths are the best ones."""
    sizes = (20, 16, 8, 4, 2)
    nodes = [
        make_node("Conv", [f"x{size}", "w"], [f"y{size}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]) for size in sizes
    ]
    inputs = {f"x{size}": (1, 32, size, size) for size in sizes}
    return _model(nodes, inputs, [f"y{size}" for size in sizes], {"w": (32, 32, 3, 3)})


@pytest.mark.parametrize("make", [tied_products, pyramid])
def test_a_constant_is_stored_once(make: Callable[[], onnx.ModelProto], target: Target) -> None:
    proto = make()
    model = model_from_proto(proto, "shared")
    built = compile_model(partition_model(model), {}, target).executable
    stored = sum(numpy_helper.to_array(tensor).nbytes for tensor in model.proto.graph.initializer)
    assert built.signature.weight_bytes <= 1.1 * stored
    inputs = model.random_inputs(0)
    for got, wanted in zip(built.run(inputs).values(), evaluate(model.proto, inputs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_contents_that_differ_only_between_the_samples_are_told_apart() -> None:
    seen = EqualBytes()
    contents = np.zeros((3, 5000), np.uint8)
    contents[1, 7] = 1
    assert [seen.setdefault(content, number) for number, content in enumerate(contents)] == [0, 1, 0]
    assert seen.setdefault(contents[0, :-1], 3) == 3


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    weights: Mapping[str, Sequence[int]],
) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    graph = make_graph(
        list(nodes),
        "shared",
        [make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array((rng.standard_normal(s) / 8).astype("f4"), n) for n, s in weights.items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
