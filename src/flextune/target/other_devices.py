"""What a machine has for devices that it never is itself; see `flextune.target.kind.HostSupport`. Needs no TVM."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence

from flextune.errors import EnvironmentFault
from flextune.target.kind import Need
from flextune.target.peak_loops import PeakLoops
from flextune.target.target import Target


class OtherDevices:
    """Their programs never run in this process: an emulator, a simulator or another machine executes them."""

    def detect(self) -> Target | None:
        return None

    def lacking(self, instructions: Sequence[str]) -> Sequence[str]:
        return tuple(instructions)

    def peak_loops(self, target: Target, cpus: Sequence[int]) -> PeakLoops:
        del cpus
        raise EnvironmentFault(f"the peaks of {target} cannot be measured on this machine")


class SimulatedDevices(OtherDevices):
    """Devices that programs on `PATH` are enough to simulate."""

    def __init__(self, tools: Mapping[str, str], install: str, optional: Collection[str] = ()) -> None:
        """`tools` are the purposes of programs, by name; `install` is the line that installs them."""
        self._tools, self._install, self._optional = tools, install, optional

    def unmeasurable(self, target: Target) -> str:
        del target
        missing = [need.name for need in self.needs() if not need.found and need.name not in self._optional]
        return f"{' and '.join(missing)} not installed: {self._install}" if missing else ""

    def needs(self) -> Sequence[Need]:
        """All of them, with those that measuring goes without."""
        return [Need(name, purpose, shutil.which(name) or "", self._install) for name, purpose in self._tools.items()]
