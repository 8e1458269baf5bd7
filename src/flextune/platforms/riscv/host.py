"""What this machine has for RISC-V; see `flextune.target.kind.HostSupport`."""

from __future__ import annotations

from flextune.platforms.cpu.cross.host import CrossHost
from flextune.platforms.riscv.kind import LONGEST_EMULATED, MACHINE
from flextune.target.target import Target


class RiscvHost(CrossHost):
    """An emulator of one process."""

    def __init__(self) -> None:
        super().__init__(MACHINE)

    def unmeasurable(self, target: Target) -> str:
        if target.has("rvv") and target.number("vlen") > LONGEST_EMULATED:
            return f"{MACHINE.emulator} has vectors of at most {LONGEST_EMULATED} bits, {target} longer ones"
        return super().unmeasurable(target)
