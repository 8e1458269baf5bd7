"""The platforms that Flex-DSA names: the devices that a graph's groups go to there, and tools of vendors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from flextune.errors import UsageError
from flextune.registry import nearest
from flextune.target.detect import detect
from flextune.target.target import Target

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Vendor:
    """A tool of a vendor that takes whole graphs, which flextune does not call."""

    name: str
    """Of the tool."""
    makes: str
    """What comes of it."""
    is_there: Callable[[], bool]
    """Whether it is installed here."""

    @property
    def missing_step(self) -> str:
        """Why what it makes is not there, in words."""
        why = (
            "flextune does not call it"
            if self.is_there()
            else "it is not installed here, and flextune does not call it"
        )
        return f"{self.makes} by {self.name}: {why}"


@dataclass(frozen=True, slots=True)
class DsaPlatform:
    """Where the groups of a graph are computed."""

    devices: tuple[str, ...]
    """Texts of targets: a group goes to the first that has a schedule for it. None is the machine that this is."""
    vendors: tuple[Vendor, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(map(Target.parse, self.devices)) or (detect(),)


def _command(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _package(name: str) -> Callable[[], bool]:
    return lambda: find_spec(name) is not None


PLATFORMS: Mapping[str, DsaPlatform] = {
    CPU: DsaPlatform(()),
    "huawei": DsaPlatform(("ascend:910b", "arm:kunpeng920"), (Vendor("CANN's atc", "a model file", _command("atc")),)),
    "nvidia": DsaPlatform(("cuda:a100",)),
    "rockchip": DsaPlatform(("arm:rk3588",), (Vendor("rknn-toolkit2", "code of its NPU", _package("rknn")),)),
    "qualcomm": DsaPlatform(
        ("hexagon:v68", "arm:snapdragon-8gen3"),
        (Vendor("onnxruntime-qnn", "a context binary of its NPU", _package("onnxruntime_qnn")),),
    ),
    "amd": DsaPlatform(("opencl:radeon-rx7900xtx",), (Vendor("hipcc", "AMDGPU code", _command("hipcc")),)),
    "xilinx": DsaPlatform(
        ("fpga:zu3eg", "arm:zu3eg"), (Vendor("Vivado", "a placed and routed design", _command("vivado")),)
    ),
}


def dsa_platform(name: str) -> DsaPlatform:
    """Raises `UsageError` with the nearest name for an unknown one."""
    if name not in PLATFORMS:
        raise UsageError(f"unknown platform {name!r}: {nearest(name, tuple(PLATFORMS))}")
    return PLATFORMS[name]
