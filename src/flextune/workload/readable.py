"""Names that a person knows for what records are of: `conv2d 3x3 64->64 56x56 + relu`, not `tir:name=...,sha=...`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

Shape = tuple[int, ...]

_OBJECTIVE: Final = "objective:"
_LONG_NAMES: Final = (
    *("adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"),
    *("batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm", "log_softmax", "permute_dims"),
    *("conv1d_transpose", "conv2d_transpose", "conv3d_transpose", "strided_slice", "leaky_relu", "expand_dims"),
    *("broadcast_to", "hard_sigmoid", "hard_swish", "gather_nd", "squared_difference"),
)
"""Operators whose name has an underscore: in the name of a fused kernel one stands between operators too."""

_WORDS: Final = re.compile("|".join((*sorted(_LONG_NAMES, key=len, reverse=True), "[^_]+")))
_QUIET: Final = {"dtype": "float32", "epilogue": "none", "weights": "dynamic"}
"""Parameters that are not shown at these values."""

_WINOGRAD_TILES: Final = {16: 2, 36: 4}
"""Outputs of a tile along one axis, by the elements of the transformed 3x3 kernel: F(2x2, 3x3) and F(4x4, 3x3)."""


@lru_cache(maxsize=4096)
def readable_name(text: str, body: str | None = None) -> str:
    """Of a workload's text and, for a model's program, its body. A text that is of no known form stays as it is.

    >>> readable_name("gemm:m=64,n=32,k=16,dtype=float32")
    'gemm m=64 n=32 k=16'
    >>> readable_name("conv2d:n=1,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1,dtype=float32,epilogue=relu")
    'conv2d 3x3 64->64 56x56 pad=1 + relu'
    """
    operator, colon, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",")]
    if not colon or text.startswith(_OBJECTIVE) or not all(equals for _, equals, _ in pairs):
        return text
    params = {name: value for name, _, value in pairs}
    if operator == "tir":
        return _program_name(params.get("name", operator), None if body is None else _signature(body))
    return _operator_name(operator, params)


def _operator_name(operator: str, params: Mapping[str, str]) -> str:
    left = {name: value for name, value in params.items() if _QUIET.get(name) != value}
    axes = [axis for axis in ("d", "h", "w") if axis in left]
    words = [operator]
    if {"ci", "co"} <= left.keys() and axes and all(f"k{axis}" in left for axis in axes):
        words.append("x".join(left.pop(f"k{axis}") for axis in axes))
        words.append(f"{left.pop('ci')}->{left.pop('co')}")
        words.append("x".join(left.pop(axis) for axis in axes))
        if left.get("n") == "1":
            del left["n"]
    tail = left.pop("epilogue", "")
    dtype = left.pop("dtype", "")
    words += [f"{name}={value}" for name, value in left.items()]
    return " ".join([*words, *([dtype] if dtype else [])]) + (f" + {tail.replace('+', ' + ')}" if tail else "")


@dataclass(frozen=True, slots=True)
class _Signature:
    """The tensors that a program takes, the last of which it gives."""

    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]


def _program_name(name: str, signature: _Signature | None) -> str:
    operators = _WORDS.findall(name)
    if signature is None or not operators:
        return " + ".join(operators) or name
    main = f"{operators[0]} {_sizes(operators[0], signature)}"
    dtype = signature.dtypes[0]
    words = main if dtype == "float32" else f"{main} {dtype}"
    return " + ".join((words, *operators[1:]))


def _sizes(operator: str, signature: _Signature) -> str:
    *inputs, result = signature.shapes
    if not inputs:
        return _size(result)
    if re.fullmatch(r"conv[123]d", operator) and len(inputs) > 1:
        found = _convolution(int(operator[4]), inputs[0], inputs[1], result)
        if found:
            return found
    if operator == "matmul" and len(inputs) > 1:
        return f"{_size(inputs[0])} @ {_size(inputs[1])}"
    return _size(inputs[0]) if inputs[0] == result else f"{_size(inputs[0])}->{_size(result)}"


def _convolution(dimensions: int, data: Shape, weight: Shape, result: Shape) -> str | None:
    """`3x3 64->64 56x56` where the tensors fit one of the layouts that kernels have; None otherwise."""
    if dimensions == 2 and len(weight) == 3 and weight[0] in _WINOGRAD_TILES and len(data) == 4:
        tile = _WINOGRAD_TILES[weight[0]]
        return f"3x3 {weight[1]}->{weight[2]} {_size(data[1:3])} (winograd {tile}x{tile})"
    for before in _images(dimensions, data):
        for after in _images(dimensions, result):
            for kernel in (weight[:dimensions], weight[2 : 2 + dimensions]):
                if len(kernel) == dimensions and math.prod(weight) == math.prod(kernel) * before[0] * after[0]:
                    return f"{_size(kernel)} {before[0]}->{after[0]} {_size(before[1])}"
    return None


def _images(dimensions: int, shape: Shape) -> list[tuple[int, Shape]]:
    """Channels and extents, as each layout that a tensor of this rank can have would read it."""
    if len(shape) == dimensions + 3:
        return [(shape[1] * shape[-1], shape[2:-1])]
    if len(shape) == dimensions + 2:
        return [(shape[-1], shape[1:-1]), (shape[1], shape[2:])]
    return []


def _size(shape: Sequence[int]) -> str:
    """`56x56x64`; a leading 1, the batch of one, is left out."""
    shown = shape[1:] if len(shape) > 2 and shape[0] == 1 else shape
    return "x".join(map(str, shown)) or "scalar"


def _signature(body: str) -> _Signature | None:
    """Of a program as TVM's JSON graph, read without TVM; None for one whose tensors have no fixed sizes."""
    try:
        graph = json.loads(body)
        nodes = graph["nodes"]
        types = [nodes[nodes[each]["data"]["ty"]]["data"] for each in _list(nodes, _root(graph), "params")]
        shapes = tuple(tuple(_integer(nodes, size) for size in nodes[each["shape"]]["data"]) for each in types)
        dtypes = tuple(str(nodes[each["dtype"]]["data"]["dtype"]) for each in types)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return _Signature(shapes, dtypes) if shapes else None


def _root(graph: Mapping[str, Any]) -> Mapping[str, Any]:
    root: Mapping[str, Any] = graph["nodes"][graph["root_index"]]["data"]
    return root


def _list(nodes: Sequence[Any], owner: Mapping[str, Any], name: str) -> Sequence[int]:
    found: Sequence[int] = nodes[owner[name]]["data"]
    return found


def _integer(nodes: Sequence[Any], index: int) -> int:
    node = nodes[index]
    if node["type"] != "ir.IntImm":
        raise ValueError("a size that is no number")
    value = nodes[node["data"]["value"]]
    return int(value["data"] if isinstance(value, dict) else value)
