"""RISC-V with vectors of 256 bits: products and convolutions in float32. Ideal are full vectors of multiply-adds."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.platforms.case import PlatformCase
from benchmarks.platforms.emulated import Device
from benchmarks.platforms.emulated import cases as emulated

TRIALS = 16
DEVICES = (
    Device(
        "riscv:spacemit-k1",
        (
            "gemm:m=96,n=96,k=128,dtype=float32",
            "gemm:m=128,n=128,k=128,dtype=float32",
            "conv2d:h=14,w=14,ci=64,co=64,kh=3,kw=3,pad=1,weights=constant,layout=nhwc,dtype=float32",
        ),
        {"float32": 8},
    ),
)


def cases() -> Iterator[PlatformCase]:
    """On the K1 of SpacemiT."""
    return emulated(DEVICES, TRIALS)
