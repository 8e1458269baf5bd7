"""Targets of the null platform: a CPU without any features."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.platforms.cpu.kind import CPU_ATTRIBUTES, CpuKind
from flextune.target.target import Target


@dataclass(frozen=True, slots=True, eq=False)
class NullKind(CpuKind):
    """No hardware."""

    def vector_bits(self, target: Target) -> int:
        del target
        return 128


NULL = NullKind("null", CPU_ATTRIBUTES)
