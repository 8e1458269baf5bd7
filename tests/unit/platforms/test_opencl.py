"""The OpenCL platform: targets, source and limits everywhere; numbers and races where PoCL and oclgrind are."""

import numpy as np
import pytest

from benchmarks.gpu.members import sample
from benchmarks.gpu.opencl_members import POCL, check, is_found, planted
from flextune.errors import BuildError, EnvironmentFault, UsageError
from flextune.platforms.opencl import device
from flextune.platforms.opencl.host import OpenClHost
from flextune.platforms.opencl.kind import DEVICES
from flextune.platforms.opencl.platform import OpenClPlatform, opened
from flextune.platforms.opencl.simulation import simulator_fault
from flextune.platforms.opencl.source import local_bytes, with_local_memory_first
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

MALI = Target.parse("opencl:mali-g610")
needs_simulator = pytest.mark.skipif(bool(simulator_fault()), reason=simulator_fault() or "oclgrind is there")

WORKLOADS = (
    "gemm:m=37,n=41,k=70,tb=1,epilogue=bias+relu",
    "gemm:m=33,n=24,k=40,ta=1,dtype=bfloat16",
    "gemm:m=20,n=36,k=33,dtype=int8",
    "conv2d:h=6,w=7,ci=5,co=9,kh=3,kw=3,pad=1,stride=2",
    "softmax:rows=3,cols=77",
    "layer_norm:rows=2,cols=40",
    "reduce:op=argmax,m=4,n=50",
    "elementwise:shape=9x16,ops=gelu",
)


def built(text, target=POCL, each=1):
    for candidate in sample([text], target, each):
        [artifact] = OpenClPlatform().build([candidate])
        yield candidate, artifact


@pytest.mark.parametrize("name", DEVICES)
def test_devices_are_texts_that_round_trip(name):
    target = Target.parse(f"opencl:{name}")
    assert Target.parse(str(target)) == target
    assert Target.parse(f"opencl:{name},bandwidth=7").key == target.key
    assert Target.parse(f"opencl:{name},shared=4096").key != target.key


@pytest.mark.parametrize("target", [POCL, MALI], ids=str)
@pytest.mark.parametrize("text", ["gemm:m=100,n=60,k=200", "softmax:rows=8,cols=300", "reduce:op=argmax,m=4,n=90"])
def test_local_memory_is_what_the_constraints_say(text, target):
    for candidate, artifact in built(text, target, 5):
        assignment = candidate.assignment
        predicted = max(value for name, value in assignment.items() if name.endswith("shared_bytes"))
        assert artifact.report.shared_bytes == predicted <= target.number("shared")
        assert opened(artifact)[2].launches[0].threads == assignment["threads"] <= target.number("threads")


def test_limits_are_constraints_with_reasons():
    small = Target.parse("opencl:mali-g610,shared=2048,threads=64")
    for text in ("gemm:m=128,n=128,k=128", "softmax:rows=8,cols=300"):
        space = OpenClPlatform().search_space(parse_workload(text), small)
        assert all(constraint.reason for constraint in space.problem.constraints if constraint.name.endswith("limit"))
        for assignment in space.solutions.sample(np.random.default_rng(0), 10):
            [artifact] = OpenClPlatform().build([Candidate(parse_workload(text), small, space.trace, assignment)])
            assert artifact.report.shared_bytes <= 2048
            assert max(launch.threads for launch in opened(artifact)[2].launches) <= 64


def test_types_that_a_device_lacks_are_refused_before_any_trial():
    half = parse_workload("gemm:m=16,n=16,k=16,dtype=float16")
    with pytest.raises(UsageError, match="feature fp16"):
        OpenClPlatform().search_space(half, POCL)
    [(_, artifact)] = built(str(half), MALI)
    assert "cl_khr_fp16 : enable" in opened(artifact)[1]


def test_local_memory_is_declared_where_kernels_begin():
    source = "__kernel void f(int n) {\n  for (;;) {\n    __local float4 a[3];\n    __local uchar b[5];\n  }\n}\n"
    first = with_local_memory_first(source)
    assert first == "__kernel void f(int n) {\n  __local float4 a[3];\n  __local uchar b[5];\n  for (;;) {\n  }\n}\n"
    assert local_bytes(first) == 53
    assert local_bytes(first + "__kernel void g(int n) {\n  __local double c[2];\n}\n") == 53
    with pytest.raises(BuildError, match="image"):
        local_bytes("__kernel void f(int n) {\n  __local image a[3];\n}\n")


def test_artifacts_of_others_are_refused():
    for artifact in (Artifact("of others", b""), Artifact("opencl c and launches", b'{"device": 1}')):
        with pytest.raises(BuildError):
            OpenClPlatform().load(artifact)


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr("flextune.platforms.opencl.host.matching", lambda name: ())
    monkeypatch.setattr(device, "found_devices", lambda: ())
    assert "apt-get install pocl-opencl-icd" in OpenClHost().unmeasurable(POCL)

    def absent(name):
        raise EnvironmentFault("pyopencl is not there")

    monkeypatch.setattr("flextune.platforms.opencl.host.matching", absent)
    assert OpenClHost().unmeasurable(POCL) == "pyopencl is not there"
    small = device.DeviceFacts("pocl", 2, 4096, 1024, ())
    monkeypatch.setattr("flextune.platforms.opencl.host.matching", lambda name: ((small, None),))
    assert "shared=1024" in OpenClHost().unmeasurable(POCL)


@pytest.mark.emulator("opencl")
@pytest.mark.parametrize("text", WORKLOADS)
def test_members_compute_the_workload(text):
    for candidate in sample([text], POCL, 2):
        found = check(candidate, simulated=not simulator_fault())
        assert found.fault == "", candidate.assignment


@pytest.mark.emulator("opencl")
@needs_simulator
def test_planted_faults_are_found():
    candidate = next(each for each in sample(["gemm:m=16,n=20,k=40"], POCL, 20) if each.assignment["depth"] < 40)
    faults = list(planted(candidate))
    assert len(faults) == 4
    for name, source, plan in faults:
        assert is_found(candidate, source, plan), name


@pytest.mark.emulator("opencl")
def test_kernels_bind_anew_and_are_timed_by_the_device():
    [(candidate, artifact)] = built("gemm:m=40,n=24,k=16")
    kernel = OpenClPlatform().load(artifact)
    for seed in (0, 1):
        inputs = candidate.workload.random_inputs(seed)
        output = np.full((40, 24), np.nan, np.float32)
        kernel.bind(inputs, [output])
        kernel.run()
        np.testing.assert_allclose(output, inputs[0].astype(float) @ inputs[1], rtol=1e-4, atol=1e-5)
    assert all(0 < secs < 1 for secs in (*kernel.time(1, 2), *kernel.time(5, 2)))


@pytest.mark.emulator("opencl")
def test_what_the_driver_refuses_is_an_error_of_the_build():
    [(_, artifact)] = built("elementwise:shape=9x16,ops=relu")
    broken = Artifact(artifact.kind, artifact.content.replace(b"get_local_id", b"get_no_id"), artifact.entry)
    with pytest.raises(BuildError, match="refused"):
        OpenClPlatform().load(broken)
