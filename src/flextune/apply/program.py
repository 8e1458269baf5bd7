"""A model as a static program: kernels called one after the other on tensors whose places are known.

This is what the C runtime in `flextune.native` executes. A model has such a form when its shapes are static and it
is made of kernels, views, constants, and loops and branches over these; anything else runs on TVM's virtual machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np

"""What generated code assumes of every tensor."""


class Place(IntEnum):
    """Where a tensor is. The numbers are those of `ft_place` in native/program.h."""

    INPUT = 0
    OUTPUT = 1
    WEIGHT = 2
    ACTIVATION = 3
    SLOT = 4


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


class Control(StrEnum):
    """What a step that computes nothing does: it begins or ends the loop or the branch of its number."""

    LOOP = "loop"
    NEXT = "next"
    IF = "if"
    ELSE = "else"
    END = "end"


@dataclass(frozen=True, slots=True)
class Marker:
    """A place in the program: where loop `number` begins (LOOP) or goes on (NEXT), where branch `number` begins with
    what is done if its first argument is true (IF), what is done otherwise (ELSE), and its end (END)."""

    control: Control
    number: int


@dataclass(frozen=True, slots=True)
class Step:
    """A call of a kernel with tensors by number, outputs last. Without a kernel: copy the first to the second.

    What is copied without a kernel is dense. A step with a marker computes nothing; its arguments are all tensors from
    outside that the loop or branch uses: they are alive from its first marker to its last.
    """

    kernel: str | None
    arguments: tuple[int, ...]
    marker: Marker | None = None


class Change(IntEnum):
    """What happens to a slot before each iteration. The numbers are those of `ft_change` in native/program.h."""

    SLICE = 0
    TURN = 1
    CARRIED = 2
    COUNTER = 3


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a slot; the fields are explained with `ft_move` in native/program.h. `step` is in bytes."""

    change: Change
    """What is done."""
    value: int
    """Where the slot points."""
    slot: int = 0
    """By number."""
    other: int = 0
    """The tensor or slot that it is in turns, or comes from."""
    result: int = -1
    """What it is copied to when the loop ends; -1: nothing."""
    start: int = 0
    """Of a slice, in bytes."""
    step: int = 0


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of the program, between its markers: tensors by number, -1 for those that do not exist."""

    limit: int
    """The most iterations there are."""
    count: int = -1
    """How many there are at most in a run: an int64 scalar."""
    enter: int = -1
    """Whether there is a first iteration: a boolean scalar."""
    again: int = -1
    """Whether there is another one, known after each: a boolean scalar."""
    moves: tuple[Move, ...] = ()
    """What happens to its slots before each iteration."""


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
    loops: tuple[Loop, ...] = ()
    """By the numbers of their markers."""

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
