"""Weights kept in files beside a model: where they may lie, and whether they are whole.

The locations stand in the model file, which may come from anybody: only relative paths that stay in the model's folder
are followed (ONNX, docs/ExternalData.md, asks for the same).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from onnx.external_data_helper import load_external_data_for_tensor

from flextune.errors import ModelError


def external_bytes(proto: onnx.ModelProto, source: Path) -> int:
    """Bytes that the model at `source` keeps in other files, all of them checked to be there and long enough.

    Raises ModelError for a file that is missing or too short, and for a path that leaves the model's folder.
    """
    return sum(_checked_length(tensor, source) for tensor in external_tensors(proto))


def read_external(proto: onnx.ModelProto, source: Path) -> None:
    """Read every external tensor into the model, in place; `external_bytes` has checked it before."""
    for tensor in external_tensors(proto):
        load_external_data_for_tensor(tensor, str(source.parent))
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def external_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All tensors of a model that lie outside of it, also those in nested graphs and functions."""
    graphs = [proto.graph]
    nodes = [node for function in proto.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from (tensor for tensor in graph.initializer if _is_external(tensor))
            nodes.extend(graph.node)
            continue
        for entry in nodes.pop().attribute:
            yield from (tensor for tensor in (entry.t, *entry.tensors) if _is_external(tensor))
            graphs.extend([entry.g] if entry.type == onnx.AttributeProto.GRAPH else entry.graphs)


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _checked_length(tensor: onnx.TensorProto, source: Path) -> int:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    offset, length = (_size(entries.get(key), key, tensor.name, source) for key in ("offset", "length"))
    file = _file(entries.get("location", ""), tensor.name, source)
    present = file.stat().st_size
    needed = (offset or 0) + (length or 0)
    if needed > present:
        raise ModelError(
            f"{source}: tensor {tensor.name!r} needs {needed} bytes of {file.name}, which has {present}: "
            "the file is truncated; download or export the model again"
        )
    return present - (offset or 0) if length is None else length


def _file(location: str, name: str, source: Path) -> Path:
    """The file at `location`, which must lie in the model's folder, symbolic links followed."""
    relative = PurePosixPath(location)
    is_inside = bool(location) and not relative.is_absolute() and not PureWindowsPath(location).anchor
    if not is_inside or ".." in (*relative.parts, *PureWindowsPath(location).parts):
        raise ModelError(
            f"{source}: tensor {name!r} is kept in {location!r}, which is not a path inside the model's folder; "
            "external data must lie beside the model"
        )
    folder = source.parent
    file = folder / relative
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ModelError(
            f"{source}: tensor {name!r} is kept in {location!r}, a link that leads out of the model's folder; "
            "put the file itself beside the model"
        )
    if not file.is_file():
        raise ModelError(
            f"{source}: tensor {name!r} is kept in {file}, which is missing; a model with external data is several "
            "files: copy or download all of them"
        )
    return file


def _size(text: str | None, key: str, name: str, source: Path) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ModelError(f"{source}: tensor {name!r}: expected a number of bytes as {key} of its data, got {text!r}")
    return int(text)
