"""What this machine has for Arm; see `flextune.target.kind.HostSupport`."""

from __future__ import annotations

from flextune.platforms.arm.kind import MACHINE
from flextune.platforms.cpu.cross.host import CrossHost


class ArmHost(CrossHost):
    """An emulator of one process."""

    def __init__(self) -> None:
        super().__init__(MACHINE)
