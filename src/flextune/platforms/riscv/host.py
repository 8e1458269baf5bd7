"""What this machine has for RISC-V; see `flextune.target.kind.HostSupport`."""

from __future__ import annotations

from flextune.platforms.cpu.cross.host import CrossHost
from flextune.platforms.riscv.kind import MACHINE


class RiscvHost(CrossHost):
    """An emulator of one process."""

    def __init__(self) -> None:
        super().__init__(MACHINE)
