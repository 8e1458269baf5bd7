"""Targets that are devices with OpenCL. Needs no TVM and no driver.

Sources: Mali-G610 (as in the RK3588, four cores) of Arm's product page and of the "Arm GPU Best Practices" guide
(Valhall: warps of 16, 64 registers of a thread with 1024 threads per core); its group size and local memory are what
its driver tells. `pocl` is the CPU that PoCL runs on: groups of 4096 at the most, 256 KB that a core's second cache
holds, and of registers as many as keep a group's sums out of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flextune.target.host import Host
from flextune.target.kind import Attribute, Cache, Feature, TargetKind
from flextune.target.target import Target

ATTRIBUTES = (
    Attribute("device", "a part of the device's or its platform's name, such as pocl", numeric=False),
    Attribute("units", "a positive number", default=2),
    Attribute("features", "names of features", default=(), numeric=False),
    Attribute("threads", "a positive number", default=256),
    Attribute("warp", "a positive number", default=16),
    Attribute("shared", "a positive number", default=32768, unit="bytes"),
    Attribute("registers", "a positive number", default=65536),
    Attribute("thread_registers", "a positive number", default=64),
    Attribute("l2", "a positive number", default=1048576, unit="bytes"),
    Attribute("bandwidth", "a positive number", default=20, unit="gigabytes_per_sec", in_key=False),
    Attribute("float32", "a positive number", default=100, unit="gigaflops", in_key=False),
)
"""`threads` and `shared` (local memory) are of one group, `registers` of one compute unit."""

HALF, DOUBLE = "fp16", "fp64"

FEATURES = (
    Feature(HALF),
    Feature(DOUBLE),
)
"""The extensions cl_khr_fp16 and cl_khr_fp64."""

DEVICES = {
    "pocl": "device=pocl,units=2,features=fp64,threads=4096,warp=8,shared=262144,registers=262144,"
    "thread_registers=255,l2=33554432,bandwidth=20,float32=100",
    "mali-g610": "device=mali-g610,units=4,features=fp16,threads=1024,warp=16,shared=32768,registers=65536,"
    "thread_registers=64,l2=1048576,bandwidth=34,float32=512",
    "radeon-rx7900xtx": "device=gfx1100,units=96,features=fp16+fp64,threads=256,warp=32,shared=65536,registers=98304,"
    "thread_registers=256,l2=6291456,bandwidth=960,float32=61400",
}


@dataclass(frozen=True, slots=True, eq=False)
class OpenClKind(TargetKind):
    """Whatever has an OpenCL driver."""

    def caches(self, target: Target) -> Sequence[Cache]:
        return (Cache("shared", target.number("shared"), per_core=False), Cache("l2", target.number("l2"), False))

    def describe(self, target: Target, host: Host) -> Sequence[tuple[str, str]]:
        del host
        return (("device", f"{target.word('device')}, {target.number('units')} compute units"),)


OPENCL = OpenClKind("opencl", ATTRIBUTES, FEATURES, DEVICES, host="flextune.platforms.opencl.host:OpenClHost")
