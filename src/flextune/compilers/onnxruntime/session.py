"""Sessions of ONNX Runtime on graphs whose large constants lie outside of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import onnx

from flextune.compilers.subgraph_compiler import SubgraphOptions, Weights
from flextune.errors import BuildError, EnvironmentFault
from flextune.importing.external import external_tensors
from flextune.importing.operators import all_nodes

CPU = "CPUExecutionProvider"

_READS_FILES = frozenset({"EPContext"})
"""Operators that name files to be loaded."""


def runtime() -> ModuleType:
    """ONNX Runtime itself. EnvironmentFault where it is not installed."""
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise EnvironmentFault(
            "ONNX Runtime is not installed, and runs parts of this model; install it with "
            "`pip install 'flextune[onnxruntime]'`"
        ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """A session, and what it reads in place: the arrays must live as long as it does."""

    session: Any
    constants: Sequence[Any]


def open_session(content: bytes, weights: Weights, options: SubgraphOptions) -> Session:
    """A session of a serialised graph, which may come from anywhere: it reads no file, and no operator but its own.

    BuildError for a graph that ONNX Runtime does not take, EnvironmentFault for a provider that is not there.
    """
    library = runtime()
    external = _checked_constants(content, weights)
    settings = library.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = options.threads
    if not options.alone:
        settings.add_session_config_entry("session.force_spinning_stop", "1")
    values = [_value(library, tensor, weights[tensor.name]) for tensor in external]
    if values:
        settings.add_external_initializers([tensor.name for tensor in external], values)
    providers = list(_providers(library, options.providers))
    try:
        session = library.InferenceSession(content, settings, providers=providers)
    except Exception as error:  # its exceptions have no common base but this one
        raise BuildError(f"ONNX Runtime does not take its part of the model: {_first_line(error)}") from error
    return Session(session, values)


def types_of(model: onnx.ModelProto) -> Mapping[str, onnx.TypeProto]:
    """The types of all values as ONNX Runtime infers them, also of its own operators; without running anything.

    Nothing is known of a model that it does not take; what it says to that comes when its part is compiled.
    """
    library = runtime()
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    names = [name for node in model.graph.node for name in node.output if name]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    settings = library.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = library.InferenceSession(asked.SerializeToString(), settings, providers=[CPU])
    except Exception:  # noqa: BLE001 - as in open_session
        return {}
    return {value.name: _type_of(value) for value in session.get_outputs()}


def _checked_constants(content: bytes, weights: Weights) -> list[onnx.TensorProto]:
    """The constants that the graph keeps outside, all of which are among the weights. BuildError for other graphs."""
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, which differ between its implementations
        raise BuildError(f"a part of the model is no ONNX graph: {_first_line(error)}") from error
    external = list(external_tensors(proto))
    inside = {id(tensor) for tensor in proto.graph.initializer}
    for tensor in external:
        if id(tensor) not in inside or tensor.name not in weights:
            raise BuildError(f"a part of the model keeps its constant {tensor.name!r} in another file")
    if found := sorted({node.op_type for node in all_nodes(proto.graph)} & _READS_FILES):
        raise BuildError(f"a part of the model uses {found[0]}, which reads other files")
    return external


def _value(library: ModuleType, tensor: onnx.TensorProto, array: np.ndarray) -> Any:
    """The constant over the memory of the array."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if array.dtype != dtype or array.shape != tuple(tensor.dims):
        raise BuildError(f"the constant {tensor.name!r} of a part of the model is not as its graph says")
    if dtype.kind in "biuf" and dtype.isbuiltin == 1:
        return library.OrtValue.ortvalue_from_numpy(array)
    bits: np.ndarray = array.view(f"uint{8 * dtype.itemsize}")
    return library.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, tensor.data_type)


def _providers(library: ModuleType, asked: Sequence[str]) -> Sequence[str]:
    present = library.get_available_providers()
    if missing := [name for name in asked if name not in present]:
        raise EnvironmentFault(
            f"this installation of ONNX Runtime has no execution provider {missing[0]!r}; it has {', '.join(present)}"
        )
    return [*asked, CPU] if CPU not in asked else asked


def _type_of(value: Any) -> onnx.TypeProto:
    """From ONNX Runtime's words: `tensor(float)` with sizes, `seq(tensor(float))`.

    No sizes mean a scalar, or that not even their number is known: the latter is what is certain.
    """
    return _parsed(value.type, value.shape or None)


_ELEMENTS = {
    "float": onnx.TensorProto.FLOAT,
    "double": onnx.TensorProto.DOUBLE,
    **{kind.lower(): number for kind, number in onnx.TensorProto.DataType.items()},
}


def _parsed(text: str, shape: Sequence[int | str | None] | None) -> onnx.TypeProto:
    outer, _, rest = text.partition("(")
    inner = rest.removesuffix(")")
    if outer == "tensor" and inner in _ELEMENTS:
        return onnx.helper.make_tensor_type_proto(_ELEMENTS[inner], shape)
    if outer == "seq":
        return onnx.helper.make_sequence_type_proto(_parsed(inner, None))
    if outer == "optional":
        return onnx.helper.make_optional_type_proto(_parsed(inner, None))
    return onnx.TypeProto()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
