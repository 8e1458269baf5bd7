"""Arm: products and convolutions in float32, float16 and int8. Ideal are full vectors of multiply-adds, and SDOT."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.platforms.case import PlatformCase
from benchmarks.platforms.emulated import Device
from benchmarks.platforms.emulated import cases as emulated

TRIALS = 32
_CONV = "conv2d:h=14,w=14,ci=64,co=64,kh=3,kw=3,pad=1,weights=constant,layout=nhwc"
_PRODUCTS = {"float32": 4, "float16": 8, "int8": 16}

DEVICES = (
    Device(
        "arm:rk3588",
        (
            "gemm:m=128,n=128,k=128,dtype=float32",
            "gemm:m=128,n=128,k=128,dtype=float16",
            "gemm:m=128,n=128,k=128,dtype=int8,weights=constant",
            f"{_CONV},dtype=float32",
            f"{_CONV},dtype=float16",
            f"{_CONV},dtype=int8",
            "conv2d:h=28,w=28,ci=64,co=96,kh=1,kw=1,weights=constant,layout=nhwc,dtype=float32",
        ),
        _PRODUCTS,
    ),
    Device(
        "arm:graviton2",
        (
            "gemm:m=96,n=160,k=128,dtype=float32",
            "gemm:m=196,n=64,k=64,dtype=int8,weights=constant,epilogue=bias+relu",
            "conv2d:h=28,w=28,ci=32,co=32,kh=3,kw=3,pad=1,weights=constant,dtype=float32",
        ),
        _PRODUCTS,
    ),
)


def cases() -> Iterator[PlatformCase]:
    """On the A76 of RK3588, and on Graviton2's Neoverse N1."""
    return emulated(DEVICES, TRIALS)
