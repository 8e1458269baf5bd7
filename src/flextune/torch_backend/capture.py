"""A captured graph as ONNX, once for all weights that it will be called with."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
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
from flextune.torch_backend.graph_sizes import GraphSizes, SizePlace, is_size, output_values
from flextune.torch_backend.tensor_arrays import array_of
from flextune.workload.dim import Dim

NAME = "torch.compile's graph"

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")

PRODUCTS = ("Conv", "ConvInteger", "ConvTranspose", "Einsum", "Gemm", "MatMul", "MatMulInteger")


@dataclass(frozen=True, slots=True, eq=False)
class CapturedGraph:
    """A graph whose weights are inputs like others. `computed` are the positions of the outputs that it computes."""

    proto: onnx.ModelProto
    inputs: GraphInputs
    computed: tuple[int, ...]
    dims: tuple[Dim, ...]
    """Of the inputs' sizes that change from call to call."""

    def with_weights(self, torch: Any, values: Sequence[Any]) -> Model:
        """The graph as a model with the weights of a call as constants; `values` are all its inputs."""
        names = {value.name for value in self.proto.graph.input}
        weights = {input_name(position): array_of(torch, values[position]) for position in self.inputs.weights}
        bound = bind_inputs(self.proto, {name: np.array(array) for name, array in weights.items() if name in names})
        return model_from_proto(bound, NAME, source=NAME, dims=self.dims)

    @property
    def has_products(self) -> bool:
        """Whether it holds convolutions or matrix products, in which the order of additions is free."""
        return any(node.op_type in PRODUCTS for node in self.proto.graph.node)


def capture(
    torch: Any,
    graph: Any,
    inputs: GraphInputs,
    example_inputs: Sequence[Any],
    sizes: GraphSizes,
    is_symbolic: bool,
) -> CapturedGraph:
    """A graph for the sizes of these inputs, or for all sizes; real numbers among the inputs become constants.

    ModelError when the graph changes its inputs, draws random numbers, or cannot be written as ONNX.
    """
    computed = computed_outputs(torch, graph)
    scalars = dict(zip(sizes.scalars, sizes.read_scalars(example_inputs), strict=True))
    constant = with_constants(torch, spelled_out(torch, graph), scalars)
    fixed = {p: value for p, value in enumerate(example_inputs) if isinstance(value, int) or p in scalars}
    places = {position: sizes.axis_of(position) for position in sizes.numbers} if is_symbolic else {}
    module = _computing(torch, constant, computed, fixed, places)
    tensors = [position for position in range(len(example_inputs)) if position not in fixed]
    examples = tuple(example_inputs[position].detach() for position in tensors)
    marked = (tuple(_marked(torch, sizes, position) for position in tensors),) if is_symbolic else None
    with torch._guards.tracing(None):  # the tracer that called us keeps its state to itself
        program = trace(torch, module, examples, {}, NAME, marked)
        _check_outputs(torch, program)
        names = [input_name(position) for position in tensors]
        outputs = [f"output{position}" for position in computed]
        exported = exported_proto(torch, program, NAME, names, outputs)
    proto = exported.proto
    if random := sorted({node.op_type for node in proto.graph.node} & set(RANDOM)):
        raise ModelError(f"it draws random numbers ({', '.join(random)}); set the module to evaluation mode")
    if [value.name for value in proto.graph.output] != outputs:
        raise ModelError("some of its outputs are lost when it is written as ONNX")
    return CapturedGraph(proto, inputs, computed, exported.sizes.dims)


def _marked(torch: Any, sizes: GraphSizes, position: int) -> dict[int, Any]:
    return dict.fromkeys(sizes.axes(position), torch.export.Dim.AUTO)


def input_name(position: int) -> str:
    return f"input{position}"


def computed_outputs(torch: Any, graph: Any) -> tuple[int, ...]:
    """The positions of the outputs that are results of operators, each result once.

    ModelError when an output is neither that, nor an input as it is, nor a number.
    """
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    (values,) = output.args
    numbers = {position for position, value in enumerate(output_values(graph)) if is_size(torch, value)}
    tensors = [(position, value) for position, value in enumerate(values) if position not in numbers]
    if any(type(value).__name__ != "Node" for _, value in tensors):
        raise ModelError("some of its outputs are not tensors")
    first = {value: position for position, value in reversed(tensors) if value.op != "placeholder"}
    if not first:
        raise ModelError("it computes nothing")
    return tuple(sorted(first.values()))


def with_constants(torch: Any, graph: Any, scalars: Mapping[int, float]) -> Any:
    """A copy of the graph in which these inputs, which are asked for their number, are constants."""
    if not scalars:
        return graph
    copied = torch.fx.GraphModule(graph, copy.deepcopy(graph.graph))
    placeholders = [node for node in copied.graph.nodes if node.op == "placeholder"]
    for position, number in scalars.items():
        for asked in list(placeholders[position].users):
            for user in list(asked.users):
                user.args, user.kwargs = torch.fx.node.map_arg(
                    (user.args, user.kwargs), lambda each, a=asked, n=number: n if each is a else each
                )
            copied.graph.erase_node(asked)
    copied.recompile()
    return copied


def _computing(
    torch: Any, graph: Any, computed: Sequence[int], fixed: Mapping[int, Any], places: Mapping[int, SizePlace]
) -> Any:
    """The graph as a module with these outputs only, that takes tensors only; `places` are where sizes are read."""

    class Computing(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.graph = graph

        def forward(self, *tensors: Any) -> Any:
            values = list(tensors)
            for position, value in sorted(fixed.items()):
                values.insert(position, value)
            for position, place in places.items():
                values[position] = values[place.position].shape[place.axis]
            results = self.graph(*values)
            return tuple(results[position] for position in computed)

    return Computing()


def _check_outputs(torch: Any, program: Any) -> None:
    outputs = program.graph_signature.output_specs
    if any(not isinstance(spec.arg, torch.export.graph_signature.TensorArgument) for spec in outputs):
        raise ModelError("some of its outputs are not tensors")
