"""A model as a static program: kernels called one after the other on tensors whose places are known.

This is what the C runtime in `flextune.native` executes. A model has such a form when it is made of kernels, views,
constants, and loops and branches over these; anything else runs on TVM's virtual machine. Sizes may be expressions over
dimensions that are known only when the model runs (`Symbolic`); what they are is then found once for each combination.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np

from flextune.errors import BuildError
from flextune.importing.values import STORAGE
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import Size as Size


class Place(IntEnum):
    """Where a tensor is. The numbers are those of `ft_place` in native/program.h."""

    INPUT = 0
    OUTPUT = 1
    WEIGHT = 2
    ACTIVATION = 3
    SLOT = 4
    SIZES = 5


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape and element type, by the names that TVM and (except for bfloat16) NumPy give it."""

    shape: tuple[Size, ...]
    dtype: str

    @property
    def is_static(self) -> bool:
        """Whether all sizes are numbers."""
        return all(isinstance(size, int) for size in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape in numbers. BuildError where it is not known before a run."""
        return tuple(map(known, self.shape))

    @property
    def byte_count(self) -> Size:
        """How much memory it needs."""
        count: Size = self.itemsize
        for size in self.shape:
            count = size * count
        return count

    @property
    def nbytes(self) -> int:
        """The same in numbers. BuildError where it is not known before a run."""
        return known(self.byte_count)

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
class Scalar:
    """A size that a kernel takes as a whole number, as its parameter of this position."""

    position: int
    size: Size


@dataclass(frozen=True, slots=True)
class Step:
    """A call of a kernel with tensors by number, outputs last. Without a kernel: copy the first to the second.

    What is copied without a kernel is dense. A step with a marker computes nothing; its arguments are all tensors from
    outside that the loop or branch uses: they are alive from its first marker to its last.
    """

    kernel: str | None
    arguments: tuple[int, ...]
    marker: Marker | None = None
    scalars: tuple[Scalar, ...] = ()
    """What the kernel takes besides, in order."""

    @property
    def parameters(self) -> tuple[int | Scalar, ...]:
        """What the kernel takes, tensors by number."""
        found: list[int | Scalar] = [*self.arguments]
        for scalar in self.scalars:
            found.insert(scalar.position, scalar)
        return tuple(found)


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
    start: Size = 0
    """Of a slice, in bytes."""
    step: Size = 0


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of the program, between its markers: tensors by number, -1 for those that do not exist."""

    limit: Size
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
class SizedBuffer:
    """A part of the activations, in use from one step to another."""

    byte_count: Size
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Variant:
    """A kernel that a step may call: of all variants of the step the one whose cost is the least number is called."""

    step: int
    kernel: str
    cost: Size


@dataclass(frozen=True, slots=True)
class Symbolic:
    """What a program has besides where sizes are known only when it runs."""

    dims: tuple[Dim, ...]
    """The dimensions that its inputs have, with their ranges."""
    buffers: tuple[SizedBuffer, ...]
    """The activations; where they lie is decided for each combination of sizes."""
    homes: tuple[int, ...]
    """For each tensor the number of the buffer it lies in; -1 for those that are no activations."""
    equal: tuple[tuple[Size, Size], ...] = ()
    """Sizes that must be equal for the program to be right: of operands, and in bytes of tensors that share memory."""
    variants: tuple[Variant, ...] = ()
    """Those of one step follow each other."""
    elements: tuple[tuple[int, tuple[Size, ...]], ...] = ()
    """Tensors by number whose elements are sizes, and what these are."""
    idle: tuple[tuple[int, Size], ...] = ()
    """Steps by number that are left out where a size is 0: they would write nothing."""
    alone: tuple[tuple[int, Size], ...] = ()
    """Steps by number that one thread runs where a number is 0: they end before others would have begun."""


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
    symbolic: Symbolic | None = None
    """None where all sizes are numbers."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that are called, each once, in the order of their first calls."""
        variants = () if self.symbolic is None else self.symbolic.variants
        called = [step.kernel for step in self.steps if step.kernel is not None]
        return tuple(dict.fromkeys([*called, *(variant.kernel for variant in variants)]))


def known(size: Size) -> int:
    """The number that a size is. BuildError where that depends on a run."""
    number = size if isinstance(size, int) else size.value
    if number is None:
        raise BuildError(
            f"the size {size} is known only when the model runs, and a loop or a part of a tensor needs it before"
        )
    return number


def dlpack_type(dtype: str) -> tuple[int, int]:
    """(type code, bits) as DLPack defines them. KeyError for a type that programs do not have.

    >>> dlpack_type("float32")
    (2, 32)
    """
    if dtype == "bool":
        return 6, 8
    if dtype == "bfloat16":
        return 4, 16
    dtype = STORAGE.get(dtype, dtype)
    kind = {"i": 0, "u": 1, "f": 2}[np.dtype(dtype).kind]
    return kind, np.dtype(dtype).itemsize * 8
