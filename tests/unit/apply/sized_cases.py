"""Small ONNX models with ranges of sizes for tests, and their comparison with ONNX Runtime at many sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.apply.model_check import onnxruntime_session
from flextune.importing.model import model_from_proto
from flextune.optimization.hybrid import Lowering
from flextune.target.target import Target
from flextune.workload.dim import parse_dims

RNG = np.random.default_rng(3)


def real(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / 2).astype(np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@dataclass(frozen=True)
class Case:
    """A model, and the ranges of its sizes. Inputs called `ids...` are whole numbers, 0 or 1."""

    nodes: Sequence[onnx.NodeProto]
    inputs: Mapping[str, Sequence[Any]]
    dims: Sequence[str]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    outputs: Sequence[str] = ("y",)
    opset: int = 17

    def proto(self) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info(name, _kind(name), shape) for name, shape in self.inputs.items()]
        outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in self.outputs]
        constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in self.constants.items()]
        graph = helper.make_graph(list(self.nodes), "g", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        found = onnx.shape_inference.infer_shapes(model)
        for output in found.graph.output:
            output.type.tensor_type.ClearField("shape")
            output.type.tensor_type.elem_type = output.type.tensor_type.elem_type or TensorProto.FLOAT
        return found

    def arrays(self, sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        shapes = {name: [sizes.get(size, size) for size in shape] for name, shape in self.inputs.items()}
        return {
            name: rng.integers(0, 2, shape) if name.startswith("ids") else rng.standard_normal(shape).astype(np.float32)
            for name, shape in shapes.items()
        }


def _kind(name: str) -> int:
    return TensorProto.INT64 if name.startswith("ids") else TensorProto.FLOAT


def compiled(case: Case, target: Target) -> Executable:
    model = model_from_proto(case.proto(), "m", dims=parse_dims(case.dims))
    return compile_model(Lowering(target)(model), {}, target).executable


def compare_at_sizes(case: Case, executable: Executable, runs: int, rtol: float = 1e-4) -> None:
    """The ends of all ranges, then random sizes."""
    rng, dims = np.random.default_rng(7), parse_dims(case.dims)
    session = onnxruntime_session(case.proto().SerializeToString(), 1)
    for run in range(runs):
        sizes = {dim.name: dim.sizes[-run] if run < 2 else dim.sizes[int(rng.integers(len(dim.sizes)))] for dim in dims}
        inputs = case.arrays(sizes, rng)
        got, want = executable.run(inputs), session.run(list(case.outputs), inputs)
        for output, wanted in zip(case.outputs, want, strict=True):
            message = f"{output} at {sizes}"
            np.testing.assert_allclose(got[output], wanted, rtol=rtol, atol=1e-5, err_msg=message, strict=True)
