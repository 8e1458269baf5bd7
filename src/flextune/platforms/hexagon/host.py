"""What this machine has for Hexagon; see `flextune.target.kind.HostSupport`."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.platforms.cpu.cross.host import CrossHost
from flextune.platforms.cpu.cross.machine import Machine
from flextune.platforms.cpu.cross.toolchain import counting_plugin, machine_needs
from flextune.platforms.hexagon.kind import MACHINE
from flextune.target.kind import Need


class HexagonHost(CrossHost):
    """An emulator of one process; programs have no C library."""

    def __init__(self) -> None:
        super().__init__(MACHINE, _prepare)

    def needs(self) -> Sequence[Need]:
        """Without ssh: its programs have no operating system."""
        return machine_needs(MACHINE)


def _prepare(machine: Machine) -> None:
    del machine
    counting_plugin()
