"""What this machine has for Hexagon; see `flextune.target.kind.HostSupport`."""

from __future__ import annotations

from flextune.platforms.cpu.cross.host import CrossHost
from flextune.platforms.cpu.cross.machine import Machine
from flextune.platforms.cpu.cross.toolchain import counting_plugin
from flextune.platforms.hexagon.kind import MACHINE


class HexagonHost(CrossHost):
    """An emulator of one process; programs have no C library."""

    def __init__(self) -> None:
        super().__init__(MACHINE, _prepare)


def _prepare(machine: Machine) -> None:
    del machine
    counting_plugin()
