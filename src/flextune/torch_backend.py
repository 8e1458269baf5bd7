"""The backend of `torch.compile(module, backend="flextune")`, for inference.

A graph that PyTorch has captured becomes a model with its parameters as constants, and is built with the best recorded
schedules. Nothing is tuned unless `options={"minutes": 1}` asks for it. A graph that cannot be taken runs in PyTorch as
it is, and a warning says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.database.store import open_database
from flextune.errors import FlextuneError, ModelError, UsageError
from flextune.importing.model import Model
from flextune.importing.torch_export import EXTRA, exported_model, trace
from flextune.importing.torch_fused import spelled_out
from flextune.optimization.model import choice_of, optimize_model, recorded_schedules
from flextune.plan.options import group_options
from flextune.plan.partition import partition_model
from flextune.registry import nearest
from flextune.settings import default_database_path
from flextune.target.detect import detect
from flextune.torch_import import load_torch
from flextune.tuning.budget import Budget
from flextune.tuning.options import TuneOptions

NAME = "torch.compile's graph"

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")

Graph = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What `torch.compile(..., options=...)` may say.

    `minutes` of tuning before the graph is built (0: none), and the records file `db` (default: `$FLEXTUNE_DB`, else
    `flextune.db` in the current folder).
    """

    minutes: float = 0.0
    db: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.minutes < float("inf"):
            raise UsageError(f"option minutes: expected a number of minutes, 0 or more, got {self.minutes}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> BackendOptions:
        known = tuple(field.name for field in fields(cls))
        if unknown := [name for name in given if name not in known]:
            raise UsageError(f"unknown option {unknown[0]!r} of the backend flextune: {nearest(unknown[0], known)}")
        return cls(**given)

    @property
    def database(self) -> Path:
        return Path(self.db) if self.db else default_database_path()


def compile_graph(graph: Any, example_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None) -> Graph:
    """Called by torch.compile with an `fx.GraphModule`; gives what runs in its place, a function of the same inputs."""
    chosen = BackendOptions.of(options or {})
    torch = load_torch("the backend flextune", EXTRA)
    try:
        inputs = GraphInputs.of(torch, example_inputs)
        model = graph_model(torch, graph, inputs, example_inputs)
        return CompiledGraph(torch, graph, inputs, example_inputs, build(model, chosen))
    except FlextuneError as error:
        warnings.warn(f"flextune leaves a graph to PyTorch: {error}", stacklevel=2)
        return graph.forward  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class GraphInputs:
    """Which inputs of a captured graph change from call to call, and which are its weights, by position."""

    varying: tuple[int, ...]
    weights: tuple[int, ...]

    @classmethod
    def of(cls, torch: Any, example_inputs: Sequence[Any]) -> GraphInputs:
        """ModelError when an input is no tensor of fixed shape on the CPU."""
        varying: list[int] = []
        weights: list[int] = []
        for position, value in enumerate(example_inputs):
            _check_input(torch, position, value)
            (weights if _is_weight(torch, value) else varying).append(position)
        if not varying:
            raise ModelError("it has no inputs besides its weights, so there is nothing to run it on")
        return cls(tuple(varying), tuple(weights))


def graph_model(torch: Any, graph: Any, inputs: GraphInputs, example_inputs: Sequence[Any]) -> Model:
    """The captured graph as a model, its weights as constants. ModelError when it cannot be one."""
    frozen = _with_constants(torch, spelled_out(torch, graph), inputs, example_inputs)
    examples = tuple(example_inputs[position].detach() for position in inputs.varying)
    with torch._guards.tracing(None):  # the tracer that called us keeps its state to itself
        program = trace(torch, frozen, examples, {}, NAME)
        wanted = _check_outputs(torch, program)
        model = exported_model(torch, program, NAME)
    if random := sorted({node.op_type for node in model.proto.graph.node} & set(RANDOM)):
        raise ModelError(f"it draws random numbers ({', '.join(random)}); set the module to evaluation mode")
    if len(model.inputs) != len(examples) or len(model.outputs) != wanted:
        raise ModelError("some of its inputs are not used, or some of its outputs are given twice")
    return model


def build(model: Model, options: BackendOptions) -> Executable:
    """The model built with the best records there are, after tuning where that is asked for."""
    partition, target = partition_model(model), detect()
    if options.minutes:
        with open_database(str(options.database)) as database:
            tuned = optimize_model(partition, target, TuneOptions(Budget(minutes=options.minutes)), database)
        if tuned.build is not None:
            return tuned.build.executable
    if not options.database.exists():
        return compile_model(partition, {}, target).executable
    with open_database(str(options.database), must_exist=True) as database:
        switched = partition.switched(choice_of(group_options(partition), database, target))
        schedules = recorded_schedules(switched, database, target)
    return compile_model(switched, schedules, target).executable


class CompiledGraph:
    """A built graph as PyTorch calls it: tensors in, a tuple of tensors out, without gradients.

    Weights are constants of the build. Once one of them has been changed in place, the graph runs in PyTorch again.
    """

    def __init__(
        self, torch: Any, graph: Any, inputs: GraphInputs, example_inputs: Sequence[Any], executable: Executable
    ) -> None:
        self.executable = executable
        self._torch = torch
        self._graph = graph
        self._names = dict(zip(inputs.varying, (spec.name for spec in executable.inputs), strict=True))
        self._weights = tuple(example_inputs[position] for position in inputs.weights)
        self._versions = self._weight_versions()
        self._needs_gradients = any(weight.requires_grad for weight in self._weights)
        self._has_warned = False

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        if self._weight_versions() != self._versions:
            self._warn("weights were changed after the graph was built, so PyTorch runs it; compile the module again")
            return tuple(self._graph.forward(*inputs))
        if self._torch.is_grad_enabled() and self._needs_gradients:
            self._warn("outputs carry no gradients: flextune is for inference; call the module under torch.no_grad()")
        given = {name: _array(inputs[position]) for position, name in self._names.items()}
        results = self.executable.run(given)
        return tuple(self._torch.from_numpy(np.asarray(results[spec.name])) for spec in self.executable.outputs)

    def _weight_versions(self) -> tuple[int, ...]:
        return tuple(weight._version for weight in self._weights)

    def _warn(self, text: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(f"flextune: {text}", stacklevel=3)


def _check_input(torch: Any, position: int, value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        raise ModelError(
            f"input {position} is {type(value).__name__}, not a tensor: sizes that change from call to call are not "
            "supported; use torch.compile(..., dynamic=False)"
        )
    if any(not isinstance(size, int) for size in value.shape):
        raise ModelError(f"input {position} has no fixed shape; use torch.compile(..., dynamic=False)")
    if value.device.type != "cpu":
        raise ModelError(f"input {position} is on {value.device}; expected tensors on the CPU")


def _is_weight(torch: Any, value: Any) -> bool:
    """Parameters, and buffers, which Dynamo marks as inputs that stay at their place."""
    return isinstance(value, torch.nn.Parameter) or bool(getattr(value, "_dynamo_static_input_type", None))


def _with_constants(torch: Any, graph: Any, inputs: GraphInputs, example_inputs: Sequence[Any]) -> Any:
    """The graph as a module of its varying inputs alone."""

    class WithConstants(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.graph = graph
            for position in inputs.weights:
                self.register_buffer(f"weight{position}", example_inputs[position].detach())

        def forward(self, *varying: Any) -> Any:
            given = dict(zip(inputs.varying, varying, strict=True))
            every = [given[p] if p in given else getattr(self, f"weight{p}") for p in range(len(example_inputs))]
            return self.graph(*every)

    return WithConstants()


def _check_outputs(torch: Any, program: Any) -> int:
    """How many outputs the program has; ModelError unless all of them are tensors."""
    outputs = program.graph_signature.output_specs
    if any(not isinstance(spec.arg, torch.export.graph_signature.TensorArgument) for spec in outputs):
        raise ModelError("some of its outputs are not tensors")
    return len(outputs)


def _array(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array
