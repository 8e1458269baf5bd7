"""Members of GPU spaces: what the generated source computes under emulation, and what the emulation finds."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gpu.members import check, emulated, prepared, sample
from flextune.errors import BuildError
from flextune.platforms.cuda.emulation.emulator import EmulationError, Emulator, compiler_fault, sanitizer_fault
from flextune.platforms.cuda.nvrtc import compile_cuda, nvrtc_version, resources_of
from flextune.platforms.cuda.platform import CudaPlatform, check_limits
from flextune.platforms.cuda.source import cuda_source
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.schedule.apply import apply_trace
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.workload.parse import parse_workload

A100 = Target.parse("cuda:a100")
needs_nvrtc = pytest.mark.skipif(not nvrtc_version(), reason="NVRTC is not installed: pip install 'flextune[gpu]'")


@pytest.fixture(scope="module")
def compiler():
    if fault := compiler_fault():
        pytest.skip(fault)


@pytest.fixture(scope="module")
def sanitizer():
    if fault := sanitizer_fault():
        pytest.skip(fault)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=37,n=41,k=19,tb=1,epilogue=bias+relu",
        "conv2d:h=6,w=7,ci=5,co=9,kh=3,kw=3,pad=1,dtype=bfloat16",
        "gemm:m=33,n=60,k=40,ta=1,dtype=bfloat16,epilogue=bias+relu",
        "softmax:rows=3,cols=77",
        "reduce:op=argmax,m=4,n=50",
        "pool2d:kind=max,h=6,w=6,c=4,kh=2,kw=2",
    ],
)
def test_the_generated_source_computes_the_workload(text):
    for candidate in sample([text], A100, 2):
        found = check(candidate, with_races=False, with_compiler=bool(nvrtc_version()))
        assert found.fault == "", candidate.assignment


@pytest.mark.usefixtures("sanitizer")
def test_a_barrier_that_is_left_out_is_a_race_or_a_wrong_number():
    [candidate] = sample(["gemm:m=32,n=32,k=64"], A100, 1)
    source, plan = source_of(candidate)
    inputs = candidate.workload.random_inputs(0)
    assert emulated(candidate.workload, source, plan, inputs, with_races=True) == ("", 0)
    barrier = "__syncthreads();"
    assert source.count(barrier) == 2
    for number in range(2):
        at = [place for place in range(len(source)) if source.startswith(barrier, place)][number]
        without = source[:at] + source[at + len(barrier) :]
        wrong, races = emulated(candidate.workload, without, plan, inputs, with_races=True)
        assert wrong or races


@pytest.mark.parametrize(
    "text", ["gemm:m=100,n=60,k=200", "conv2d:h=14,w=14,ci=16,co=32,kh=3,kw=3", "bmm:b=2,m=64,n=64,k=64"]
)
def test_shared_bytes_are_what_the_constraints_say(text):
    for candidate in sample([text], A100, 6):
        _, plan = source_of(candidate)
        assert plan.dynamic_shared == candidate.assignment["shared_bytes"]
        assert plan.launches[0].threads == candidate.assignment["threads"]
        assert candidate.assignment["threads"] % 32 == 0


def test_limits_are_constraints_with_reasons():
    problem = CudaPlatform().search_space(parse_workload("gemm:m=512,n=512,k=512"), A100).problem
    reasons = {constraint.name: constraint.reason for constraint in problem.constraints}
    for name in ("threads_limit", "whole_warps", "shared_limit", "thread_registers_limit", "block_registers_limit"):
        assert reasons[name]
    small = Target.parse("cuda:a100,shared=4096,threads=128")
    space = CudaPlatform().search_space(parse_workload("gemm:m=512,n=512,k=512"), small)
    drawn = space.solutions.sample(np.random.default_rng(0), 20)
    assert max(each["shared_bytes"] for each in drawn) <= 4096
    assert max(each["threads"] for each in drawn) <= 128


@pytest.mark.usefixtures("compiler")
def test_a_kernel_that_leaves_a_buffer_ends():
    [candidate] = sample(["elementwise:shape=64x64,ops=relu"], A100, 1)
    source, plan = source_of(candidate)
    arrays, _ = prepared(candidate.workload, plan, candidate.workload.random_inputs(0))
    longer = replace(plan.launches[0], grid=(plan.launches[0].grid[0] + 1, 1, 1))
    emulator = Emulator(source, replace(plan, launches=(longer,)))
    with pytest.raises(EmulationError, match="ended"):
        emulator.run(arrays)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("axis", [0, 1])
def test_a_reduction_passes_nan_on(axis):
    [candidate] = sample([f"reduce:op=max,m=5,n=40,axis={axis}"], A100, 1)
    source, plan = source_of(candidate)
    [numbers] = candidate.workload.random_inputs(0)
    numbers[2, 33] = np.nan
    arrays, [expected] = prepared(candidate.workload, plan, [numbers])
    found = Emulator(source, plan).run(arrays).arrays[plan.parameters[-1]]
    assert np.isnan(expected).sum() == 1
    np.testing.assert_array_equal(found, expected)


def test_launch_plans_are_texts_and_artifacts_of_others_are_refused():
    [candidate] = sample(["softmax:rows=4,cols=64"], A100, 1)
    _, plan = source_of(candidate)
    assert LaunchPlan.parse(plan.to_json()) == plan
    with pytest.raises(BuildError):
        LaunchPlan.parse("{}")
    with pytest.raises(BuildError):
        CudaPlatform().load(Artifact("of others", b""))


def test_what_ptxas_says_is_read():
    log = (
        "ptxas info    : Function properties for main_kernel\n"
        "    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads\n"
        "ptxas info    : Used 40 registers, used 1 barriers, 4096 bytes smem\n"
    )
    said = resources_of(log)
    assert (said.registers, said.stack_bytes, said.spill_bytes, said.shared_bytes) == (40, 8, 28, 4096)
    with pytest.raises(BuildError):
        resources_of("")


@needs_nvrtc
@pytest.mark.parametrize("device", ["t4", "a100", "h200", "b200"])
def test_cubins_for_every_architecture(device):
    target = Target.parse(f"cuda:{device}")
    [candidate] = sample(["gemm:m=64,n=64,k=64"], target, 1)
    [artifact] = CudaPlatform().build([candidate])
    assert artifact.report.spills == 0
    assert artifact.report.shared_bytes == candidate.assignment["shared_bytes"]
    assert Artifact.parse(artifact.to_json()) == artifact


@needs_nvrtc
def test_what_nvrtc_and_the_limits_refuse_is_an_error_of_the_build():
    with pytest.raises(BuildError, match="refused"):
        compile_cuda("nonsense", "sm_80")
    [candidate] = sample(["gemm:m=64,n=64,k=64"], A100, 1)
    source, plan = source_of(candidate)
    with pytest.raises(BuildError, match="shared bytes"):
        check_limits(plan, compile_cuda(source, "sm_80").resources, Target.parse("cuda:a100,shared=1024"))


def source_of(candidate):
    program = apply_trace(candidate.workload, candidate.trace, candidate.assignment, candidate.target)
    return cuda_source(program.module, candidate.target)
