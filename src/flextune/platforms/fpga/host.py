"""What this machine has for FPGAs; see `flextune.target.kind.HostSupport`. Needs no TVM."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from flextune.errors import EnvironmentFault
from flextune.target.kind import Need
from flextune.target.peak_loops import PeakLoops
from flextune.target.target import Target

INSTALL = "apt-get install verilator g++ make yosys berkeley-abc"


class FpgaHost:
    """Overlays are simulated here, by programs that Verilator makes."""

    def detect(self) -> Target | None:
        return None

    def lacking(self, instructions: Sequence[str]) -> Sequence[str]:
        return tuple(instructions)

    def peak_loops(self, target: Target, cpus: Sequence[int]) -> PeakLoops:
        del cpus
        raise EnvironmentFault(f"the peaks of {target} cannot be measured on this machine")

    def unmeasurable(self, target: Target) -> str:
        del target
        missing = [need.name for need in self.needs() if not need.found and need.name != "yosys"]
        return f"{' and '.join(missing)} not installed: {INSTALL}" if missing else ""

    def needs(self) -> Sequence[Need]:
        """Yosys only counts cells."""
        purposes = {
            "verilator": "simulates overlays on FPGAs",
            "g++": "compiles what Verilator makes",
            "make": "builds what Verilator makes",
            "yosys": "counts the cells of overlays",
        }
        return [Need(name, purpose, shutil.which(name) or "", INSTALL) for name, purpose in purposes.items()]
