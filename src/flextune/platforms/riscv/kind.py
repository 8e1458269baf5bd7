"""Targets that are 64-bit RISC-V processors with vectors. Needs no TVM."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.platforms.cpu.cross.machine import RUNNERS, Machine
from flextune.platforms.cpu.kind import CPU_ATTRIBUTES, CpuKind
from flextune.platforms.riscv.devices import DEVICES
from flextune.target.kind import Attribute, Feature
from flextune.target.target import Target

FEATURES = (Feature("rvv"),)
"""`rvv` is the vector extension 1.0 with elements of up to 64 bits."""

VECTOR_REGISTERS = 32

MACHINE = Machine(
    name="RISC-V (RV64)",
    triple="riscv64-linux-gnu",
    program="riscv64-linux-musl",
    library="riscv64-linux-gnu.2.28",
    emulator="qemu-riscv64",
)

_VLEN = Attribute("vlen", "a power of 2 from 64 on", default=128, least=64, power_of_2=True, unit="bits")

LONGEST_EMULATED = 1024
"""Bits of a vector register, of QEMU's."""


@dataclass(frozen=True, slots=True, eq=False)
class RiscvKind(CpuKind):
    """RV64GC with vectors, or without."""

    def vector_bits(self, target: Target) -> int:
        """Of one register; 64 without vectors, so that there is a register tile of floats at all."""
        return target.number("vlen") if target.has("rvv") else 64


RISCV = RiscvKind(
    "riscv",
    (*CPU_ATTRIBUTES, _VLEN),
    FEATURES,
    DEVICES,
    runners=RUNNERS,
    boards=True,
    host="flextune.platforms.riscv.host:RiscvHost",
)


def llvm_attributes(target: Target) -> tuple[str, ...]:
    """LLVM's `mattr`: RV64GC, and vectors of exactly this length.

    By the name of the whole extension (`+v`) TVM would make scalable loops, of many times as many instructions; by
    those of its parts the loops have a fixed length.
    """
    base = ("+m", "+a", "+f", "+d", "+c")
    if not target.has("rvv"):
        return (*base, "-v")
    return (*base, "-v", "+zve64d", f"+zvl{target.number('vlen')}b")


def emulated_cpu(target: Target) -> str:
    """QEMU's processor with the same vectors."""
    if not target.has("rvv"):
        return "rv64,v=false"
    return f"rv64,v=true,vlen={max(128, target.number('vlen'))},elen=64,vext_spec=v1.0"
