"""The first run on a GPU, without one: prepared kernels, a driver library of the tests' own, PyTorch on the CPU."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import first_run, peers
from benchmarks.gpu.prepare import prepare
from benchmarks.gpu.prepared import NUMBERS, TIMES, Member, read_members, write_members
from flextune.errors import EnvironmentFault, UsageError
from flextune.platforms.cuda import driver as driver_module
from flextune.platforms.cuda.driver import open_driver
from flextune.platforms.cuda.nvrtc import nvrtc_version
from flextune.platforms.gpu.launch_plan import Launch, LaunchPlan
from flextune.platforms.triton.compiler import version
from flextune.workload.parse import parse_workload

PLAN = LaunchPlan(("in", "out"), (Launch("copy", ("out", "in"), (1, 1, 1), (32, 1, 1), 0),), ())
COPIED, OTHER = "reduce:op=sum,m=16,n=1", "elementwise:shape=4x4,ops=relu"
"""What a copy computes, and what it does not."""


def member(workload, file="good.cubin", purpose=NUMBERS):
    return Member(purpose, workload, "cuda", {"threads": 32}, PLAN, {"": file})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "good.cubin").write_bytes(b"cubin")
    (tmp_path / "bad.cubin").write_bytes(b"no machine code")
    members = [member(COPIED), member(OTHER), member(COPIED, "bad.cubin"), member(COPIED)]
    write_members(tmp_path, "sm_80", [*members, member("softmax:rows=4,cols=4", purpose=TIMES)])
    return tmp_path


@pytest.fixture
def driver(tmp_path, monkeypatch):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc to compile the driver library")
    path = tmp_path / "libfakecuda.so"
    source = Path(__file__).parents[1] / "platforms" / "fake_cuda_driver.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", path, source], check=True)
    open_driver.cache_clear()
    monkeypatch.setenv(driver_module.LIBRARY_VARIABLE, str(path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    yield
    open_driver.cache_clear()


def test_members_are_files_that_round_trip(folder):
    arch, members = read_members(folder)
    assert (arch, len(members), members[0]) == ("sm_80", 5, member(COPIED))
    assert members[2].codes(folder) == {"": b"no machine code"}
    with pytest.raises(UsageError, match="prepare"):
        read_members(folder / "nothing")


@pytest.mark.usefixtures("driver")
def test_wrong_and_refused_members_are_told_from_right_ones(folder, capsys):
    report = first_run.first_run(folder, time.monotonic() + 60)
    assert [row["workload"] for row in report["faults"]] == [OTHER, COPIED]
    assert (report["checked"], report["wrong"]) == (4, 2)
    assert "wrong in" in report["faults"][0]["error"]
    assert "cuModuleLoadData" in report["faults"][1]["error"]
    [timed] = report["times"]
    assert timed["error"]  # the copy is no softmax; or there is no PyTorch
    assert json.dumps(report)
    assert "ok" in capsys.readouterr().out


@pytest.mark.usefixtures("driver")
def test_a_lost_device_and_a_process_that_hangs_cost_one_member_each(folder, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuCtxSynchronize")
    rows = list(first_run._rows(folder, NUMBERS, 30, time.monotonic() + 60))
    assert len(rows) == 4
    assert all("illegal memory access" in row["error"] for row in (rows[0], rows[1], rows[3]))
    slow = [sys.executable, "-c", "import time; print('{}', flush=True); time.sleep(60)"]
    monkeypatch.setattr(first_run.sys, "executable", slow[0])
    monkeypatch.setattr(first_run.subprocess, "Popen", lambda command, **more: real_popen(slow, **more))
    rows = list(first_run._rows(folder, NUMBERS, 0.5, time.monotonic() + 60))
    assert [row.get("error", "") for row in rows] == ["", "took more than 0 s"] * 2


real_popen = subprocess.Popen


@pytest.mark.usefixtures("driver")
def test_kernels_of_another_architecture_and_machines_without_a_driver_are_refused(folder, monkeypatch):
    write_members(folder, "sm_90a", [member(COPIED)])
    with pytest.raises(EnvironmentFault, match="prepare for that device"):
        first_run.first_run(folder, time.monotonic() + 60)
    open_driver.cache_clear()
    monkeypatch.setenv(driver_module.LIBRARY_VARIABLE, "libno-such-driver.so.1")
    script = Path(first_run.__file__).with_name("first_run.sh")
    done = subprocess.run(
        [script, folder, folder / "result.json"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 2
    assert "install NVIDIA's driver" in done.stderr


def test_nothing_of_it_loads_tvm():
    code = "import sys, benchmarks.gpu.first_run; sys.exit(any(name.startswith('tvm') for name in sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0


PEERS = (
    "gemm:m=9,n=12,k=20,dtype=bfloat16,ta=1,tb=1",
    "gemm:m=9,n=12,k=20,epilogue=bias+relu",
    "bmm:b=2,m=5,n=6,k=7,tb=1",
    "softmax:rows=3,cols=10",
    "layer_norm:rows=3,cols=10",
    "conv2d:n=2,h=6,w=7,ci=3,co=4,kh=3,kw=3,pad=1,stride=2,epilogue=bias+relu",
)


@pytest.mark.parametrize("text", PEERS)
def test_the_peer_computes_the_same(text):
    torch = pytest.importorskip("torch")
    workload = parse_workload(text)
    inputs = workload.random_inputs(0)
    found = peers.torch_call(torch, workload, inputs, "cpu")().float().numpy()
    np.testing.assert_allclose(found, workload.reference(list(inputs))[0], rtol=2e-2, atol=2e-2)


class NumpyKernel:
    """Computes by the reference, or not; takes `secs`."""

    def __init__(self, workload, secs, right):
        self.workload, self.secs, self.right = workload, secs, right

    def bind(self, inputs, outputs):
        self.inputs, self.outputs = inputs, outputs

    def run(self):
        self.outputs[0][...] = self.workload.reference(list(self.inputs))[0] * self.right

    def time(self, number, repeats):
        return (self.secs,) * repeats

    def close(self):
        pass


def test_times_are_of_right_members_in_turns_with_the_peer(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    text = "gemm:m=9,n=12,k=20,epilogue=bias+relu"
    made = iter([(2e-3, 1), (1e-3, 0), (1.5e-3, 1), (9e-3, 1)])
    monkeypatch.setattr(first_run, "loaded", lambda *_: NumpyKernel(parse_workload(text), *next(made)))
    row = first_run.times_of(tmp_path, [member(text, purpose=TIMES)] * 4)
    assert len(row["faults"]) == 1
    assert set(row["secs"]) == {"torch", "cuda 0", "cuda 1"}
    assert row["ratio"] == pytest.approx(row["secs"]["torch"] / 1.5e-3)
    made = iter([(1e-3, 0)])
    assert "none of 1 members is right" in first_run.times_of(tmp_path, [member(text, purpose=TIMES)])["error"]


@pytest.mark.skipif(not nvrtc_version(), reason="NVRTC is not installed: pip install 'flextune[gpu]'")
def test_prepared_members_are_of_the_device(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.prepare.WORKLOADS", ("gemm:m=48,n=64,k=32,dtype=bfloat16",))
    monkeypatch.setattr("benchmarks.gpu.prepare.TIMED", ("softmax:rows=64,cols=128",))
    monkeypatch.setattr("benchmarks.gpu.triton_members.WORKLOADS", ("gemm:m=20,n=33,k=600,dtype=float16_float32",))
    size = prepare(tmp_path, "h200", 2, 3)
    arch, members = read_members(tmp_path)
    assert arch == "sm_90a"
    assert 0 < size < 2_000_000
    kinds = [(each.purpose, each.kind) for each in members]
    assert kinds[:5] == [(NUMBERS, "cuda")] * 2 + [(TIMES, "cuda")] * 3
    assert kinds[5:] == ([(NUMBERS, "triton")] * 2 if version() else [])
    for each in members:
        assert all(code[:4] == b"\x7fELF" for code in each.codes(tmp_path).values())
        assert {launch.kernel for launch in each.plan.launches} >= set(each.files) - {""}
    monkeypatch.setattr("benchmarks.gpu.prepare.MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="fewer members"):
        prepare(tmp_path, "h200", 1, 1)
