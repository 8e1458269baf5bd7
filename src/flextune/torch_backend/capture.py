"""A captured graph as ONNX, once for all weights that it will be called with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.binding import bind_inputs
from flextune.importing.model import Model, model_from_proto
from flextune.importing.torch_export import exported_proto, trace
from flextune.importing.torch_fused import spelled_out
from flextune.torch_backend.graph_inputs import GraphInputs
from flextune.torch_backend.tensor_arrays import array_of

NAME = "torch.compile's graph"

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")

PRODUCTS = ("Conv", "ConvInteger", "ConvTranspose", "Einsum", "Gemm", "MatMul", "MatMulInteger")


@dataclass(frozen=True, slots=True, eq=False)
class CapturedGraph:
    """A graph whose weights are inputs like others. `computed` are the positions of the outputs that it computes."""

    proto: onnx.ModelProto
    inputs: GraphInputs
    computed: tuple[int, ...]

    def with_weights(self, torch: Any, values: Sequence[Any]) -> Model:
        """The graph as a model with the weights of a call as constants; `values` are all its inputs."""
        names = {value.name for value in self.proto.graph.input}
        weights = {input_name(position): array_of(torch, values[position]) for position in self.inputs.weights}
        bound = bind_inputs(self.proto, {name: np.array(array) for name, array in weights.items() if name in names})
        return model_from_proto(bound, NAME, source=NAME)

    @property
    def has_products(self) -> bool:
        """Whether it holds convolutions or matrix products, in which the order of additions is free."""
        return any(node.op_type in PRODUCTS for node in self.proto.graph.node)


def capture(torch: Any, graph: Any, inputs: GraphInputs, example_inputs: Sequence[Any]) -> CapturedGraph:
    """ModelError when the graph changes its inputs, draws random numbers, or cannot be written as ONNX."""
    computed = computed_outputs(graph)
    module = _computing(torch, spelled_out(torch, graph), computed)
    examples = tuple(value.detach() for value in example_inputs)
    with torch._guards.tracing(None):  # the tracer that called us keeps its state to itself
        program = trace(torch, module, examples, {}, NAME)
        _check_outputs(torch, program)
        names = [input_name(position) for position in range(len(examples))]
        outputs = [f"output{position}" for position in computed]
        proto = exported_proto(torch, program, NAME, names, outputs)
    if random := sorted({node.op_type for node in proto.graph.node} & set(RANDOM)):
        raise ModelError(f"it draws random numbers ({', '.join(random)}); set the module to evaluation mode")
    if [value.name for value in proto.graph.output] != outputs:
        raise ModelError("some of its outputs are lost when it is written as ONNX")
    return CapturedGraph(proto, inputs, computed)


def input_name(position: int) -> str:
    return f"input{position}"


def computed_outputs(graph: Any) -> tuple[int, ...]:
    """The positions of the outputs that are results of operators, each result once.

    ModelError when an output is neither that, nor an input as it is.
    """
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    (values,) = output.args
    if any(type(value).__name__ != "Node" for value in values):
        raise ModelError("some of its outputs are not tensors")
    first = {value: position for position, value in reversed(list(enumerate(values))) if value.op != "placeholder"}
    if not first:
        raise ModelError("it computes nothing")
    return tuple(sorted(first.values()))


def _computing(torch: Any, graph: Any, computed: Sequence[int]) -> Any:
    """The graph as a module with these outputs only."""

    class Computing(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.graph = graph

        def forward(self, *values: Any) -> Any:
            results = self.graph(*values)
            return tuple(results[position] for position in computed)

    return Computing()


def _check_outputs(torch: Any, program: Any) -> None:
    outputs = program.graph_signature.output_specs
    if any(not isinstance(spec.arg, torch.export.graph_signature.TensorArgument) for spec in outputs):
        raise ModelError("some of its outputs are not tensors")
