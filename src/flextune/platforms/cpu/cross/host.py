"""What this machine has for processors that it is not; see `flextune.target.kind.HostSupport`. Needs no TVM."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flextune.errors import BuildError, EnvironmentFault
from flextune.platforms.cpu.cross.machine import Machine
from flextune.platforms.cpu.cross.toolchain import machine_fault, machine_needs, prepare
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

    def needs(self) -> Sequence[Need]:
        return machine_needs(self._machine)
