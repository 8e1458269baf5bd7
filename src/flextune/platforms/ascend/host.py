"""What this machine has for Ascend processors. Needs no TVM."""

from __future__ import annotations

from flextune.target.other_devices import SimulatedDevices


class AscendHost(SimulatedDevices):
    """Kernels are executed here by an emulation."""

    def __init__(self) -> None:
        super().__init__({"g++": "compiles kernels in Ascend C for the emulation"}, "apt-get install g++")
