"""What this machine has for FPGAs. Needs no TVM."""

from __future__ import annotations

from flextune.target.other_devices import SimulatedDevices

INSTALL = "apt-get install verilator g++ make yosys berkeley-abc"
_TOOLS = {
    "verilator": "simulates overlays on FPGAs",
    "g++": "compiles what Verilator makes",
    "make": "builds what Verilator makes",
    "yosys": "counts the cells of overlays",
}


class FpgaHost(SimulatedDevices):
    """Overlays are simulated here, by programs that Verilator makes; yosys only counts cells."""

    def __init__(self) -> None:
        super().__init__(_TOOLS, INSTALL, optional=("yosys",))
