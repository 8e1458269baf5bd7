"""What each peer computes is what the workload says, on small shapes; and how their processes are started."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.call import Call, Job, UnsupportedError
from benchmarks.peers.catalog import PEERS, Peer, choose_peers, missing_peers
from benchmarks.peers.process import PeerProcess, environment
from flextune.errors import UsageError
from flextune.measure.data import load_data, save_data
from flextune.workload.parse import parse_workload
from flextune.workload.tensor import Tolerance

TARGET = "x86:cpu=x86-64-v3,cores=1,features=sse4+avx2"

PRODUCTS = (
    "gemm:m=5,n=7,k=9",
    "gemm:m=5,n=7,k=9,ta=1,tb=1",
    "bmm:b=3,m=5,n=7,k=9",
    "gemv:m=5,k=9",
)

OTHERS = (
    "gemm:m=8,n=12,k=16,dtype=uint8",
    "conv1d:n=2,w=11,ci=4,co=6,kw=3,stride=2,pad=1",
    "conv2d:n=1,h=7,w=9,ci=4,co=6,kh=3,kw=3,pad=1,layout=nhwc",
    "conv2d:n=1,h=7,w=9,ci=4,co=6,kh=3,kw=3,stride=2,pad=1,dilation=2,groups=2,layout=nhwc",
    "conv2d:n=2,h=7,w=9,ci=4,co=6,kh=3,kw=2,pad=1,layout=nchw",
    "conv3d:n=1,d=4,h=5,w=6,ci=2,co=3,kd=3,kh=3,kw=3,pad=1",
    "depthwise:n=1,h=7,w=9,c=4,multiplier=2,kh=3,kw=3,pad=1,layout=nhwc",
    "depthwise:n=1,h=7,w=9,c=4,kh=3,kw=3,pad=1,layout=nchw",
    "conv2d_transpose:n=1,h=4,w=5,ci=3,co=2,kh=4,kw=3,stride=2,pad=1,output_padding=1,layout=nhwc",
    "conv2d_transpose:n=1,h=4,w=5,ci=3,co=2,kh=4,kw=3,stride=2,layout=nchw",
    "softmax:rows=4,cols=9",
    "layer_norm:rows=4,cols=9",
    "reduce:op=sum,m=6,n=5",
    "reduce:op=mean,m=6,n=5,axis=0",
    "pool2d:kind=max,n=1,h=8,w=9,c=3,kh=3,kw=3,stride=2,pad=1,layout=nhwc",
    "pool2d:kind=avg,n=1,h=8,w=9,c=3,kh=2,kw=3,stride=2,pad=1,include_pad=1,layout=nchw",
)

NEEDS = {"pytorch": "torch", "onnxruntime": "onnxruntime"}


def job_in(folder: Path, text: str) -> Job:
    workload = parse_workload(text)
    save_data(workload, folder)
    job = Job(str(folder), str(workload), TARGET, (min(os.sched_getaffinity(0)),), 1, 0, 0.002, 0.001)
    job.write()
    return job


def error_of(job: Job, call: Call) -> float:
    """As a multiple of what is allowed; the outputs start out poisoned by `calls_of`."""
    call.run()
    tolerance = job.workload.tolerance()
    allowed = Tolerance(tolerance.relative + call.rounding, tolerance.absolute, tolerance.whole)
    want = np.load(job.path / "reference0.npy")
    got = call.output()
    assert got.dtype == want.dtype
    return allowed.excess(got, want)


@pytest.fixture(autouse=True)
def _threads_of_pytorch() -> Iterator[None]:
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(os.cpu_count() or 1)


def calls_of(peer: str, job: Job) -> list[Call]:
    if peer in NEEDS:
        pytest.importorskip(NEEDS[peer])
    data = load_data(job.workload, job.path)
    data.poison_outputs()
    return list(import_module(PEERS[peer].module).prepare(job, data))


@pytest.mark.parametrize("text", PRODUCTS)
@pytest.mark.parametrize("peer", ["numpy", "onnxruntime", "pytorch"])
def test_products(peer: str, text: str, tmp_path: Path) -> None:
    job = job_in(tmp_path, text)
    calls = calls_of(peer, job)
    assert calls
    assert all(error_of(job, call) <= 1 for call in calls)


@pytest.mark.parametrize("text", OTHERS)
@pytest.mark.parametrize("peer", ["onnxruntime", "pytorch"])
def test_other_operators(peer: str, text: str, tmp_path: Path) -> None:
    job = job_in(tmp_path, text)
    calls = calls_of(peer, job)
    assert calls
    assert all(error_of(job, call) <= 1 for call in calls)


def test_bfloat16_in_pytorch(tmp_path: Path) -> None:
    job = job_in(tmp_path, "gemm:m=8,n=12,k=16,dtype=bfloat16")
    assert all(error_of(job, call) <= 1 for call in calls_of("pytorch", job))


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        ("numpy", "gemm:m=4,n=4,k=4,dtype=uint8"),
        ("numpy", "softmax:rows=4,cols=4"),
        ("onnxruntime", "reduce:op=variance,m=4,n=4"),
        ("onnxruntime", "gemm:m=4,n=4,k=4,dtype=bfloat16"),
        ("onnxruntime", "gemm:m=4,n=4,k=4,epilogue=relu"),
        ("pytorch", "scan:m=4,n=4,k=4"),
    ],
)
def test_what_a_peer_lacks_is_said(peer: str, text: str, tmp_path: Path) -> None:
    job = job_in(tmp_path, text)
    with pytest.raises(UnsupportedError, match=r"\w+"):
        calls_of(peer, job)


def test_a_process_prepares_times_and_checks(tmp_path: Path) -> None:
    process = PeerProcess(PEERS["numpy"], job_in(tmp_path, "gemm:m=32,n=32,k=32"))
    try:
        assert process.ask("prepare") == {"variant": "", "threads": 1}
        assert 0 < process.ask("time")["secs"] < 10
        assert process.ask("check")["error"] == ""
    finally:
        process.close()


def test_a_process_says_why_it_is_absent(tmp_path: Path) -> None:
    process = PeerProcess(PEERS["numpy"], job_in(tmp_path, "softmax:rows=4,cols=4"))
    try:
        assert process.ask("prepare") == {"absent": "NumPy has matrix products only"}
    finally:
        process.close()


def test_every_library_gets_the_same_threads_and_nobody_s_own_settings() -> None:
    given = environment(3, without_torch=False, inherited={"OMP_WAIT_POLICY": "active", "HOME": "/h"})
    assert "OMP_WAIT_POLICY" not in given
    assert given["HOME"] == "/h"
    assert {given[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS", "TVM")} == {"3"}


def test_flextune_is_always_among_the_peers() -> None:
    assert [peer.name for peer in choose_peers(["numpy"])] == ["flextune", "numpy"]
    assert len(choose_peers([])) == len(PEERS)
    with pytest.raises(UsageError, match="did you mean 'pytorch'"):
        choose_peers(["pytorhc"])


def test_a_peer_that_is_not_installed_is_missing_not_dropped() -> None:
    there, absent = Peer("a", "m", packages=("numpy",)), Peer("b", "m", packages=("no_such_package_here",))
    assert list(missing_peers((there, absent))) == ["b"]
    assert "no_such_package_here" in missing_peers((there, absent))["b"]
