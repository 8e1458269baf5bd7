"""What the rules must know of the hardware, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.analysis.footprint import dtype_bits
from flextune.target.target import Target


@dataclass(frozen=True, slots=True)
class DotIntrinsic:
    """A tensor intrinsic: `lanes` accumulators each add a dot product of `group` neighbours along the reduction.

    `code` names registered LLVM text that the kernel must import, if any.
    """

    name: str
    data_dtype: str
    weight_dtype: str
    accumulator_dtype: str
    lanes: int
    group: int
    code: str | None = None


@dataclass(frozen=True, slots=True)
class CpuLimits:
    """Vector registers and lanes, caches in bytes (l1, l2 per core; l3 for all), cores, and the tensor intrinsics."""

    vector_bits: int
    vector_registers: int
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    cores: int
    intrinsics: tuple[DotIntrinsic, ...] = ()

    @classmethod
    def of(cls, target: Target, vector_registers: int, intrinsics: tuple[DotIntrinsic, ...] = ()) -> CpuLimits:
        """The limits of a target that is a CPU, with what its attributes do not say."""
        return cls(
            target.vector_bits,
            vector_registers,
            target.number("l1"),
            target.number("l2"),
            target.number("l3"),
            target.cores,
            intrinsics,
        )

    def lanes(self, dtype: str) -> int:
        """Elements of `dtype` in one vector register."""
        return max(1, self.vector_bits // dtype_bits(dtype))
