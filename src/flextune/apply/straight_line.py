"""A model as straight-line code: steps on tensors, and the buffers that hold these; loops are markers in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flextune.aligned import ALIGNMENT_BYTES
from flextune.apply.program import Loop, Place, Size, Step, TensorType, known


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory that one or more tensors of equal size share.

    A buffer without a place is an activation; `port` is the number of an input, output or slot.
    """

    byte_count: Size
    place: Place | None = None
    port: int = 0
    alignment: int = ALIGNMENT_BYTES
    """What divides its address."""

    @property
    def nbytes(self) -> int:
        """Its size in numbers. BuildError where that is not known before a run."""
        return known(self.byte_count)


@dataclass(slots=True, eq=False)
class StraightLine:
    """A model as straight-line code."""

    functions: Mapping[str, Any]
    """TIR functions by the names that steps call."""
    is_symbolic: bool = False
    """Whether some sizes are known only when it runs. Kernels are not made for where their arguments lie then."""
    tensors: list[tuple[TensorType, Buffer]] = field(default_factory=list)
    """Every tensor's type, and the buffer it lies in."""
    steps: list[Step] = field(default_factory=list)
    """Calls in order."""
    constants: list[tuple[Buffer, Any]] = field(default_factory=list)
    """Buffers of weights, and their values."""
    results: list[int] = field(default_factory=list)
    """The numbers of the tensors that are the model's outputs."""
    loops: list[Loop] = field(default_factory=list)
    """By the numbers of their markers."""
    branches: int = 0
    """How many there are; their markers are numbered too."""
    slots: int = 0
    """How many there are."""
    equal: list[tuple[Size, Size]] = field(default_factory=list)
    """Sizes in bytes of tensors that share memory, where it does not show that they are equal."""

    elements: list[tuple[Buffer, tuple[Size, ...]]] = field(default_factory=list)
    """Buffers that hold sizes as 64-bit integers, and what these are."""

    def add_tensor(self, kind: TensorType, buffer: Buffer) -> int:
        """The number of a new tensor."""
        self.tensors.append((kind, buffer))
        return len(self.tensors) - 1

    def new_slot(self) -> int:
        """The number of a new slot."""
        self.slots += 1
        return self.slots - 1
