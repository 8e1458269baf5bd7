"""Hexagon: products and convolutions of bytes by HVX. Ideal is VRMPY, 128 multiply-adds."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.platforms.case import PlatformCase
from benchmarks.platforms.emulated import Device
from benchmarks.platforms.emulated import cases as emulated

TRIALS = 16
DEVICES = (
    Device(
        "hexagon:v68",
        (
            "gemm:m=128,n=128,k=128,dtype=uint8,weights=constant",
            "gemm:m=128,n=128,k=128,dtype=int8,weights=constant",
            "conv2d:h=14,w=14,ci=64,co=64,kh=3,kw=3,pad=1,weights=constant,layout=nhwc,dtype=int8",
        ),
        {"uint8": 128, "int8": 128},
    ),
)


def cases() -> Iterator[PlatformCase]:
    """On a DSP of version 68."""
    return emulated(DEVICES, TRIALS)
