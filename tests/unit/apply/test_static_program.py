"""Models as static programs: every way a value can come in, be shared, and go out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.apply.huge_pages import huge_block
from flextune.apply.program import Place, dlpack_type
from flextune.apply.signature import Runtime
from flextune.apply.static_program import static_model
from flextune.importing.model import load_model
from flextune.plan.partition import Partition, partition_model
from flextune.target.target import Target
from flextune.testing.models import evaluate, model_of, random_array, value


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, **attributes)


SHAPE = np.array([6, 4], np.int64)
X = value("x", [4, 6])
Y, Z = value("y", [6, 4]), value("z", [4, 6])
MODELS = {
    "view of what a kernel wrote": model_of(
        [_node("Relu", ["x"], ["r"]), _node("Reshape", ["r", "shape"], ["y"])], [X], [Y], {"shape": SHAPE}
    ),
    "view of an input": model_of([_node("Reshape", ["x", "shape"], ["y"])], [X], [Y], {"shape": SHAPE}),
    "one value twice": model_of(
        [_node("Relu", ["x"], ["z"]), _node("Reshape", ["z", "shape"], ["y"])], [X], [Y, Z], {"shape": SHAPE}
    ),
    "a value that is read again": model_of(
        [_node("Relu", ["x"], ["z"]), _node("Transpose", ["z"], ["y"])], [X], [Z, Y]
    ),
    "a constant": model_of(
        [_node("Relu", ["x"], ["z"]), _node("Identity", ["c"], ["y"])], [X], [Y, Z], {"c": random_array(3, 6, 4)}
    ),
    "two inputs, two outputs": model_of(
        [_node("MatMul", ["x", "v"], ["y"]), _node("Split", ["x"], ["a", "b"], axis=0, num_outputs=2)],
        [X, value("v", [6, 4])],
        [value("y", [4, 4]), value("b", [2, 6]), value("a", [2, 6])],
        opset=18,
    ),
    "whole numbers and truth": model_of(
        [_node("Greater", ["x", "v"], ["y"]), _node("ArgMax", ["x"], ["i"], axis=1, keepdims=0)],
        [X, value("v", [4, 6])],
        [value("y", [4, 6], TensorProto.BOOL), value("i", [4], TensorProto.INT64)],
    ),
    "a chain": model_of(
        [_node(kind, [f"v{i}" if i else "x"], [f"v{i + 1}" if i < 3 else "z"])
         for i, kind in enumerate(["Softmax", "Neg", "Softmax", "Exp"])], [X], [Z]
    ),
}  # fmt: skip


@pytest.fixture(params=list(MODELS))
def proto(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return MODELS[request.param]


def test_every_form_runs_on_the_own_runtime(proto: onnx.ModelProto, tmp_path: Path, target: Target) -> None:
    onnx.save(proto, tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx")
    executable = compile_model(partition_model(model), {}, target).executable
    assert executable.signature.runtime is Runtime.OWN
    inputs = model.random_inputs(1)
    got = executable.run(inputs)
    for name, want in zip(model.outputs, evaluate(proto, inputs), strict=True):
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6, err_msg=name)


def test_weights_lie_in_one_aligned_block(partition: Partition, target: Target) -> None:
    signature = compile_model(partition, {}, target).executable.signature
    model = static_model(partition.module, signature, target)
    assert model is not None
    weights = [tensor for tensor in model.program.tensors if tensor.place is Place.WEIGHT]
    assert weights
    assert all(tensor.offset % 64 == 0 for tensor in weights)
    assert model.weights.ctypes.data % (1 << 21) == 0
    assert model.weights.size == model.program.weight_bytes
    assert set(model.program.kernels) == {variable.name_hint for variable in model.kernels.get_global_vars()}


def test_huge_blocks_are_zero_and_writable() -> None:
    block = huge_block(5_000_000)
    assert block.size == 5_000_000
    assert not block.any()
    block[-1] = 1
    assert huge_block(0).size == 0


@pytest.mark.parametrize(
    ("name", "code"),
    [("float32", (2, 32)), ("bfloat16", (4, 16)), ("bool", (6, 8)), ("uint8", (1, 8)), ("int64", (0, 64))],
)
def test_dlpack_types(name: str, code: tuple[int, int]) -> None:
    assert dlpack_type(name) == code
