"""PyTorch, eager and compiled, in inference mode.

In bfloat16 all weights are converted; where an operator is missing in that type, as local response normalization is,
`torch.autocast` is used instead.

Convolutional networks are tried channels-first and channels-last, the faster is taken. Compiled models are frozen:
weights are constants then, which is what lets the compiler fold batch norms and pack weights for its own kernels.
"""

from __future__ import annotations

import copy
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
    layout = torch.channels_last if channels_last else torch.contiguous_format
    dtype = _DTYPES[job.precision]
    module = _module(job).to(memory_format=layout)
    mixed = dtype is not torch.float32 and not _runs(copy.deepcopy(module).to(dtype), _tensors(job.inputs(0), dtype))
    if mixed:
        dtype = torch.float32
    function = wrap(module.to(dtype))

    def call(tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        with torch.no_grad(), torch.autocast("cpu", _DTYPES[job.precision], enabled=mixed):
            results: Sequence[torch.Tensor] = function(*tensors)
            return results

    def compute(inputs: Arrays) -> Sequence[np.ndarray]:
        return [each.float().contiguous().numpy() for each in call(_tensors(inputs, dtype, layout))]

    placed = _tensors(job.inputs(0), dtype, layout)
    variant = ", ".join(["channels last"] * channels_last + ["autocast"] * mixed)
    return ModelCall(timed(lambda: call(placed)), compute, job.precision, variant)


def _runs(module: nn.Module, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether PyTorch has every operator of the module in the type of its weights."""
    try:
        with torch.no_grad():
            module(*tensors)
    except NotImplementedError:
        return False
    return True


def _module(job: ModelJob) -> nn.Module:
    """The model with the weights of its ONNX file."""
    if job.zoo_model.is_light:
        from benchmarks.model_zoo.onnx_to_torch import light_module

        return light_module(job.file)
    from benchmarks.model_zoo.torch_model import build

    return build(job.model).module


def _tensors(
    inputs: Arrays, dtype: torch.dtype, layout: torch.memory_format = torch.contiguous_format
) -> list[torch.Tensor]:
    """The inputs by position, floats in this type and layout."""
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    return [each.to(dtype).contiguous(memory_format=layout) if each.is_floating_point() else each for each in tensors]
