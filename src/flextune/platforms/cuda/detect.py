"""NVIDIA GPUs of this machine as targets, and what is missing to use them."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.errors import EnvironmentFault
from flextune.platforms.cuda.devices import DEVICES
from flextune.platforms.cuda.driver import DeviceFacts, open_driver
from flextune.platforms.cuda.nvrtc import INSTALL, nvrtc_version
from flextune.target.kind import Need
from flextune.target.peak_loops import PeakLoops
from flextune.target.target import Target

_CP_ASYNC = 80
_FAMILY_SPECIFIC = 90
"""From compute capability 9.0 on, code for `sm_XYa` has instructions that `sm_XY` lacks."""

_LEAST_TENSOR = 75


class CudaHost:
    """See `flextune.target.kind.HostSupport`."""

    def detect(self) -> Target | None:
        """The first GPU of this machine; None where there is none that can be used."""
        try:
            return target_of(open_driver().facts(0))
        except EnvironmentFault:
            return None

    def lacking(self, instructions: Sequence[str]) -> Sequence[str]:
        """Whatever a host's code needs, a GPU does not have."""
        return tuple(instructions)

    def peak_loops(self, target: Target, cpus: Sequence[int]) -> PeakLoops:
        del cpus
        raise EnvironmentFault(f"the peaks of {target} are those of its target's text: they are not measured")

    def unmeasurable(self, target: Target) -> str:
        """Why candidates for this target cannot be timed on this machine; empty where they can."""
        try:
            found = [target_of(open_driver().facts(index)) for index in range(open_driver().device_count())]
        except EnvironmentFault as error:
            return str(error)
        if not nvrtc_version():
            return f"CUDA kernels are compiled by NVRTC, which is not installed: {INSTALL}"
        archs = [each.word("arch") for each in found]
        return (
            "" if target.word("arch") in archs else f"no CUDA device of {target} to measure on, but {', '.join(archs)}"
        )

    def needs(self) -> Sequence[Need]:
        """NVIDIA's driver to measure, NVRTC to build; no toolkit."""
        try:
            driver = open_driver()
            device = f"{driver.facts(0).name}, CUDA {driver.version // 1000}.{driver.version % 1000 // 10}"
        except EnvironmentFault:
            device = ""
        version = nvrtc_version()
        return (
            Need("CUDA driver", "measuring on NVIDIA GPUs", device, "install NVIDIA's driver; no toolkit is needed"),
            Need("NVRTC", "building kernels for NVIDIA GPUs", version, INSTALL),
        )


def target_of(facts: DeviceFacts) -> Target:
    """A device as a target: its numbers from the driver, its peaks from those of a known device of its name."""
    capability = 10 * facts.number("major") + facts.number("minor")
    arch = f"sm_{capability}{'a' if capability >= _FAMILY_SPECIFIC else ''}"
    own = {key: facts.number(key) for key in ("sms", "threads", "warp", "shared", "registers", "l2")}
    known = _known(facts.name)
    peaks = {key: known.number(key) for key in ("bandwidth", "float32", "tensor16", "tf32", "tensor8")} if known else {}
    return Target.of("cuda", arch=arch, features=_features(capability), **own, **peaks)


def _features(capability: int) -> tuple[str, ...]:
    if capability >= _CP_ASYNC:
        return ("float16", "bfloat16", "tf32", "int8", "cp_async")
    return ("float16", "int8") if capability >= _LEAST_TENSOR else ()


def _known(name: str) -> Target | None:
    """The known device that the driver's name ("NVIDIA GeForce RTX 4090") is of."""
    plain = name.lower().replace(" ", "").replace("-", "")
    found = [device for device in DEVICES if device in plain]
    return Target.parse(f"cuda:{max(found, key=len)}") if found else None
