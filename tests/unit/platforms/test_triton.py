"""Products in Triton: spaces everywhere; machine code where Triton is, numbers where its interpreter runs."""

import base64
import ctypes
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu.members import sample
from benchmarks.gpu.triton_members import WORKLOADS, compiled, interpreted
from flextune.csp import In
from flextune.errors import BuildError, EnvironmentFault, ScheduleError, UsageError
from flextune.platforms.cuda import driver as driver_module
from flextune.platforms.cuda.driver import open_driver
from flextune.platforms.triton.compiler import compile_launch, version
from flextune.platforms.triton.host import RocmHost, TritonHost
from flextune.platforms.triton.interpreter import interpreter_fault
from flextune.platforms.triton.kind import AMD, NVIDIA
from flextune.platforms.triton.platform import SCRATCH, RocmPlatform, TritonPlatform, opened, program_of
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

H200, MI300X = Target.parse("triton:h200"), Target.parse("rocm:mi300x")
needs_triton = pytest.mark.skipif(not version(), reason="Triton is not installed: pip install 'flextune[gpu]'")
needs_interpreter = pytest.mark.skipif(bool(interpreter_fault()), reason=interpreter_fault() or "it is there")


def member(text, target=H200, **values):
    """The most promising member with these values."""
    space = TritonPlatform().search_space(parse_workload(text), target)
    found = space.solutions.restrict(In(name, (value,), name=f"{name}_given") for name, value in values.items())
    return Candidate(parse_workload(text), target, space.trace, next(iter(found.sample(np.random.default_rng(0), 1))))


@pytest.mark.parametrize("text", [*(f"triton:{name}" for name in NVIDIA), *(f"rocm:{name}" for name in AMD)])
def test_devices_are_texts_that_round_trip(text):
    target = Target.parse(text)
    assert Target.parse(str(target)) == target
    assert Target.parse(f"{text},bandwidth=7").key == target.key


def test_limits_that_triton_does_not_check_are_constraints_with_reasons():
    workload = parse_workload("gemm:m=4096,n=4096,k=4096,dtype=bfloat16")
    for text in ("triton:h200", "triton:a100,shared=49152,threads=256", "rocm:mi300x", "rocm:rx7900"):
        target = Target.parse(text)
        space = TritonPlatform().search_space(workload, target)
        assert all(each.reason for each in space.problem.constraints if each.name.endswith("limit"))
        for each in space.solutions.sample(np.random.default_rng(0), 50):
            operands = 2 * each["block_k"] * (each["block_m"] + each["block_n"]) * each["stages"]
            assert each["shared_bytes"] == operands <= target.number("shared")
            assert each["warps"] * target.number("warp") <= target.number("threads")
            per_thread = each["block_m"] * each["block_n"] / (each["warps"] * target.number("warp"))
            assert per_thread < target.number("thread_registers")


def test_launches_cover_the_product_and_its_parts():
    text = "bmm:b=3,m=100,n=70,k=900,dtype=float16_float32,epilogue=bias+relu"
    multiply, finish = program_of(member(text, split_k=4, block_m=32, block_n=64)).launches
    assert multiply.grid == (4 * 2, 3, 4)
    assert dict(multiply.arguments)["c"] == "parts"
    assert finish.grid == (-(-3 * 100 * 70 // 1024), 1, 1)
    [alone] = program_of(member(text, split_k=1)).launches
    assert dict(alone.arguments) == {"a": "a", "b": "b", "bias": "bias", "c": "c"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("softmax:rows=4,cols=64", "gemm and bmm"),
        ("gemm:m=32,n=32,k=32,epilogue=gelu", "bias"),
        ("gemm:m=32,n=32,k=32,dtype=uint8", "operands of one type"),
        ("gemm:m=65536,n=65536,k=32", "elements"),
    ],
)
def test_what_is_not_computed_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        TritonPlatform().search_space(parse_workload(text), H200)


def test_artifacts_and_traces_of_others_are_refused():
    for artifact in (Artifact("of others", b""), Artifact("triton kernels and launches", b'{"codes": 1}')):
        with pytest.raises(BuildError):
            TritonPlatform().load(artifact)
    of_cuda = next(sample(["gemm:m=32,n=32,k=32"], Target.parse("cuda:a100"), 1))
    with pytest.raises(ScheduleError):
        program_of(Candidate(of_cuda.workload, H200, of_cuda.trace, of_cuda.assignment))
    assert program_of(member("gemm:m=32,n=32,k=32")).to_json()
    assert member("gemm:m=32,n=32,k=32").trace == Trace(())


def test_where_nothing_can_be_measured_it_is_said(monkeypatch):
    assert "compiled only" in RocmHost().unmeasurable(MI300X)
    open_driver.cache_clear()
    monkeypatch.setenv(driver_module.LIBRARY_VARIABLE, "libno-such-driver.so.1")
    assert "install NVIDIA's driver" in TritonHost().unmeasurable(H200)
    open_driver.cache_clear()


@needs_interpreter
def test_members_compute_the_workload_in_the_interpreter():
    candidates = [*sample(WORKLOADS, H200, 2)]
    candidates += [
        member("gemm:m=70,n=90,k=700,dtype=float16_float32,epilogue=bias+relu", split_k=8, group=4, block_m=16),
        member("bmm:b=3,m=33,n=34,k=300,dtype=float32,tb=1,epilogue=relu", split_k=2, block_k=16),
        member("gemm:m=130,n=40,k=33,dtype=bfloat16,ta=1", split_k=1, group=8, block_m=16, block_n=16),
    ]
    wrong = interpreted(candidates)
    assert [(fault, each.assignment) for fault, each in zip(wrong, candidates, strict=True) if fault] == []


@needs_interpreter
def test_a_wrong_number_is_seen(monkeypatch):
    candidate = member("gemm:m=40,n=40,k=64,dtype=float16_float32", split_k=1)
    right = program_of(candidate)
    monkeypatch.setattr("benchmarks.gpu.triton_members.program_of", lambda _: shorter(right))
    assert "wrong" in interpreted([candidate])[0]


def shorter(program):
    """The same with a sum that ends too early."""
    [launch] = program.launches
    constants = tuple((name, 48 if name == "k" else value) for name, value in launch.constants)
    changed = type(launch)(launch.kernel, launch.arguments, launch.types, constants, launch.grid, launch.warps, 1)
    return type(program)(program.parameters, (changed,), program.workspaces)


@needs_triton
@pytest.mark.parametrize("target", ["triton:h200", "triton:a100", "rocm:mi300x"])
def test_members_compile_without_spills_within_their_shared_memory(target):
    texts = [
        "gemm:m=4096,n=4096,k=4096,dtype=bfloat16,epilogue=bias",
        "gemm:m=37,n=41,k=1500,dtype=int8",
    ]
    for candidate in sample(texts, Target.parse(target), 2):
        found = compiled(candidate)
        assert (found.fault, found.spills) == ("", 0), candidate.assignment


@needs_triton
def test_machine_code_is_of_the_targets_architecture():
    big = member("gemm:m=512,n=512,k=512,dtype=bfloat16", block_m=128, block_n=128, block_k=64, warps=4, split_k=1)
    [launch] = program_of(big).launches
    assert compile_launch(launch, H200).parameters == 6
    assert compile_launch(launch, MI300X).threads == 256
    assert compile_launch(launch, MI300X).code[:4] == b"\x7fELF"


@needs_triton
def test_amd_kernels_are_not_launched():
    [artifact] = RocmPlatform().build([member("gemm:m=64,n=64,k=64,dtype=float16", MI300X)])
    with pytest.raises(EnvironmentFault, match="compiled only"):
        RocmPlatform().load(artifact)


@needs_triton
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to compile the driver library")
def test_a_split_product_is_two_modules_that_are_loaded_and_given_back(tmp_path, monkeypatch):
    path = tmp_path / "libfakecuda.so"
    source = Path(__file__).with_name("fake_cuda_driver.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", path, source], check=True)
    open_driver.cache_clear()
    monkeypatch.setenv(driver_module.LIBRARY_VARIABLE, str(path))
    fake = ctypes.CDLL(str(path))
    fake.fake_allocated.restype = ctypes.c_size_t
    [artifact] = TritonPlatform().build([member("gemm:m=64,n=64,k=512,dtype=bfloat16", split_k=4)])
    codes, plan = opened(artifact)
    assert [launch.kernel for launch in plan.launches] == list(codes) == ["gemm", "finish"]
    assert plan.launches[0].arguments[-2:] == (SCRATCH, SCRATCH)
    before = fake.fake_allocated()
    fakes = dict.fromkeys(codes, b"cubin")
    kernel = TritonPlatform().load(
        Artifact(artifact.kind, artifact_with(artifact, fakes), artifact.entry, artifact.packs, artifact.report)
    )
    kernel.bind([np.zeros((64, 512), np.uint16)] * 2, [np.zeros((64, 64), np.float32)])
    assert fake.fake_allocated() > before
    kernel.close()
    assert fake.fake_allocated() == before
    open_driver.cache_clear()


def artifact_with(artifact, codes):
    """The content with other machine code: the driver of the tests takes none but its own."""
    content = json.loads(artifact.content)
    content["codes"] = {name: base64.b64encode(code).decode() for name, code in codes.items()}
    return json.dumps(content).encode()
