"""What this machine has for kernels in Triton. Needs neither Triton nor TVM."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from flextune.errors import EnvironmentFault
from flextune.platforms.cuda.driver import open_driver
from flextune.platforms.triton.compiler import INSTALL, version
from flextune.target.kind import Need
from flextune.target.other_devices import OtherDevices
from flextune.target.target import Target


class TritonHost(OtherDevices):
    """NVIDIA's GPUs, through the driver's interface. They have to be named: as targets of `cuda` they have more."""

    def unmeasurable(self, target: Target) -> str:
        """Why candidates for this target cannot be timed on this machine; empty where they can."""
        try:
            driver = open_driver()
        except EnvironmentFault as error:
            return str(error)
        if not version():
            return f"Triton is not installed: {INSTALL}"
        facts = [driver.facts(index) for index in range(driver.device_count())]
        archs = [f"sm_{each.number('major')}{each.number('minor')}" for each in facts]
        here = ", ".join(archs)
        return "" if target.word("arch") in archs else f"no CUDA device of {target} to measure on, but {here}"

    def needs(self) -> Sequence[Need]:
        return (_need(),)


class RocmHost(OtherDevices):
    """AMD's GPUs are compiled for, and launched nowhere yet."""

    def unmeasurable(self, target: Target) -> str:
        return f"kernels for {target} are compiled only: nothing of flextune launches them yet"

    def needs(self) -> Sequence[Need]:
        return ()  # as of `triton`


@cache
def _need() -> Need:
    return Need("triton", "products of matrices in Triton for GPUs of NVIDIA and AMD", version(), INSTALL)
