"""Make the kernels of a first run on a GPU beforehand, where TVM, NVRTC and Triton are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.gpu import triton_members
from benchmarks.gpu.members import WORKLOADS
from benchmarks.gpu.prepared import NUMBERS, TIMES, Member, write_members
from flextune.errors import BuildError, UsageError
from flextune.platforms import platform_registry
from flextune.platforms.cuda.platform import opened as cuda_opened
from flextune.platforms.triton.compiler import version
from flextune.platforms.triton.platform import opened as triton_opened
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

MOST_BYTES = 60_000_000
_LOOKED_AT = 400

TIMED = (
    "gemm:m=4096,n=4096,k=4096,dtype=bfloat16",
    "gemm:m=8192,n=8192,k=8192,dtype=bfloat16",
    "gemm:m=4095,n=4097,k=1000,dtype=bfloat16",
    "gemm:m=1,n=4096,k=4096,dtype=bfloat16,tb=1",
    "gemm:m=16,n=4096,k=4096,dtype=bfloat16,tb=1",
    "gemm:m=64,n=4096,k=4096,dtype=bfloat16,tb=1",
    "gemm:m=1024,n=1024,k=1024,dtype=float16_float32,epilogue=bias+relu",
    "bmm:b=16,m=512,n=512,k=64,dtype=bfloat16,tb=1",
    "softmax:rows=4096,cols=4096",
    "layer_norm:rows=4096,cols=1024",
    "conv2d:n=16,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1,dtype=float16_float32",
    "conv2d:n=16,h=14,w=14,ci=256,co=256,kh=3,kw=3,pad=1,dtype=float16_float32",
)
"""Shapes whose times are compared with PyTorch's."""


def prepare(folder: Path, device: str, each: int, timed: int) -> int:
    """Write members for the device (such as h200): `each` of every small workload, `timed` of every large one.

    Returns the bytes of all files. Raises `UsageError` where these are more than a first run may carry along.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = [Target.parse(f"cuda:{device}"), *([Target.parse(f"triton:{device}")] if version() else [])]
    members = [
        member
        for target in targets
        for purpose, texts, count in (
            (NUMBERS, WORKLOADS if target.kind == "cuda" else triton_members.WORKLOADS, each),
            (TIMES, TIMED, timed),
        )
        for text in texts
        for member in _members(folder, purpose, text, target, count)
    ]
    write_members(folder, targets[0].word("arch"), members)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MOST_BYTES:
        raise UsageError(f"{folder} has {size} bytes, more than {MOST_BYTES}: ask for fewer members")
    return size


def _members(folder: Path, purpose: str, text: str, target: Target, count: int) -> Iterator[Member]:
    """The default of a space, and those that its rules find most promising; none where nothing computes it."""
    workload, platform = parse_workload(text), platform_registry.get(target.kind)
    try:
        space = platform.search_space(workload, target)
    except UsageError as error:
        print(f"left out: {target.kind}: {error}")
        return
    for assignment in _promising(space, count):
        try:
            [artifact] = platform.build([Candidate(workload, target, space.trace, assignment)])
        except BuildError as error:
            print(f"left out: {text} {assignment}: {error}")
            continue
        if target.kind == "cuda":
            cubin, plan = cuda_opened(artifact)
            codes = {"": cubin}
        else:
            codes, plan = triton_opened(artifact)
        files = {kernel: _written(folder, code) for kernel, code in codes.items()}
        yield Member(purpose, text, target.kind, dict(assignment), plan, files)


def _promising(space: SearchSpace, count: int) -> Sequence[object]:
    drawn = space.solutions.sample(np.random.default_rng(0), min(_LOOKED_AT, space.solutions.count))
    score = np.ones(len(drawn))
    for estimate in space.estimates:
        score = score * estimate(drawn.columns)
    best = [drawn[int(index)] for index in np.argsort(-score, kind="stable")]
    return list(dict.fromkeys((space.default, *best)))[:count]


def _written(folder: Path, code: bytes) -> str:
    name = f"{hashlib.sha256(code).hexdigest()[:20]}.cubin"
    (folder / name).write_bytes(code)
    return name
