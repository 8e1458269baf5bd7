"""What PyTorch takes for the same work, on the same inputs. Needs PyTorch, and no TVM."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flextune.workload.workload import Workload

Torch = Any
"""The module, or one of its tensors: it is installed where this runs."""


def torch_call(torch: Torch, workload: Workload, inputs: Sequence[np.ndarray], device: str) -> Callable[[], Torch]:
    """A function of no arguments that computes the workload on `device`; its result may be in the operands' type."""
    params, functional = workload.checked_params, torch.nn.functional
    tensors = [
        _tensor(torch, spec.element.name, array, device) for spec, array in zip(workload.inputs, inputs, strict=True)
    ]
    operator = workload.operator
    if operator in ("gemm", "bmm"):
        a, b = tensors[:2]
        left = a.T if operator == "gemm" and params.integer("ta") else a
        right = b.transpose(-1, -2) if params.integer("tb") else b
        return _with_epilogue(torch, workload, lambda: torch.matmul(left, right), tensors[2:], -1)
    if operator == "softmax":
        return lambda: torch.softmax(tensors[0], -1)
    if operator == "layer_norm":
        columns, epsilon = params.integer("cols"), float(params.text("epsilon"))
        return lambda: functional.layer_norm(tensors[0], (columns,), tensors[1], tensors[2], epsilon)
    if operator == "conv2d" and params.text("layout") == "nchw":
        stride, padding = params.integer("stride"), params.integer("pad")
        convolved = lambda: functional.conv2d(tensors[0], tensors[1], stride=stride, padding=padding)  # noqa: E731
        return _with_epilogue(torch, workload, convolved, tensors[2:], 1)
    raise ValueError(f"{workload} has no peer in PyTorch here")


def _with_epilogue(
    torch: Torch, workload: Workload, call: Callable[[], Torch], more: Sequence[Torch], axis: int
) -> Callable[[], Torch]:
    links = workload.checked_params.chain("epilogue")
    if not links:
        return call

    def whole() -> Torch:
        result = call()
        if "bias" in links:
            bias = more[0].to(result.dtype)
            result = result + (bias if axis == -1 else bias.reshape(1, -1, 1, 1))
        return torch.relu(result) if "relu" in links else result

    return whole


def _tensor(torch: Torch, element: str, array: np.ndarray, device: str) -> Torch:
    if element == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.from_numpy(array).to(device)


def timed(torch: Torch, call: Callable[[], Torch], number: int, device: str) -> float:
    """Seconds of one of `number` calls."""
    if device == "cpu":
        start = time.perf_counter()
        for _ in range(number):
            call()
        return (time.perf_counter() - start) / number
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(number):
        call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) * 1e-3 / number
