"""A model as a static program: kernels called one after the other on tensors whose places are known.

This is what the C runtime in `flextune.native` executes. A model has such a form when its shapes are static and it
is straight-line code of kernels, views and constants; anything else runs on TVM's virtual machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

"""What generated code assumes of every tensor."""


class Place(IntEnum):
    """Where a tensor is. The numbers are those of `ft_place` in native/program.h."""

    INPUT = 0
    OUTPUT = 1
    WEIGHT = 2
    ACTIVATION = 3


@dataclass(frozen=True, slots=True)
class TensorType:
    """Static shape and element type, by the names that TVM and (except for bfloat16) NumPy give it."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count * self.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return dlpack_type(self.dtype)[1] // 8


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """A tensor and its place in memory."""

    type: TensorType
    """Its shape and element type."""
    place: Place
    """What memory it lies in: the weights, the activations, an input or an output."""
    offset: int
    """Bytes into that memory."""
    port: int = 0
    """The number of the input or output it lies in."""
    strides: tuple[int, ...] | None = None
    """In elements; None where it lies densely."""


@dataclass(frozen=True, slots=True)
class Step:
    """A call of a kernel with tensors by number, outputs last. Without a kernel: copy the first to the second.

    What is copied without a kernel is dense.
    """

    kernel: str | None
    arguments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the model: its name and the number of its tensor."""

    name: str
    tensor: int


@dataclass(frozen=True, slots=True)
class Program:
    """Everything about a model but its code and the values of its weights."""

    tensors: tuple[PlacedTensor, ...]
    """All tensors; others refer to them by number."""
    steps: tuple[Step, ...]
    """What a run does, in order."""
    inputs: tuple[Port, ...]
    """In the order of the model's."""
    outputs: tuple[Port, ...]
    """In the order of the model's; one tensor may be several."""
    weight_bytes: int
    """The size of the block that holds all constants."""
    activation_bytes: int
    """The size of the one block that holds all tensors between inputs and outputs: the peak of what a run needs."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that are called, each once, in the order of their first calls."""
        return tuple(dict.fromkeys(step.kernel for step in self.steps if step.kernel is not None))


def dlpack_type(dtype: str) -> tuple[int, int]:
    """(type code, bits) as DLPack defines them. KeyError for a type that programs do not have.

    >>> dlpack_type("float32")
    (2, 32)
    """
    if dtype == "bool":
        return 6, 8
    if dtype == "bfloat16":
        return 4, 16
    kind = {"i": 0, "u": 1, "f": 2}[np.dtype(dtype).kind]
    return kind, np.dtype(dtype).itemsize * 8
