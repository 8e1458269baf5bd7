"""PyTorch modules as models: traced by `torch.export`, written as ONNX by `torch.onnx`, read as any ONNX model.

So there is one importer and one simplifier, whatever a model came from.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

import onnx

from flextune.errors import ModelError, UsageError
from flextune.importing.model import Model, model_from_proto
from flextune.importing.torch_formulas import with_right_formulas
from flextune.importing.torch_fused import without_fast_path
from flextune.importing.torch_operators import operators_read_once
from flextune.importing.torch_sizes import DynamicShapes, ExportedSizes, check_conditions, chosen_names, exported_sizes
from flextune.torch_import import load_torch
from flextune.torch_types import ExportedProgram, Torch, TorchModule, TorchTensor

OPSET = 20
"""What torch.onnx writes and TVM's importer reads without conversion."""

EXTRA = "torch"

ExampleInputs: TypeAlias = "TorchTensor | tuple[object, ...] | list[object] | Mapping[str, object]"
"""The arguments of one call: a tensor, several by position, or by name."""


def from_torch(
    module: TorchModule | ExportedProgram,
    example_inputs: ExampleInputs,
    *,
    name: str | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_shapes: DynamicShapes | None = None,
) -> Model:
    """A PyTorch module (in evaluation mode), or a `torch.export.ExportedProgram`, as a model with its weights.

    `example_inputs` are the arguments of one call: a tensor, a tuple of them, or a dictionary of keyword arguments;
    their shapes become the model's. `dynamic_shapes` says which of their sizes differ from call to call, as in
    `torch.export.export`: `{"x": {0: torch.export.Dim("batch", min=1, max=8)}}`, or `Dim.AUTO` and `Dim.DYNAMIC`, whose
    ranges PyTorch finds; one build is for all of them. ModelError when the module cannot be traced (with such sizes) or
    written as ONNX, UsageError without torch.

    >>> model = flextune.from_torch(torch.nn.Linear(8, 4), torch.randn(1, 8))   # doctest: +SKIP
    """
    torch = load_torch("flextune.from_torch", EXTRA)
    _require_onnxscript()
    label = name or type(module).__name__
    names: dict[str, str] = {}
    if isinstance(module, torch.export.ExportedProgram):
        if dynamic_shapes is not None:
            raise UsageError("dynamic_shapes are for modules; an ExportedProgram has been traced with its own")
        program = module
    elif isinstance(module, torch.nn.Module):
        arguments, keywords = _arguments(torch, example_inputs)
        if isinstance(dynamic_shapes, torch.export.ShapesCollection):
            dynamic_shapes = dynamic_shapes.dynamic_shapes(module, arguments, keywords)
        program = trace(torch, module, arguments, keywords, label, dynamic_shapes)
        names = chosen_names(torch, program, module, arguments, keywords, dynamic_shapes)
    else:
        raise UsageError(f"expected a torch.nn.Module or an ExportedProgram, got {type(module).__name__}")
    exported = exported_proto(torch, program, label, input_names, output_names, names)
    check_conditions(torch, program, exported.sizes, label)
    return model_from_proto(exported.proto, label, source=label, dims=exported.sizes.dims)


def trace(
    torch: Torch,
    module: TorchModule,
    arguments: tuple[object, ...],
    keywords: dict[str, object],
    name: str,
    dynamic_shapes: DynamicShapes | None = None,
) -> ExportedProgram:
    """The module's graph for inputs of these shapes, in evaluation mode. ModelError when it cannot be traced."""
    with _evaluating(module), without_fast_path(torch), torch.no_grad(), _quiet():
        try:
            return torch.export.export(module, arguments, keywords, dynamic_shapes=dynamic_shapes, strict=False)
        except Exception as error:  # whatever the module's own code raises under the tracer
            if dynamic_shapes is not None:
                raise ModelError(
                    f"torch.export cannot trace {name} with sizes that change: {_all_lines(error)}"
                ) from error
            raise ModelError(
                f"torch.export cannot trace {name}: {_first_line(error)}; it must run without control flow that "
                "depends on values"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class ExportedOnnx:
    """A program as ONNX, and the sizes of its inputs."""

    proto: onnx.ModelProto
    sizes: ExportedSizes


def exported_proto(
    torch: Torch,
    program: ExportedProgram,
    name: str,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    size_names: Mapping[str, str] | None = None,
) -> ExportedOnnx:
    """An exported program as ONNX. ModelError for one that changes its inputs or buffers, or is not ONNX's.

    `size_names` are what to call PyTorch's symbols.
    """
    with _quiet(), operators_read_once():
        functional = with_right_formulas(torch, program)
        _check_changes_nothing(functional, name)
        _check_elements(torch, functional, name)
        sizes = exported_sizes(torch, functional, size_names or {}, name)
        try:
            written = torch.onnx.export(
                functional,
                dynamo=True,
                opset_version=OPSET,
                input_names=None if input_names is None else list(input_names),
                output_names=None if output_names is None else list(output_names),
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter wraps what any of its converters raises
            raise ModelError(f"{name} cannot be written as ONNX: {_cause(error)}") from error
    proto = written.model_proto  # which is made anew each time that it is asked for
    sizes.set_inputs(proto)
    return ExportedOnnx(proto, sizes)


def _check_changes_nothing(functional: ExportedProgram, name: str) -> None:
    signature = functional.graph_signature
    if changed := [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]:
        raise ModelError(
            f"{name} changes {', '.join(changed[:4])} while it runs; only modules in evaluation mode that leave their "
            "inputs and buffers as they are can be compiled"
        )


def _check_elements(torch: Torch, program: ExportedProgram, name: str) -> None:
    """ModelError for an input or output without elements."""
    given = set(program.graph_signature.user_inputs) | set(program.graph_signature.user_outputs)
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.name not in given or not isinstance(value, torch.Tensor):
            continue
        if any(isinstance(size, int) and size == 0 for size in value.shape):
            raise ModelError(
                f"{name}: {node.name} of shape [{', '.join(map(str, value.shape))}] has no elements; give example "
                "inputs of at least one element"
            )


def _arguments(torch: Torch, example_inputs: ExampleInputs) -> tuple[tuple[object, ...], dict[str, object]]:
    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, tuple | list):
        return tuple(example_inputs), {}
    raise UsageError(
        "example_inputs: expected a tensor, a tuple of tensors, or a dictionary of keyword arguments, got "
        f"{type(example_inputs).__name__}"
    )


def _require_onnxscript() -> None:
    if find_spec("onnxscript") is None:
        raise UsageError(f"models from PyTorch need onnxscript: pip install 'flextune[{EXTRA}]'")


@contextmanager
def _evaluating(module: TorchModule) -> Iterator[None]:
    """The module in evaluation mode; each of its parts gets back the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's advice about packages and its deprecations, which are not the user's concern."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _cause(error: BaseException) -> str:
    """The first line of what started a chain of exceptions."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


_NO_ADVICE = ("For more information", "The error above occurred", "If you would like to view")


def _all_lines(error: BaseException) -> str:
    """All that an error says, as one line, without advice about PyTorch's own tools."""
    lines = (line.strip() for line in str(error).splitlines())
    kept = [re.split("|".join(_NO_ADVICE), line)[0].strip() for line in lines]
    return " ".join(filter(None, kept)) or type(error).__name__
