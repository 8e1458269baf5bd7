"""What the rules must know of the hardware, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

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
    def of(cls, target: Target, intrinsics: tuple[DotIntrinsic, ...] = ()) -> CpuLimits:
        return cls(
            target.vector_bits,
            target.vector_registers,
            target.l1_bytes,
            target.l2_bytes,
            target.l3_bytes,
            target.cores,
            intrinsics,
        )

    def lanes(self, dtype: str) -> int:
        """Elements of `dtype` in one vector register."""
        return max(1, self.vector_bits // dtype_bits(dtype))


def dtype_bits(dtype: str) -> int:
    """Bits of one element.

    >>> dtype_bits("float32"), dtype_bits("uint8"), dtype_bits("bool")
    (32, 8, 8)
    """
    digits = "".join(c for c in dtype if c.isdigit())
    return int(digits) if digits else 8
