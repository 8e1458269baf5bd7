"""What the rules must know of the hardware, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.analysis.footprint import dtype_bits
from flextune.target.target import Target


@dataclass(frozen=True, slots=True)
class DotIntrinsic:
    """A tensor intrinsic: several accumulators, to each of which a dot product is added."""

    name: str
    """Under which TVM knows it."""
    data_dtype: str
    """Element type of the left operand."""
    weight_dtype: str
    """Element type of the right operand, which is packed."""
    accumulator_dtype: str
    """Element type of the accumulators."""
    lanes: int
    """How many accumulators."""
    group: int
    """Neighbours along the reduction in each dot product."""
    code: str | None = None
    """The name of registered LLVM text that the kernel must import, if any."""


@dataclass(frozen=True, slots=True)
class CpuLimits:
    """What of a processor bounds its schedules."""

    vector_bits: int
    """Of one vector register."""
    vector_registers: int
    """How many there are."""
    l1_bytes: int
    """First-level data cache of one core."""
    l2_bytes: int
    """Second-level cache of one core."""
    l3_bytes: int
    """Third-level cache of all cores together."""
    cores: int
    """That run one kernel together."""
    intrinsics: tuple[DotIntrinsic, ...] = ()
    """The tensor intrinsics that it has."""
    memory_operands: bool = True
    """Whether arithmetic takes a vector from memory, which then needs no register."""
    interleaved_stores: bool = False
    """Whether one instruction stores several vectors element by element in turns."""

    @classmethod
    def of(
        cls,
        target: Target,
        vector_registers: int,
        intrinsics: tuple[DotIntrinsic, ...] = (),
        *,
        memory_operands: bool = True,
        interleaved_stores: bool = False,
    ) -> CpuLimits:
        """The limits of a target that is a CPU, with what its attributes do not say."""
        return cls(
            target.vector_bits,
            vector_registers,
            target.number("l1"),
            target.number("l2"),
            target.number("l3"),
            target.cores,
            intrinsics,
            memory_operands,
            interleaved_stores,
        )

    def lanes(self, dtype: str) -> int:
        """Elements of `dtype` in one vector register."""
        return max(1, self.vector_bits // dtype_bits(dtype))
