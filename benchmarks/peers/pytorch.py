"""PyTorch in eager mode: for each operator the function that a user calls, and oneDNN's own entry where there is one.

Channels-last data are PyTorch's `channels_last`; weights are laid out beforehand as PyTorch keeps them in that format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.peers.call import BFLOAT16_ROUNDING, Call, Job, UnsupportedError
from flextune.measure.data import KernelData
from flextune.platforms.base import Array
from flextune.workload.element_type import BFLOAT16
from flextune.workload.windows import Window, read_window
from flextune.workload.workload import Workload

_Compute = Callable[[], Any]


def prepare(job: Job, data: KernelData) -> list[Call]:
    """Every way that PyTorch has for this operator; outputs are written in place where the function can."""
    torch.set_num_threads(job.threads)
    workload = job.workload
    if dict(workload.params).get("epilogue", "none") != "none":
        raise UnsupportedError("PyTorch fuses no epilogue in eager mode")
    family = _FAMILIES.get(workload.operator)
    if family is None:
        raise UnsupportedError(f"PyTorch has no {workload.operator}")
    ways = family(workload, [_tensor(array, workload.dtype) for array in data.inputs])
    rounding = BFLOAT16_ROUNDING if workload.dtype == "bfloat16" else 0.0
    return [_call(workload, name, compute, rounding) for name, compute in ways.items()]


def _call(workload: Workload, name: str, compute: _Compute, rounding: float) -> Call:
    last: list[Any] = []

    def run() -> None:
        last[:] = [compute()]

    return Call(run, lambda: _array(workload, last[0]), name, rounding)


def _tensor(array: Array, dtype: str) -> Any:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" and array.dtype == np.uint16 else tensor


def _array(workload: Workload, tensor: Any) -> Array:
    """The output in the workload's layout and type."""
    if _channels_last(workload):
        tensor = tensor.movedim(1, -1)
    output = workload.outputs[0]
    if output.element == BFLOAT16:
        tensor = tensor.to(torch.bfloat16).view(torch.uint16)
    found: Array = tensor.to(getattr(torch, output.dtype)).contiguous().numpy()
    return found


def _gemm(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    left = tensors[0].T if workload.param("ta") else tensors[0]
    right = tensors[1].T if workload.param("tb") else tensors[1]
    if workload.dtype == "uint8":
        out = torch.empty(left.shape[0], right.shape[1], dtype=torch.int32)
        return {"torch._int_mm": lambda: torch._int_mm(left, right, out=out)}
    out = torch.empty(left.shape[0], right.shape[1], dtype=left.dtype)
    linear = torch.ops.mkldnn._linear_pointwise
    rows, weight = left.contiguous(), right.T  # views, apart from a transposed A
    return {
        "torch.mm": lambda: torch.mm(left, right, out=out),
        "oneDNN linear": lambda: linear(rows, weight, None, "none", [], ""),
    }


def _bmm(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    _only_floats(workload)
    right = tensors[1].transpose(1, 2) if workload.param("tb") else tensors[1]
    out = torch.empty(workload.outputs[0].shape, dtype=right.dtype)
    return {"torch.bmm": lambda: torch.bmm(tensors[0], right, out=out)}


def _gemv(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    _only_floats(workload)
    out = torch.empty(workload.outputs[0].shape, dtype=tensors[0].dtype)
    return {"torch.mv": lambda: torch.mv(tensors[0], tensors[1], out=out)}


def _convolution(dimensions: int) -> Callable[[Workload, list[Any]], dict[str, _Compute]]:
    function = (functional.conv1d, functional.conv2d, functional.conv3d)[dimensions - 1]

    def ways(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
        _only_floats(workload)
        window, data = read_window(workload.checked_params, dimensions), tensors[0]
        pad = _symmetric(window)
        depthwise = workload.operator == "depthwise"
        groups = int(workload.param("c" if depthwise else "groups"))
        weight = tensors[1]
        if _channels_last(workload):
            data = data.movedim(-1, 1)
            weight = _as_channels_last(weight.movedim((-1, -2), (0, 1)))
        return {
            f"torch conv{dimensions}d": lambda: function(
                data, weight, None, window.stride, pad, window.dilation, groups
            )
        }

    return ways


def _transposed(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    _only_floats(workload)
    params = workload.checked_params
    window, (data, weight) = read_window(params, 2), tensors
    pad, extra = _symmetric(window), params.per_dimension("output_padding", 2)
    if _channels_last(workload):
        data = data.movedim(-1, 1)
        weight = _as_channels_last(weight.movedim((-2, -1), (0, 1)))
    return {
        "torch conv_transpose2d": lambda: functional.conv_transpose2d(
            data, weight, None, window.stride, pad, extra, 1, window.dilation
        )
    }


def _pool(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    params = workload.checked_params
    before, after = params.pads(2)
    if before != after:
        raise UnsupportedError("PyTorch pads both ends alike")
    kernel, stride = params.integers("kh", "kw"), params.per_dimension("stride", 2)
    data = tensors[0].movedim(-1, 1) if _channels_last(workload) else tensors[0]
    if workload.param("kind") == "max":
        return {"torch max_pool2d": lambda: functional.max_pool2d(data, kernel, stride, before)}
    counted = bool(workload.param("include_pad"))
    return {"torch avg_pool2d": lambda: functional.avg_pool2d(data, kernel, stride, before, count_include_pad=counted)}


def _softmax(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    del workload
    return {"torch softmax": lambda: torch.softmax(tensors[0], 1)}


def _layer_norm(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    data, gamma, beta = tensors
    epsilon = float(workload.param("epsilon"))
    return {"torch layer_norm": lambda: functional.layer_norm(data, data.shape[1:], gamma, beta, epsilon)}


def _reduce(workload: Workload, tensors: list[Any]) -> dict[str, _Compute]:
    data, axis, op = tensors[0], int(workload.param("axis")), str(workload.param("op"))
    out = torch.empty(workload.outputs[0].shape)
    ways: dict[str, _Compute] = {
        "sum": lambda: torch.sum(data, axis, out=out),
        "mean": lambda: torch.mean(data, axis, out=out),
        "variance": lambda: torch.var(data, axis, correction=0, out=out),
    }
    return {f"torch {op}": ways[op]}


def _only_floats(workload: Workload) -> None:
    if workload.dtype == "uint8":
        raise UnsupportedError(f"PyTorch has no {workload.operator} of uint8 by int8 into int32")


def _channels_last(workload: Workload) -> bool:
    return str(dict(workload.params).get("layout", "")).endswith("c")


def _as_channels_last(weight: Any) -> Any:
    """Weights [co, ci, kernel] in the memory order that PyTorch's channels-last convolutions take."""
    if weight.dim() == 3:
        return weight.contiguous()
    return weight.contiguous(memory_format=torch.channels_last if weight.dim() == 4 else torch.channels_last_3d)


def _symmetric(window: Window) -> tuple[int, ...]:
    if window.before != window.after:
        raise UnsupportedError("PyTorch pads both ends alike")
    return window.before


_FAMILIES: dict[str, Callable[[Workload, list[Any]], dict[str, _Compute]]] = {
    "gemm": _gemm,
    "bmm": _bmm,
    "gemv": _gemv,
    "conv1d": _convolution(1),
    "conv2d": _convolution(2),
    "conv3d": _convolution(3),
    "depthwise": _convolution(2),
    "conv2d_transpose": _transposed,
    "pool2d": _pool,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "reduce": _reduce,
}
