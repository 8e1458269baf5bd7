"""Targets that are NVIDIA GPUs. Needs no TVM and no driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flextune.platforms.cuda.devices import DEVICES
from flextune.target.host import Host
from flextune.target.kind import Attribute, Cache, Feature, TargetKind
from flextune.target.target import Target

ATTRIBUTES = (
    Attribute("arch", "a real architecture such as sm_80", numeric=False),
    Attribute("sms", "a positive number"),
    Attribute("features", "names of features", default=(), numeric=False),
    Attribute("threads", "a positive number", default=1024),
    Attribute("warp", "a positive number", default=32),
    Attribute("shared", "a positive number", default=49152, unit="bytes"),
    Attribute("registers", "a positive number", default=65536),
    Attribute("thread_registers", "a positive number", default=255),
    Attribute("l2", "a positive number", default=4194304, unit="bytes"),
    Attribute("bandwidth", "a positive number", default=300, unit="gigabytes_per_sec", in_key=False),
    Attribute("float32", "a positive number", default=8000, unit="gigaflops", in_key=False),
    Attribute("tensor16", "a positive number", default=8000, unit="gigaflops", in_key=False),
    Attribute("tf32", "a positive number", default=8000, unit="gigaflops", in_key=False),
    Attribute("tensor8", "a positive number", default=8000, unit="gigaops", in_key=False),
)
"""`threads` and `shared` (with the opt-in) are of one block, `registers` of one multiprocessor, `thread_registers` of
one thread. What is not in the key are data sheets' peaks: they only pick what is tried first."""

FEATURES = (
    Feature("float16"),
    Feature("bfloat16"),
    Feature("tf32"),
    Feature("int8"),
    Feature("cp_async"),
)
"""What tensor cores take, and copies from global to shared memory that pass no register."""


@dataclass(frozen=True, slots=True, eq=False)
class CudaKind(TargetKind):
    """NVIDIA GPUs from compute capability 7.5 on."""

    def caches(self, target: Target) -> Sequence[Cache]:
        return (Cache("shared", target.number("shared"), per_core=False), Cache("l2", target.number("l2"), False))

    def describe(self, target: Target, host: Host) -> Sequence[tuple[str, str]]:
        del host
        return (("GPU", f"{target.word('arch')}, {target.number('sms')} multiprocessors"),)


CUDA = CudaKind("cuda", ATTRIBUTES, FEATURES, DEVICES, host="flextune.platforms.cuda.detect:CudaHost")
