"""What this machine has for targets with OpenCL. Needs no TVM."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.errors import EnvironmentFault
from flextune.platforms.opencl.device import DRIVER, INSTALL, DeviceFacts, found_devices, matching, no_device, version
from flextune.target.kind import Need
from flextune.target.other_devices import OtherDevices
from flextune.target.target import Target


class OpenClHost(OtherDevices):
    """Devices have to be named as targets: many a CPU has OpenCL too, and is a better target as itself."""

    def unmeasurable(self, target: Target) -> str:
        """Why candidates for this target cannot be timed on this machine; empty where they can."""
        name = target.word("device")
        try:
            found = [facts for facts, _ in matching(name)]
        except EnvironmentFault as error:
            return str(error)
        return _shortcoming(found[0], target) if found else no_device(name)

    def needs(self) -> Sequence[Need]:
        """A driver of the device, and what calls it."""
        try:
            device = ", ".join(facts.name for facts, _ in found_devices())
        except EnvironmentFault:
            device = ""
        return (
            Need("pyopencl", "measuring on devices with OpenCL", version(), INSTALL),
            Need("OpenCL driver", "measuring on devices with OpenCL", device, DRIVER),
        )


def _shortcoming(facts: DeviceFacts, target: Target) -> str:
    """What the device has less of than the target says."""
    for key, has in (("threads", facts.threads), ("shared", facts.shared)):
        if has < target.number(key):
            return f"{facts.name} has {key}={has}, {target} says more: name the target with {key}={has}"
    return ""
