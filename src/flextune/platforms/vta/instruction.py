"""VTA's instructions as values, and as the 128 bits that its modules read.

A word of 64 bits begins with the lowest bit. Four bits of each instruction are its dependence tokens: what it waits
for from the module before it (`pop_previous`) and behind it (`pop_next`), and whom it tells that it has ended. The
order of modules is load, compute, store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

from flextune.errors import BuildError


class Opcode(IntEnum):
    LOAD = 0
    STORE = 1
    GEMM = 2
    FINISH = 3
    ALU = 4


class Memory(IntEnum):
    """The buffers on the chip."""

    MICRO_OP = 0
    WEIGHT = 1
    INPUT = 2
    ACCUMULATOR = 3
    OUTPUT = 4


class AluOperation(IntEnum):
    MINIMUM = 0
    MAXIMUM = 1
    ADD = 2
    SHIFT_RIGHT = 3


class Module(IntEnum):
    """What executes an instruction."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2


class Tokens(IntFlag):
    """The four bits, as they stand in the first word."""

    NONE = 0
    POP_PREVIOUS = 1 << 3
    POP_NEXT = 1 << 4
    PUSH_PREVIOUS = 1 << 5
    PUSH_NEXT = 1 << 6


_Field = tuple[str, int, int]
"""What it is, its value, and how many bits it has."""

Words = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Transfer:
    """LOAD or STORE: rows of entries between memory and a buffer, in which they lie without gaps.

    `sram` and `dram` count entries of the buffer's kind, `stride` those from row to row in memory. A LOAD adds rows and
    columns of zeros at the sides.
    """

    opcode: Opcode
    memory: Memory
    sram: int
    dram: int
    rows: int
    columns: int
    stride: int
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def module(self) -> Module:
        if self.opcode is Opcode.STORE:
            return Module.STORE
        return Module.LOAD if self.memory in (Memory.INPUT, Memory.WEIGHT) else Module.COMPUTE

    def words(self) -> Words:
        """Without tokens. Raises `BuildError` where a number does not fit its field."""
        first = (
            *(("opcode", self.opcode, 3), ("tokens", 0, 4), ("memory", self.memory, 3)),
            *(("sram", self.sram, 16), ("dram", self.dram, 32)),
        )
        second = (
            *(("rows", self.rows, 16), ("columns", self.columns, 16), ("stride", self.stride, 16)),
            *(("top", self.top, 4), ("bottom", self.bottom, 4), ("left", self.left, 4), ("right", self.right, 4)),
        )
        return _packed(first), _packed(second)


Factors = tuple[int, int]
"""What an index grows by with each turn of the outer and of the inner loop."""


@dataclass(frozen=True, slots=True)
class Gemm:
    """For each turn of two loops and each micro-op: `accumulator[dst] += input[src] * weight[w]^T`, or zero it.

    The micro-op gives the three indices; the loops add their factors.
    """

    begin: int
    """The first micro-op."""
    end: int
    """Behind the last one."""
    turns: tuple[int, int]
    """Of the outer and of the inner loop."""
    dst: Factors
    src: Factors = (0, 0)
    weight: Factors = (0, 0)
    reset: bool = False

    @property
    def module(self) -> Module:
        return Module.COMPUTE

    def words(self) -> Words:
        factors = (*_both("dst", self.dst, 11), *_both("src", self.src, 11), *_both("weight", self.weight, 10))
        return _packed(_loops(Opcode.GEMM, self.reset, self.begin, self.end, self.turns)), _packed(factors)


@dataclass(frozen=True, slots=True)
class Alu:
    """As `Gemm`, with `accumulator[dst] = operation(accumulator[dst], accumulator[src] or a number)`."""

    operation: AluOperation
    begin: int
    end: int
    turns: tuple[int, int]
    dst: Factors
    src: Factors = (0, 0)
    immediate: int | None = None

    @property
    def module(self) -> Module:
        return Module.COMPUTE

    def words(self) -> Words:
        second = (
            *_both("dst", self.dst, 11),
            *_both("src", self.src, 11),
            *(("operation", self.operation, 2), ("uses immediate", self.immediate is not None, 1)),
            ("immediate", (self.immediate or 0) & 0xFFFF, 16),
        )
        return _packed(_loops(Opcode.ALU, False, self.begin, self.end, self.turns)), _packed(second)


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a program: the host reads the results after it."""

    @property
    def module(self) -> Module:
        return Module.COMPUTE

    def words(self) -> Words:
        return int(Opcode.FINISH), 0


Instruction = Transfer | Gemm | Alu | Finish


def micro_op(dst: int, src: int = 0, weight: int = 0) -> int:
    """The 32 bits of a micro-op: indices of an accumulator, an input (of another accumulator for the ALU), a weight."""
    return _packed((("dst", dst, 11), ("src", src, 11), ("weight", weight, 10)))


def encoded(instructions: Sequence[Instruction], tokens: Sequence[Tokens]) -> npt.NDArray[np.uint64]:
    """The program as it lies in memory: two words for each instruction."""
    words = np.array([instruction.words() for instruction in instructions], dtype=np.uint64).reshape(-1, 2)
    words[:, 0] |= np.array(tokens, dtype=np.uint64)
    return words


def _loops(opcode: Opcode, reset: bool, begin: int, end: int, turns: tuple[int, int]) -> tuple[_Field, ...]:
    return (
        *(("opcode", opcode, 3), ("tokens", 0, 4), ("reset", reset, 1)),
        *(("first micro-op", begin, 13), ("last micro-op", end, 14)),
        *_both("turns", turns, 14),
    )


def _both(name: str, values: tuple[int, int], bits: int) -> tuple[_Field, _Field]:
    return (f"outer {name}", values[0], bits), (f"inner {name}", values[1], bits)


def _packed(fields: Sequence[_Field]) -> int:
    word, position = 0, 0
    for name, value, bits in fields:
        if not 0 <= value < 1 << bits:
            raise BuildError(f"{name} of a VTA instruction has {bits} bits, which {value} does not fit")
        word |= int(value) << position
        position += bits
    return word
