"""Targets whose kernels Triton compiles: GPUs of NVIDIA (`triton`) and of AMD (`rocm`). Needs no Triton and no driver.

Sources: shared memory and registers of NVIDIA's as in `platforms/cuda/devices.py`. AMD's: "AMD Instinct MI300
Instruction Set Architecture" and "RDNA3 Instruction Set Architecture" (LDS 64 KB of a work-group; 512 registers of a
lane with accumulators on CDNA3, 256 on RDNA3); compute units, bandwidth and peaks of AMD's data sheets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flextune.target.host import Host
from flextune.target.kind import Attribute, Cache, TargetKind
from flextune.target.target import Target

ATTRIBUTES = (
    Attribute("arch", "an architecture such as sm_90 or gfx942", numeric=False),
    Attribute("units", "a positive number"),
    Attribute("warp", "a positive number", default=32),
    Attribute("threads", "a positive number", default=1024),
    Attribute("shared", "a positive number", default=65536, unit="bytes"),
    Attribute("thread_registers", "a positive number", default=255),
    Attribute("l2", "a positive number", default=4194304, unit="bytes"),
    Attribute("bandwidth", "a positive number", default=300, unit="gigabytes_per_sec", in_key=False),
    Attribute("float32", "a positive number", default=8000, unit="gigaflops", in_key=False),
    Attribute("tensor16", "a positive number", default=8000, unit="gigaflops", in_key=False),
    Attribute("tf32", "a positive number", default=8000, unit="gigaflops", in_key=False),
    Attribute("tensor8", "a positive number", default=8000, unit="gigaops", in_key=False),
)

NVIDIA = {
    "h200": "arch=sm_90,units=132,shared=232448,l2=52428800,bandwidth=4800,float32=66900,tensor16=989400,tf32=494700,"
    "tensor8=1978900",
    "h100": "arch=sm_90,units=132,shared=232448,l2=52428800,bandwidth=3350,float32=66900,tensor16=989400,tf32=494700,"
    "tensor8=1978900",
    "a100": "arch=sm_80,units=108,shared=166912,l2=41943040,bandwidth=2039,float32=19500,tensor16=312000,tf32=156000,"
    "tensor8=624000",
    "rtx4090": "arch=sm_89,units=128,shared=101376,l2=75497472,bandwidth=1008,float32=82600,tensor16=165200,tf32=82600,"
    "tensor8=660600",
}

AMD = {
    "mi300x": "arch=gfx942,units=304,warp=64,shared=65536,thread_registers=512,l2=4194304,bandwidth=5300,"
    "float32=163400,tensor16=1307400,tf32=653700,tensor8=2614900",
    "rx7900": "arch=gfx1100,units=96,warp=32,shared=65536,thread_registers=256,l2=6291456,bandwidth=960,float32=61400,"
    "tensor16=122800,tf32=61400,tensor8=122800",
}


@dataclass(frozen=True, slots=True, eq=False)
class TritonKind(TargetKind):
    """GPUs that Triton has a code generator for."""

    def caches(self, target: Target) -> Sequence[Cache]:
        return (Cache("shared", target.number("shared"), per_core=False), Cache("l2", target.number("l2"), False))

    def describe(self, target: Target, host: Host) -> Sequence[tuple[str, str]]:
        del host
        return (("GPU", f"{target.word('arch')}, {target.number('units')} units"),)


TRITON = TritonKind("triton", ATTRIBUTES, devices=NVIDIA, host="flextune.platforms.triton.host:TritonHost")
ROCM = TritonKind("rocm", ATTRIBUTES, devices=AMD, host="flextune.platforms.triton.host:RocmHost")
