"""Kernels in Ascend C compute what they should, and an emulation finds what would go wrong on a core."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from flextune.csp import Assignment
from flextune.errors import FlextuneError, InfeasibleError, UsageError
from flextune.platforms import platform_registry
from flextune.platforms.ascend.emulation.emulator import EmulationError, compiled
from flextune.platforms.ascend.form import form_of
from flextune.platforms.ascend.kernel import AscendKernel
from flextune.platforms.ascend.source import emulated_source
from flextune.target.kinds import unmeasurable
from flextune.target.target import Target
from flextune.testing.platforms import output_fault
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

TARGET = Target.parse("ascend:910b,cores=2,vector_cores=3")
PLATFORM = platform_registry.get("ascend")

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="executing Ascend C needs g++")


@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=70,n=50,k=41,dtype=float16,epilogue=bias+relu",
        "gemm:m=33,n=100,k=90,ta=1,dtype=float16,epilogue=relu",
        "gemm:m=16,n=48,k=130,tb=1,dtype=float16,epilogue=bias",
        "gemm:m=1,n=17,k=1,ta=1,tb=1,dtype=float16",
        "layer_norm:rows=9,cols=70,epsilon=0.5",
        "layer_norm:rows=2,cols=64",
        "softmax:rows=13,cols=129",
        "softmax:rows=1,cols=1",
    ],
)
def test_members_of_spaces_compute_what_they_should(text: str) -> None:
    workload = parse_workload(text)
    space = PLATFORM.search_space(workload, TARGET)
    for number, assignment in enumerate([space.default, *space.solutions.sample(np.random.default_rng(0), 2)]):
        [artifact] = PLATFORM.build([Candidate(workload, TARGET, space.trace, assignment)])
        assert not output_fault(PLATFORM.load(artifact), workload, number), assignment


def tried(text: str, assignment: str, search: str = "", replacement: str = "") -> str:
    """What is wrong with a kernel whose text was changed at the only place where it reads so."""
    workload = parse_workload(text)
    source = emulated_source(form_of(workload), Assignment.parse(assignment))
    if search:
        source, count = re.subn(search, replacement, source)
        assert count >= 1, f"{search} is not in the kernel"
    kernel = AscendKernel(form_of(workload), TARGET, compiled(source))
    try:
        return output_fault(kernel, workload, 0)
    except FlextuneError as error:
        return f"{type(error).__name__}: {error}"


PRODUCT, TILES = "gemm:m=75,n=70,k=100,dtype=float16,epilogue=bias", "tile_m=32,tile_n=32,part_k=32,parts=1,sum_slots=1"
SHORT, PANEL = "gemm:m=75,n=70,k=20,dtype=float16,epilogue=bias", "tile_m=32,tile_n=32,part_k=16,parts=2,sum_slots=1"
NORM, SOFTMAX = "layer_norm:rows=20,cols=70", "softmax:rows=20,cols=70"
ROWS = "at_once=2,depth=1"


def without(event: str, which: str) -> str:
    """An expression for both halves of an event."""
    return rf"(Set|Wait)Flag<HardEvent::{event}>\({which}\);"


@pytest.mark.parametrize(
    ("search", "replacement", "found"),
    [
        (without("MTE2_MTE1", "at"), "", "MTE1 does not wait for MTE2"),
        (without("MTE1_MTE2", "(at|slot)"), "", "MTE2 does not wait for MTE1"),
        (without("MTE1_M", "in"), "", "M does not wait for MTE1"),
        (without("M_MTE1", "(in|slot)"), "", "MTE1 does not wait for M"),
        (without("M_FIX", "slot"), "", "FIX does not wait for M"),
        (without("FIX_M", "slot"), "", "M does not wait for FIX"),
        (without("MTE2_MTE1", "2"), "", "MTE1 does not wait for MTE2"),
        (r"SetFlag<HardEvent::MTE1_M>\(in\);", "", "would wait forever"),
        (r"WaitFlag<HardEvent::FIX_M>\(slot\);\n  if", "if", "never waited for"),
        (r"PipeBarrier<PIPE_M>\(\);", "", "no barrier in M"),
        (r"PipeBarrier<PIPE_MTE2>\(\);", "", "no barrier in MTE2"),
        (r"DataCopy\(biases, .*", "", "reads what nothing wrote in BT"),
        (r"InitBuffer\(a1, 2 \*", "InitBuffer(a1, 1 *", "tensor of"),
        (r"InitBuffer\(co1, SLOTS", "InitBuffer(co1, 64 * SLOTS", "L0C holds 131072 bytes"),
        (r"outGM\[uint64_t\(m0\) \* N", "outGM[uint64_t(m0 + 80) * N", "beyond its global tensor"),
        (r"uint16_t\(fm\), 0, 0, false", "1, 0, 0, false", "is wrong in"),
        (r"uint16_t\(fk\), 0, 0, true", "uint16_t(fk), 0, 0, false", "is wrong in"),
        (r"uint16_t\(m\), uint16_t\(mp\), N", "uint16_t(mp), uint16_t(mp), N", "beyond argument"),
    ],
)
def test_faults_of_products_are_found(search: str, replacement: str, found: str) -> None:
    assert re.search(found, tried(PRODUCT, TILES, search, replacement))


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (without("MTE1_MTE2", "2"), "MTE2 does not wait for MTE1"),
        (without("M_MTE1", "2"), "MTE1 does not wait for M"),
        (r"InitConstValue\(to.*", "reads what nothing wrote in L1"),
    ],
)
def test_faults_of_products_with_one_panel_a_tile_are_found(search: str, found: str) -> None:
    assert re.search(found, tried(SHORT, PANEL, search))


@pytest.mark.parametrize(
    ("text", "search", "replacement", "found"),
    [
        (NORM, r"DataCopyPad\(shift.*", "", "reads what nothing wrote in UB"),
        (NORM, without("V_S", "EVENT_ID0"), "", "S does not wait for V"),
        (NORM, without("S_V", "EVENT_ID0"), "", "V does not wait for S"),
        (NORM, r"PipeBarrier<PIPE_V>\(\);\n        Add", "Add", "no barrier in V"),
        (SOFTMAX, r"Exp\(y, y, COLUMNS\);\n      PipeBarrier<PIPE_V>\(\);", "Exp(y, y, COLUMNS);", "no barrier in V"),
        (SOFTMAX, r"arriving\.EnQue\(incoming\);", "", "would wait forever"),
        (SOFTMAX, r"leaving\.FreeTensor\(outgoing\);", "", "would wait forever"),
        (SOFTMAX, "zeros{true,", "zeros{false,", "zeros fill"),
        (NORM, r"in\[each \* PITCH\]", "in[each * COLUMNS]", "no multiple of 32"),
        (NORM, r"InitBuffer\(workBuffer, WORK_BYTES\)", "InitBuffer(workBuffer, 32)", "of a tensor of 32"),
        (
            NORM,
            r"uint16_t\(count\), row, 0, 0, 0\}\);",
            "uint16_t(count), row, 0, 4, 0});",
            "beyond|is wrong in|bytes from byte",
        ),
    ],
)
def test_faults_of_rows_are_found(text: str, search: str, replacement: str, found: str) -> None:
    assert re.search(found, tried(text, ROWS, search, replacement))


@pytest.mark.parametrize(
    ("text", "assignment", "target", "found"),
    [
        ("softmax:rows=4096,cols=1", "at_once=4096,depth=1", "ascend:ub=1048576", "copies 4096 rows"),
        (
            "gemm:m=4112,n=16,k=16,dtype=float16",
            "tile_m=4112,tile_n=16,part_k=16,parts=1,sum_slots=1",
            "ascend:l1=4194304,l0a=1048576,l0c=1048576",
            "4112 x 16 x 16 is more than 4095",
        ),
    ],
)
def test_more_than_instructions_can_say_is_found_where_memories_hold_it(
    text: str, assignment: str, target: str, found: str
) -> None:
    form = form_of(parse_workload(text))
    kernel = AscendKernel(form, Target.parse(target), compiled(emulated_source(form, Assignment.parse(assignment))))
    with pytest.raises(EmulationError, match=found):
        output_fault(kernel, parse_workload(text))


def test_what_was_changed_is_right_as_it_was() -> None:
    assert [tried(PRODUCT, TILES), tried(SHORT, PANEL), tried(NORM, ROWS), tried(SOFTMAX, ROWS)] == [""] * 4


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("gemm:m=8,n=8,k=8", "dtype=float16"),
        ("gemm:m=8,n=8,k=8,dtype=float16,epilogue=relu+bias", "not with relu\\+bias"),
        ("gemm:m=70000,n=8,k=8,dtype=float16", "65535"),
    ],
)
def test_what_is_not_computed_is_said(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        PLATFORM.search_space(parse_workload(text), TARGET)


def test_what_is_missing_is_said_before_anything_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unmeasurable(TARGET) == ""
    monkeypatch.setenv("PATH", "")
    assert unmeasurable(TARGET) == "g++ not installed: apt-get install g++"
    assert unmeasurable(Target.parse("fpga:zu3eg")).startswith("verilator and g++ and make not installed")


def test_a_memory_that_is_too_small_is_named() -> None:
    with pytest.raises(InfeasibleError, match="ub_bytes"):
        PLATFORM.search_space(parse_workload("softmax:rows=4,cols=30000"), TARGET)


def test_a_file_that_is_no_kernel_is_refused() -> None:
    with pytest.raises(FlextuneError, match="no kernel"):
        AscendKernel(form_of(parse_workload(SOFTMAX)), TARGET, b"no library")


def test_what_comes_after_a_wait_of_the_scalar_unit_begins_after_it() -> None:
    """Rows that are asked for when the sums of those before are known cannot come meanwhile, with two slots neither."""
    form = form_of(parse_workload(SOFTMAX))
    source = emulated_source(form, Assignment.parse("at_once=1,depth=2"))
    late = source.replace("coming <= group + (DEPTH - 1) * GetBlockNum()", "coming <= group")
    cycles = []
    for text in (source, late):
        kernel = AscendKernel(form, Target.parse("ascend:vector_cores=1"), compiled(text))
        assert not output_fault(kernel, parse_workload(SOFTMAX), 0)
        cycles.append(kernel.time(1, 1)[0])
    assert cycles[1] - cycles[0] > 10 * 30  # of 19 copies that start 30 cycles before their bytes come


def test_cores_share_what_memory_moves() -> None:
    text, assignment = "softmax:rows=48,cols=512", "at_once=1,depth=2"
    form = form_of(parse_workload(text))
    library = compiled(emulated_source(form, Assignment.parse(assignment)))
    cycles = []
    for target in ("ascend:vector_cores=48,rate=100000", "ascend:vector_cores=48,rate=16"):
        kernel = AscendKernel(form, Target.parse(target), library)
        kernel.bind([np.zeros((48, 512), np.float32)], [np.zeros((48, 512), np.float32)])
        cycles.append(kernel.time(1, 1)[0])
    assert cycles[1] == 48 * 512 * 8 / 16 > cycles[0]
    small = AscendKernel(form, Target.parse("ascend:ub=1024"), library)
    small.bind([np.zeros((48, 512), np.float32)], [np.zeros((48, 512), np.float32)])
    with pytest.raises(EmulationError, match="UB holds 1024 bytes"):
        small.run()
