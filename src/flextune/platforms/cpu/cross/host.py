"""What this machine has for processors that it is not; see `flextune.target.kind.HostSupport`. Needs no TVM."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from flextune.errors import BuildError, EnvironmentFault
from flextune.platforms.cpu.cross.machine import Machine
from flextune.platforms.cpu.cross.toolchain import (
    INSTALL_ZIG,
    machine_fault,
    machine_needs,
    prepare,
    smallest_program,
    zig_version,
)
from flextune.settings import ssh_command
from flextune.target.board import INSTALL_SSH, Board
from flextune.target.kind import Need
from flextune.target.other_devices import OtherDevices
from flextune.target.target import Target


class CrossHost(OtherDevices):
    """Programs for these processors run in an emulator here."""

    def __init__(self, machine: Machine, prepares: Callable[[Machine], None] = prepare) -> None:
        self._machine, self._prepares = machine, prepares

    def unmeasurable(self, target: Target) -> str:
        """What is missing; where nothing is, what all programs share is made now, which no trial has to wait for."""
        del target
        if fault := machine_fault(self._machine):
            return fault
        try:
            self._prepares(self._machine)
        except (BuildError, EnvironmentFault) as error:
            return str(error)
        return ""

    def unreachable(self, target: Target, board: Board) -> str:
        """See `flextune.target.kind.BoardSupport`. A program without a kernel is run there."""
        del target
        ssh = ssh_command()[0]
        if not zig_version() or not shutil.which(ssh):
            return f"{board} runs programs that are linked here, for which is missing: " + (
                f"{ssh} ({INSTALL_SSH})" if zig_version() else f"ziglang ({INSTALL_ZIG})"
            )
        try:
            program = smallest_program(self._machine)
        except (BuildError, EnvironmentFault) as error:
            return str(error)
        return board.fault(program.read_bytes(), f"static programs for {self._machine.name}")

    def needs(self) -> Sequence[Need]:
        purpose = f"timing kernels for {self._machine.name} on a board (--runner ssh:HOST)"
        ssh = Need(f"ssh for {self._machine.name}", purpose, shutil.which(ssh_command()[0]) or "", INSTALL_SSH)
        return (*machine_needs(self._machine), ssh)
