"""What a captured graph takes: what changes from call to call, and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flextune.errors import ModelError


@dataclass(frozen=True, slots=True)
class GraphInputs:
    """Which inputs of a captured graph change from call to call, and which are its weights, by position.

    Those that are numbers are neither; see `flextune.torch_backend.graph_sizes`.
    """

    varying: tuple[int, ...]
    weights: tuple[int, ...]

    @classmethod
    def of(cls, torch: Any, example_inputs: Sequence[Any], scalars: Sequence[int] = ()) -> GraphInputs:
        """ModelError when an input is neither a tensor on the CPU nor a whole number."""
        varying: list[int] = []
        weights: list[int] = []
        for position, value in enumerate(example_inputs):
            if position in scalars or (isinstance(value, int) and not isinstance(value, bool)):
                continue
            _check_input(torch, position, value)
            (weights if _is_weight(torch, value) else varying).append(position)
        if not varying:
            raise ModelError("it has no inputs besides its weights, so there is nothing to run it on")
        return cls(tuple(varying), tuple(weights))


def _check_input(torch: Any, position: int, value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        raise ModelError(
            f"input {position} is {type(value).__name__}, not a tensor or a size; other numbers that change from "
            "call to call are not supported: use torch.compile(..., dynamic=False), or give them as tensors"
        )
    if not is_plain(torch, value):
        raise ModelError(f"input {position} is a {type(value).__name__}; expected dense tensors, without subclasses")
    if value.device.type != "cpu":
        raise ModelError(f"input {position} is on {value.device}; expected tensors on the CPU")
    if value.is_complex() or value.is_quantized:
        raise ModelError(f"input {position} is of type {value.dtype}; expected real numbers")
    if value.numel() == 0:
        raise ModelError(f"input {position} of shape {tuple(value.shape)} has no elements")


def is_plain(torch: Any, value: Any) -> bool:
    """Whether a value is a tensor with memory of its own kind: no subclass, no wrapper of a transform, dense."""
    if type(value) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return False
    return value.layout is torch.strided and not value.is_conj() and not value.is_neg()


def _is_weight(torch: Any, value: Any) -> bool:
    """Parameters, and what Dynamo marks as staying at its place: buffers and tensors that are attributes."""
    return isinstance(value, torch.nn.Parameter) or bool(getattr(value, "_dynamo_static_input_type", None))
