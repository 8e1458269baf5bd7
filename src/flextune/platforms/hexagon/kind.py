"""Targets that are Hexagon DSPs with HVX. Needs no TVM."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.platforms.cpu.cross.machine import RUNNERS, Machine
from flextune.platforms.cpu.kind import CpuKind, cpu_attributes
from flextune.target.kind import Feature
from flextune.target.target import Target

FEATURES = (Feature("hvx"),)
"""`hvx` is Hexagon Vector eXtensions with registers of 128 bytes; of their floating point nothing is used."""

PROCESSORS = tuple(f"hexagonv{version}" for version in (65, 66, 67, 68, 69, 71, 73, 75, 79))
"""LLVM's names of those with vectors of 128 bytes."""

DEVICES = {
    "v66": "cpu=hexagonv66,cores=1,features=hvx,l1=32768,l2=1048576,l3=1048576",
    "v68": "cpu=hexagonv68,cores=1,features=hvx,l1=32768,l2=1048576,l3=1048576",
}
"""The DSPs of Snapdragon 855 and 888: vectors read from the second cache, which their cores share."""

VECTOR_REGISTERS = 32

MACHINE = Machine(
    name="Hexagon",
    triple="hexagon-unknown-linux-musl",
    program="hexagon-linux-musl",
    library="hexagon-linux-musl",
    emulator="qemu-hexagon",
    emulator_options=("-R", "512M"),  # else it reserves all addresses of 32 bits, which no trial may have
)


@dataclass(frozen=True, slots=True, eq=False)
class HexagonKind(CpuKind):
    """Hexagon from v66 on."""

    def vector_bits(self, target: Target) -> int:
        return 1024 if target.has("hvx") else 64


HEXAGON = HexagonKind(
    "hexagon",
    cpu_attributes(PROCESSORS),
    FEATURES,
    DEVICES,
    runners=RUNNERS,
    host="flextune.platforms.hexagon.host:HexagonHost",
)


def llvm_attributes(target: Target) -> tuple[str, ...]:
    """LLVM's `mattr`, with the vectors of exactly this version."""
    version = target.word("cpu").removeprefix("hexagon")
    return ("+hvx", f"+hvx{version}", "+hvx-length128b") if target.has("hvx") else ("-hvx",)


def emulated_cpu(target: Target) -> str:
    """QEMU's only processor."""
    del target
    return "v67"
