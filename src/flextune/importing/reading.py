"""From a path to a whole, valid ONNX proto, or one clear error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from flextune.errors import ModelError
from flextune.importing.external import external_bytes, read_external
from flextune.importing.inference import inferred_graph
from flextune.importing.onnx_graph import nested_graphs
from flextune.target.memory import require_memory

LARGE_ELEMENTS = 1024
"""Initializers of more elements are checked apart from the graph: ONNX's checker would copy them, up to 2 GiB."""

MISPLACED = frozenset({"SimplifiedLayerNormalization"})
"""Operators that are in the default domain of ONNX Runtime and in none of ONNX."""

_ABOUT = "doc_string"

FIXED_SIZES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16})
"""Element types whose values fill whole bytes of a tensor's raw data (`TensorProto.DataType`)."""


def read_proto(source: Path) -> onnx.ModelProto:
    """The model with all its weights. ModelError for a missing or damaged file, and where memory is too small."""
    if not source.exists():
        raise ModelError(f"no model file at {source}")
    if source.is_dir():
        raise ModelError(f"{source} is a folder; give the path of an .onnx file")
    file_bytes = source.stat().st_size
    if file_bytes == 0:
        raise ModelError(f"{source} is empty (0 bytes); download or export the model again")
    require_memory(file_bytes, f"{source}")
    proto = _parsed(source, file_bytes)
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{source} holds no graph: it is not an ONNX model, or is truncated; export it again")
    require_memory(file_bytes + external_bytes(proto, source), f"{source} with its external data")
    try:
        read_external(proto, source)
    except (OSError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"cannot read the external data of {source}: {first_line(error)}") from error
    return proto


def _parsed(source: Path, file_bytes: int) -> onnx.ModelProto:
    try:
        return onnx.load(str(source), load_external_data=False)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{source} is not an ONNX model, or is truncated or damaged ({file_bytes} bytes: "
            f"{first_line(error)}); download or export it again"
        ) from error
    except (OSError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"cannot read {source}: {first_line(error)}") from error


def check_proto(proto: onnx.ModelProto, source: str) -> None:
    """Raise ModelError unless the proto is a valid model by ONNX's own checker. Costs little whatever the weights."""
    if proto.ir_version < 3:
        raise ModelError(f"{source} has ONNX IR version {proto.ir_version}; 3 (ONNX 1.0) or later is needed")
    if not proto.graph.output:
        raise ModelError(f"{source} has no outputs, so there is nothing to compute: export it again with its outputs")
    for tensor in _tensors(proto.graph):
        _check_tensor(tensor, source)
    _complete_outputs(proto)
    try:
        onnx.checker.check_model(without_large(proto))
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{source} is not a valid ONNX model: {' '.join(str(error).split())}") from error


def check_names(proto: onnx.ModelProto, source: str) -> None:
    """ModelError for a name that is no text: protobuf gives bytes for what is not UTF-8, and everybody expects text."""
    for part in (proto.graph, *proto.functions, *proto.opset_import):
        _check_names(part, source)


def _check_names(message: Message, source: str) -> None:
    if isinstance(message, onnx.TensorProto):  # the others of its fields are numbers, perhaps very many
        _check_name("name", message.name, source)
        return
    for field, value in message.ListFields():
        if field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE) or field.name == _ABOUT:
            continue
        for each in [value] if isinstance(value, str | bytes | Message) else value:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                _check_names(each, source)
            else:
                _check_name(field.name, each, source)


def _check_name(field: str, value: str | bytes, source: str) -> None:
    if isinstance(value, bytes):
        raise ModelError(f"{source} is damaged: {field} {value!r:.80} is not UTF-8; export it again")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constants: initializers and those in attributes, of inner graphs too."""
    yield from graph.initializer
    for node in graph.node:
        for entry in node.attribute:
            if entry.type == onnx.AttributeProto.TENSOR:
                yield entry.t
        for inner in nested_graphs(node):
            yield from _tensors(inner)


def _complete_outputs(proto: onnx.ModelProto) -> None:
    """Give outputs that are declared without a type the one that inference finds."""
    if all(output.type.WhichOneof("value") for output in proto.graph.output):
        return
    inferred = inferred_graph(without_large(proto), follow_values=False).output
    for output, found in zip(proto.graph.output, inferred, strict=True):
        if not output.type.WhichOneof("value"):
            output.type.CopyFrom(found.type)


def _check_tensor(tensor: onnx.TensorProto, source: str) -> None:
    if tensor.data_type not in onnx.TensorProto.DataType.values():
        raise ModelError(f"{source}: tensor {tensor.name!r} has the unknown element type {tensor.data_type}")
    if tensor.data_type not in FIXED_SIZES or not tensor.HasField("raw_data") or any(size < 0 for size in tensor.dims):
        return
    needed = math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    present = len(tensor.raw_data)
    if present != needed:
        raise ModelError(
            f"{source} is not a valid ONNX model: tensor {tensor.name!r} of sizes {list(tensor.dims)} needs {needed} "
            f"bytes and has {present}"
        )


def _is_large(tensor: onnx.TensorProto) -> bool:
    return math.prod(tensor.dims) > LARGE_ELEMENTS and tensor.data_type in FIXED_SIZES


def without_large(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large initializers as inputs; outputs without a shape get one, as the inputs decide on it."""
    small = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    small.graph.name = proto.graph.name or "model"
    small.graph.node.extend(proto.graph.node)
    _place_in_own_domain(small)
    small.graph.input.extend(proto.graph.input)
    small.graph.output.extend(proto.graph.output)
    for output in small.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.shape.SetInParent()
    small.graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    listed = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        if not _is_large(tensor):
            small.graph.initializer.append(tensor)
        elif tensor.name not in listed:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            small.graph.input.append(value)
    return small


def _place_in_own_domain(proto: onnx.ModelProto) -> None:
    """ONNX Runtime's tools write some of its operators into the default domain, where ONNX knows no such ones."""
    strange = [node for node in proto.graph.node if not node.domain and node.op_type in MISPLACED]
    for node in strange:
        node.domain = "com.microsoft"
    if strange and all(entry.domain != "com.microsoft" for entry in proto.opset_import):
        proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
