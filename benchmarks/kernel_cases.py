"""The operators that `python -m benchmarks.kernels` measures, by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.workload.parse import parse_workload


@dataclass(frozen=True, slots=True)
class Case:
    """A named workload in its text form."""

    name: str
    workload: str


QUICK = (
    Case("gemm-512", "gemm:m=512,n=512,k=512,dtype=float32"),
    Case("gemm-1024", "gemm:m=1024,n=1024,k=1024,dtype=float32"),
    Case("gemm-500x777x333", "gemm:m=500,n=777,k=333,dtype=float32"),
    Case("gemm-1024-u8s8", "gemm:m=1024,n=1024,k=1024,dtype=uint8"),
    Case("gemm-1024-bf16", "gemm:m=1024,n=1024,k=1024,dtype=bfloat16"),
    Case("conv2d-14x14x256", "conv2d:n=1,h=14,w=14,ci=256,co=256,kh=3,kw=3,pad=1,layout=nhwc,dtype=float32"),
    Case("conv2d-56x56x64", "conv2d:n=1,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1,layout=nhwc,dtype=float32"),
)
"""What the headline numbers are about."""

_ONLY_FULL = (
    Case("conv2d-1x1", "conv2d:n=1,h=56,w=56,ci=64,co=256,kh=1,kw=1,layout=nhwc,dtype=float32"),
    Case("conv2d-strided", "conv2d:n=1,h=56,w=56,ci=128,co=128,kh=3,kw=3,stride=2,pad=1,layout=nhwc,dtype=float32"),
    Case("conv2d-stem", "conv2d:n=1,h=224,w=224,ci=3,co=64,kh=7,kw=7,stride=2,pad=3,layout=nhwc,dtype=float32"),
    Case("conv2d-grouped", "conv2d:n=1,h=56,w=56,ci=128,co=128,kh=3,kw=3,pad=1,groups=32,layout=nhwc,dtype=float32"),
    Case("conv2d-nchw", "conv2d:n=1,h=28,w=28,ci=128,co=128,kh=3,kw=3,pad=1,layout=nchw,dtype=float32"),
    Case("depthwise", "depthwise:n=1,h=56,w=56,c=128,kh=3,kw=3,pad=1,layout=nhwc,dtype=float32"),
    Case("conv1d", "conv1d:n=1,w=256,ci=64,co=128,kw=3,pad=1,dtype=float32"),
    Case("conv3d", "conv3d:n=1,d=8,h=28,w=28,ci=64,co=64,kd=3,kh=3,kw=3,pad=1,dtype=float32"),
    Case(
        "conv2d-transpose",
        "conv2d_transpose:n=1,h=16,w=16,ci=256,co=128,kh=4,kw=4,stride=2,pad=1,layout=nhwc,dtype=float32",
    ),
    Case("bmm", "bmm:b=12,m=128,n=128,k=64,dtype=float32"),
    Case("gemv", "gemv:m=4096,k=4096,dtype=float32"),
    Case("softmax", "softmax:rows=1024,cols=1024,dtype=float32"),
    Case("layer-norm", "layer_norm:rows=1024,cols=768,dtype=float32"),
    Case("reduce-sum", "reduce:op=sum,m=4096,n=1024,dtype=float32"),
    Case("reduce-columns", "reduce:op=mean,m=4096,n=1024,axis=0,dtype=float32"),
    Case("max-pool", "pool2d:kind=max,n=1,h=112,w=112,c=64,kh=3,kw=3,stride=2,pad=1,layout=nhwc,dtype=float32"),
    Case("avg-pool", "pool2d:kind=avg,n=1,h=56,w=56,c=256,kh=2,kw=2,stride=2,layout=nchw,dtype=float32"),
)

_TRANSPOSED = "conv2d_transpose:n=1,h=28,w=28,ci=1024,co=512,kh=2,kw=2,stride=2"

ODD = (
    Case("conv2d-transpose-k2s2", f"{_TRANSPOSED},layout=nhwc,dtype=float32"),
    Case("conv2d-transpose-k2s2-nchw", f"{_TRANSPOSED},layout=nchw,dtype=float32"),
    Case(
        "conv2d-transpose-nchw",
        "conv2d_transpose:n=1,h=16,w=16,ci=256,co=128,kh=4,kw=4,stride=2,pad=1,layout=nchw,dtype=float32",
    ),
    Case("conv2d-grouped-nchw", "conv2d:n=1,h=28,w=28,ci=96,co=96,kh=3,kw=3,pad=1,groups=3,layout=nchw,dtype=float32"),
    Case("conv2d-odd-bf16", "conv2d:n=1,h=17,w=19,ci=13,co=11,kh=3,kw=3,pad=1,layout=nhwc,dtype=bfloat16"),
    Case("gemm-odd-u8s8", "gemm:m=127,n=131,k=137,dtype=uint8"),
    Case("gemm-odd-bf16", "gemm:m=127,n=131,k=137,dtype=bfloat16"),
    Case("gemm-3x3x100003", "gemm:m=3,n=3,k=100003,dtype=float32"),
    Case("gemm-1x1009x1013", "gemm:m=1,n=1009,k=1013,dtype=float32"),
    Case("gemm-2x50257x64", "gemm:m=2,n=50257,k=64,dtype=float32"),
    Case("reduce-odd-columns", "reduce:op=sum,m=1009,n=1013,axis=0,dtype=float32"),
    Case("reduce-one-row", "reduce:op=sum,m=1,n=1000003,dtype=float32"),
    Case("softmax-one-row", "softmax:rows=1,cols=3000017,dtype=float32"),
    Case("softmax-bf16", "softmax:rows=1024,cols=1024,dtype=bfloat16"),
    Case("layer-norm-short", "layer_norm:rows=10007,cols=3,dtype=float32"),
)
"""Extents that nothing divides, very few or very many of something, narrow types."""

SUITES = {"quick": QUICK, "full": QUICK + _ONLY_FULL, "odd": ODD}


def choose_cases(suite: str, only: Sequence[str]) -> tuple[Case, ...]:
    """The suite, or of all cases those named in `only`, in the order named.

    Raises `UsageError` with the nearest name for one that does not exist.
    """
    if not only:
        return SUITES[suite]
    known = {case.name: case for cases in SUITES.values() for case in cases}
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"unknown case {name!r}; {hint}")
    return tuple(known[name] for name in dict.fromkeys(only))


def custom_case(text: str) -> Case:
    """A case from a workload's text, under that text as its name.

    Raises `UsageError` for constant weights: flextune would pack them beforehand, and not all peers can.
    """
    workload = parse_workload(text)
    if workload.constants:
        raise UsageError(f"{text}: peers are compared with weights as inputs; leave weights=constant out")
    return Case(str(workload), str(workload))
