"""From schedules to instructions: results, forms of workloads, and what does not fit."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from flextune.errors import BuildError, InfeasibleError, UsageError
from flextune.platforms.vta.form import form_of, operands_of
from flextune.platforms.vta.instruction import Finish, Memory, Opcode, Tokens, Transfer, encoded, micro_op
from flextune.platforms.vta.platform import VtaPlatform
from flextune.platforms.vta.space import vta_space
from flextune.platforms.vta.transfers import Box, transfers
from flextune.target.target import Target
from flextune.testing.platforms import output_fault
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

from .programs import VTA, gemm

SPREAD = [
    ("vta", "gemm:m=30,n=40,k=50,dtype=int8,epilogue=bias+relu+bias"),
    ("vta", "gemm:m=1,n=7,k=3,dtype=int8,ta=1,tb=1"),
    ("vta:pynq", "gemm:m=33,n=20,k=64,dtype=int8"),
    ("vta", "bmm:b=3,m=9,n=17,k=20,dtype=int8,epilogue=bias,tb=1"),
    ("vta", "gemv:m=50,k=70,dtype=int8,epilogue=bias+relu"),
    ("vta:ultra96", "conv2d:n=2,h=9,w=11,ci=20,co=24,kh=3,kw=3,pad=1,stride=2,dtype=int8,epilogue=bias+relu"),
    ("vta", "conv2d:n=1,h=8,w=12,ci=12,co=6,kh=3,kw=2,pad=0x1x2x0,dilation=2,groups=3,dtype=int8,epilogue=bias"),
    ("vta:pynq", "conv2d:n=2,h=7,w=7,ci=8,co=40,kh=1,kw=1,stride=3,dtype=int8,layout=nhwc"),
    ("vta", "conv1d:n=1,w=50,ci=20,co=20,kw=3,pad=32,dilation=16,dtype=int8"),
    ("vta", "conv1d:n=2,w=9,ci=4,co=4,kw=4,stride=4,dtype=int8,layout=nwc,groups=2"),
]


@pytest.mark.parametrize(("target", "text"), SPREAD)
def test_the_default_and_members_drawn_at_random_are_right(target, text):
    platform, workload, target = VtaPlatform(), parse_workload(text), Target.parse(target)
    space = platform.search_space(workload, target)
    members = [space.default, *space.solutions.sample(np.random.default_rng(7), 2)]
    for artifact in platform.build([Candidate(workload, target, space.trace, member) for member in members]):
        kernel = platform.load(artifact)
        assert output_fault(kernel, workload) == ""
        ideal = form_of(workload).multiply_adds / 256
        assert kernel.time(1, 2) == (kernel.time(1, 1)[0],) * 2
        assert kernel.time(1, 1)[0] >= ideal


def test_a_product_is_that_of_numpy_in_int32():
    program = gemm()
    left, right, bias = program.workload.random_inputs(1)
    expected = np.maximum(left.astype(np.int32) @ right.astype(np.int32) + bias, 0)
    result, _ = program.run()
    assert np.array_equal(result[0, 0, :, 0, :].T, expected)


def test_slots_hide_loads_and_stores():
    cycles = {
        (load, store): gemm(load_slots=load, store_slots=store).run()[1].cycles
        for load, store in itertools.product((1, 2), (1, 2))
    }
    assert cycles[2, 2] < cycles[1, 2] < cycles[1, 1]


def test_what_is_there_from_the_step_before_is_not_loaded_again():
    def loads(memory, **values):
        words = gemm(tile_k=48, **values).code.instructions[:, 0]
        return sum(int(word) & 7 == Opcode.LOAD and int(word) >> 7 & 7 == memory for word in words)

    assert loads(Memory.WEIGHT, order=0) == 2  # tiles of 32 of 40 channels
    assert loads(Memory.WEIGHT, order=1) == 3 * 2
    assert loads(Memory.INPUT, order=1) == 3
    assert loads(Memory.INPUT, order=0) == 2 * 3


def test_members_satisfy_the_limits_and_the_limits_are_those_of_the_buffers():
    workload = parse_workload("conv2d:n=1,h=28,w=28,ci=128,co=128,kh=3,kw=3,pad=1,dtype=int8")
    space = vta_space(workload, VTA)
    members = space.solutions.sample(np.random.default_rng(0), 200)
    assert (members.columns["tile_co"] % 16 == 0).all()
    for member in members[:20]:
        entries = member["tile_ci"] // 16 * member["input_oh"] * member["input_ow"] * member["load_slots"]
        assert entries * 16 == member["input_buffered"] <= 32768
        assert member["tile_ci"] * member["tile_co"] * 9 * member["load_slots"] <= 262144
        assert 4 * member["tile_co"] * member["tile_oh"] * member["tile_ow"] * member["store_slots"] <= 131072
        assert member["micro_ops"] <= 8192
        assert member["listed_sums"] >= 2
    names = {constraint.name for constraint in space.problem.constraints if constraint.reason}
    limits = {"input_buffer", "weight_buffer", "accumulator_buffer", "micro_op_buffer", "access_cycles", "program_size"}
    assert names == limits | {"tile_co_block", "tile_ci_block"}


def test_a_kernel_that_no_buffer_holds_names_the_limit():
    workload = parse_workload("conv2d:n=1,h=60,w=60,ci=16,co=16,kh=40,kw=40,dtype=int8")
    with pytest.raises(InfeasibleError, match="weights fit their buffer"):
        vta_space(workload, VTA)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gemm:m=8,n=8,k=8", "dtype=int8"),
        ("gemm:m=8,n=8,k=8,dtype=uint8", "dtype=int8"),
        ("conv3d:n=1,d=4,h=4,w=4,ci=4,co=4,kd=1,kh=1,kw=1,dtype=int8", "gemm, bmm, gemv, conv1d, conv2d"),
    ],
)
def test_what_it_does_not_compute_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        vta_space(parse_workload(text), VTA)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vta:output_bits=16", "output_bits=8 or 32"),
        ("vta:input=65536", "an index has 11 bits"),
        ("vta:weight=100", "256 to 262144 bytes for weight"),
        ("vta:inputs=1", "did you mean input"),
        ("vta:latency=4294967360", "at most 2147483647 for latency"),
    ],
)
def test_hardware_that_instructions_cannot_address_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        vta_space(parse_workload("gemm:m=8,n=8,k=8,dtype=int8"), Target.parse(text))


def test_a_target_needs_no_values_and_round_trips():
    assert Target.parse("vta") == Target.parse("vta:bus=8")
    for text in ("vta", "vta:pynq", "vta:ultra96,latency=100"):
        assert Target.parse(str(Target.parse(text))) == Target.parse(text)


def test_a_program_of_too_many_instructions_is_no_candidate():
    workload, target = parse_workload("gemm:m=64,n=64,k=64,dtype=int8"), Target.parse("vta:program=1024")
    space = vta_space(workload, target)
    assert space.solutions.count < vta_space(workload, VTA).solutions.count
    most = max(space.solutions.sample(np.random.default_rng(0), 50), key=lambda member: member["instructions"])
    candidate = Candidate(workload, target, space.trace, most)
    VtaPlatform().build([candidate])
    with pytest.raises(BuildError, match="16 fit"):
        VtaPlatform().build([replace(candidate, target=Target.parse("vta:program=256"))])


def test_a_number_that_does_not_fit_its_field_is_refused():
    with pytest.raises(BuildError, match="src of"):
        micro_op(0, 2048)
    with pytest.raises(BuildError, match="rows of"):
        Transfer(Opcode.LOAD, Memory.INPUT, 0, 0, 1 << 16, 1, 1).words()


def test_instructions_lie_in_memory_as_the_hardware_reads_them():
    transfer = Transfer(Opcode.LOAD, Memory.WEIGHT, 5, 7, 2, 3, 9, top=1, bottom=2, left=3, right=4)
    [[first, second], [last, _]] = encoded([transfer, Finish()], [Tokens.PUSH_NEXT, Tokens.NONE]).tolist()
    assert first == 1 << 6 | 1 << 7 | 5 << 10 | 7 << 26
    assert second == 2 | 3 << 16 | 9 << 32 | 1 << 48 | 2 << 52 | 3 << 56 | 4 << 60
    assert last == 3
    assert micro_op(1, 2, 3) == 1 | 2 << 11 | 3 << 22


def test_boxes_take_few_transfers():
    def count(*box, **sides):
        return len(list(transfers(Opcode.LOAD, Memory.INPUT, Box(0, 0, *box, **sides))))

    assert count(4, 1, 8, 100) == 1  # planes of one row
    assert count(4, 3, 8, 100, 8) == 1  # rows without gaps
    assert count(4, 3, 8, 100, 10) == 4
    assert count(4, 3, 8, 100, 8, left=1) == 4
    assert count(4, 1, 8, 100_000) == 4  # further apart than an instruction can say
    with pytest.raises(BuildError, match="65535"):
        count(1, 3, 8, 0, 100_000)


def test_views_of_operands_are_those_of_the_workload():
    workload = parse_workload("conv2d:n=2,h=4,w=5,ci=6,co=8,kh=3,kw=2,groups=2,dtype=int8,layout=nhwc,epilogue=bias")
    data, weight, bias = workload.random_inputs(0)
    operands = operands_of(workload, form_of(workload), (data, weight, bias))
    assert operands.data[1, 0, 2, 3, 4] == data[0, 3, 4, 5]
    assert operands.weight[1, 2, 1, 5] == weight[2, 1, 1, 6]
    assert operands.biases[0][1, 3] == bias[7]
