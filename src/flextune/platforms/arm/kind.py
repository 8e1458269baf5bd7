"""Targets that are 64-bit Arm processors. Needs no TVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flextune.platforms.arm.devices import DEVICES, PROCESSORS
from flextune.platforms.cpu.cross.machine import RUNNERS, Machine
from flextune.platforms.cpu.kind import CpuKind, cpu_attributes
from flextune.target.kind import Feature
from flextune.target.target import Target

FEATURES = (
    Feature("neon"),
    Feature("fp16", ("neon",)),
    Feature("dotprod", ("neon",)),
    Feature("i8mm", ("neon", "dotprod")),
)
"""`neon` is Advanced SIMD with 32 registers of 128 bits; `fp16` arithmetic on half precision (ARMv8.2), `dotprod` SDOT
and UDOT, `i8mm` USDOT and the matrix products of bytes (ARMv8.6)."""

_LLVM_ATTRIBUTES: Mapping[str, str] = {"neon": "neon", "fp16": "fullfp16", "dotprod": "dotprod", "i8mm": "i8mm"}

_NEVER = ("sve", "sve2", "sme")
"""Of vectors whose length is not known TVM makes scalable loops, which our register tiles are not made for."""

MACHINE = Machine(
    name="Arm (AArch64)",
    triple="aarch64-linux-gnu",
    program="aarch64-linux-musl",
    library="aarch64-linux-gnu.2.28",
    emulator="qemu-aarch64",
)


@dataclass(frozen=True, slots=True, eq=False)
class ArmKind(CpuKind):
    """AArch64 processors."""

    def vector_bits(self, target: Target) -> int:
        del target
        return 128


ARM = ArmKind(
    "arm",
    cpu_attributes(PROCESSORS),
    FEATURES,
    DEVICES,
    runners=RUNNERS,
    boards=True,
    host="flextune.platforms.arm.host:ArmHost",
)

VECTOR_REGISTERS = 32


_EMULATED = ("a64fx", "cortex-a35", "cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1")


def emulated_cpu(target: Target) -> str:
    """QEMU's processor: this very one where QEMU knows it, else one that has everything."""
    return target.word("cpu") if target.word("cpu") in _EMULATED else "max"


def llvm_attributes(target: Target) -> tuple[str, ...]:
    """LLVM's `mattr`: `+` for each feature, `-` for each left out, whatever `cpu` alone would mean."""
    given = [f"{'+' if target.has(feature.name) else '-'}{_LLVM_ATTRIBUTES[feature.name]}" for feature in FEATURES]
    return (*given, *(f"-{name}" for name in _NEVER))
