"""PyTorch, eager and compiled: in inference mode, in bfloat16 with all weights converted.

Convolutional networks are tried channels-first and channels-last, the faster is taken. Compiled models are frozen:
weights are constants then, which is what lets the compiler fold batch norms and pack weights for its own kernels.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch._inductor.config
from torch import nn

from benchmarks.model_peers.call import BFLOAT16, FLOAT32, ModelCall, ModelJob, timed
from benchmarks.model_zoo.inputs import Arrays
from benchmarks.peers.call import UnsupportedError

_DTYPES = {FLOAT32: torch.float32, BFLOAT16: torch.bfloat16}
_COMPILERS = ("g++", "clang++", "c++")


def prepare(job: ModelJob) -> list[ModelCall]:
    """Eager mode."""
    return [_call(job, last, lambda module: module) for last in _layouts(job)]


def prepare_compiled(job: ModelJob) -> list[ModelCall]:
    """`torch.compile(mode="max-autotune")`, which needs a C++ compiler."""
    if not any(map(shutil.which, _COMPILERS)):
        raise UnsupportedError("torch.compile needs a C++ compiler, none is installed")
    torch._inductor.config.freezing = True
    return [_call(job, last, _compiled) for last in _layouts(job)[-1:]]


def _layouts(job: ModelJob) -> tuple[bool, ...]:
    """Whether to use channels-last tensors. A compiler lays out data by itself: there one try is enough."""
    return (False, True) if job.zoo_model.convolutional else (False,)


def _compiled(module: nn.Module) -> Callable[..., Any]:
    compiled: Callable[..., Any] = torch.compile(module, mode="max-autotune", dynamic=False)
    return compiled


def _call(job: ModelJob, channels_last: bool, wrap: Callable[[nn.Module], Callable[..., Any]]) -> ModelCall:
    torch.set_num_threads(job.threads)
    dtype = _DTYPES[job.precision]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = _module(job).to(dtype=dtype).to(memory_format=layout)
    function = wrap(module)

    def tensors(inputs: Arrays) -> list[torch.Tensor]:
        return [_tensor(array, dtype, layout) for array in inputs.values()]

    def compute(inputs: Arrays) -> Sequence[np.ndarray]:
        with torch.no_grad():
            return [each.float().contiguous().numpy() for each in function(*tensors(inputs))]

    placed = tensors(job.inputs(0))

    def run() -> None:
        with torch.no_grad():
            function(*placed)

    return ModelCall(timed(run), compute, job.precision, "channels last" if channels_last else "")


def _module(job: ModelJob) -> nn.Module:
    """The model with the weights of its ONNX file."""
    if job.zoo_model.is_light:
        from benchmarks.model_zoo.onnx_to_torch import light_module

        return light_module(job.file)
    from benchmarks.model_zoo.torch_models import build

    return build(job.model).module


def _tensor(array: np.ndarray, dtype: torch.dtype, layout: torch.memory_format) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    if not tensor.is_floating_point():
        return tensor
    return tensor.to(dtype).contiguous(memory_format=layout)
