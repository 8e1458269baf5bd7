"""Applying traces: steps in order, packs reported, and everything illegal a schedule error that names the step."""

from __future__ import annotations

import pytest

from flextune.errors import ScheduleError
from flextune.schedule.apply import apply_trace
from flextune.schedule.rewriting_steps import PeelTail, Restage
from flextune.schedule.step import Step
from flextune.schedule.steps import (
    Choose,
    ComputeAt,
    Decompose,
    Fuse,
    ImportCode,
    Inline,
    Loops,
    Mark,
    Reorder,
    RFactor,
    SetScope,
    Split,
    Tensorize,
)
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.testing.programs import run_program
from flextune.workload import parse_workload

GEMM = parse_workload("gemm:m=8,n=8,k=6,epilogue=relu")
LOOPS = Loops("gemm", ("i", "j", "k"))


def test_steps_apply_in_order(host: Target) -> None:
    trace = Trace(
        (
            LOOPS,
            Split("i", (None, "tile"), ("io", "ii")),
            Reorder((("ii", "j"), ("j", "ii")), "order"),
            Mark("io", "parallel"),
            Choose("unrolled", ((), (Mark("k", "unroll"),))),
        )
    )
    inputs = GEMM.random_inputs(0)
    references = GEMM.reference(inputs)
    for assignment in ({"tile": 2, "order": 0, "unrolled": 0}, {"tile": 3, "order": 1, "unrolled": 1}):
        program = apply_trace(GEMM, trace, assignment)
        assert ("T.unroll" in program.module.script()) == bool(assignment["unrolled"])
        (output,) = run_program(program, host, inputs, references)
        assert GEMM.tolerance().excess(output, references[0]) <= 1


def test_an_empty_trace_is_the_program_itself(host: Target) -> None:
    program = apply_trace(GEMM, Trace(()), {})
    assert program.packs == ()
    inputs = GEMM.random_inputs(0)
    references = GEMM.reference(inputs)
    assert GEMM.tolerance().excess(run_program(program, host, inputs, references)[0], references[0]) <= 1


def test_packed_constants_are_reported() -> None:
    workload = parse_workload("gemm:m=8,n=8,k=6,weights=constant")
    trace = Trace((Restage("gemm", (("j", (4,)),), "j", 1, ("j", "k"), when="pack"),))
    (pack,) = apply_trace(workload, trace, {"pack": 1}).packs
    assert (pack.index, pack.shape) == (1, (2, 6, 4))
    assert apply_trace(workload, trace, {"pack": 0}).packs == ()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((Loops("gem", ("i",)),), "step 0 (loops)"),
        ((Loops("gemm", ("i", "j", "k", "l")),), "has 3 loops, 4 were expected"),
        ((Mark("i", "unroll"),), "no loop is named 'i'; named loops: none"),
        ((LOOPS, Mark("x", "unroll")), "no loop is named 'x'; named loops: i, j, k"),
        ((LOOPS, Split("i", (None, "missing"), ("a", "b"))), "no variable 'missing'; it has tile"),
        ((LOOPS, Split("i", (None, 0), ("a", "b"))), "step 1 (split)"),
        ((LOOPS, Split("i", (None, -2), ("a", "b"))), "step 1 (split)"),
        ((LOOPS, Split("i", (None, None), ("a", "b"))), "step 1 (split)"),
        ((LOOPS, Split("i", (None, 2), ("a", "b", "c"))), "step 1 (split)"),
        ((LOOPS, Fuse(("i", "k"), "x")), "step 1 (fuse)"),
        ((LOOPS, Mark("k", "parallel")), "step 1 (mark)"),
        ((LOOPS, Reorder((), "tile")), "chooses none of 0 orders"),
        ((LOOPS, Reorder((("i",),), "tile")), "tile = 2 chooses none of 1 orders"),
        ((LOOPS, Choose("missing", ())), "no variable 'missing'"),
        ((LOOPS, Restage("gemm", (), "j")), "must come before every primitive"),
        ((LOOPS, PeelTail("gemm", 4)), "must come before every primitive"),
        ((PeelTail("gemm", 3),), "cannot peel"),
        ((Restage("gemm", (("j", ("missing",)),), "j"),), "no variable 'missing'"),
        ((Restage("gemm", (("j", (0,)),), "j"),), "tile of 'j' is 0"),
        ((LOOPS, ComputeAt("relu", "i")), "step 1 (compute_at)"),
        ((Inline("gemm"),), "step 0 (inline)"),
        ((Inline("nothing"),), "step 0 (inline)"),
        ((LOOPS, Decompose("gemm", "nothing")), "no loop is named 'nothing'"),
        ((LOOPS, RFactor("gemm", "i", 0)), "step 1 (rfactor)"),
        ((LOOPS, RFactor("gemm", "k", 9)), "step 1 (rfactor)"),
        ((SetScope("nothing", "local"),), "step 0 (set_scope)"),
        ((LOOPS, Tensorize("i", "nothing")), "'nothing' belongs to a platform"),
        ((LOOPS, ImportCode("i", "nothing")), "'nothing' belongs to a platform"),
    ],
)
def test_illegal_steps(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(ScheduleError) as error:
        apply_trace(GEMM, Trace(steps), {"tile": 2})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_rfactor_of_a_split_with_a_tail_is_illegal() -> None:
    """TVM drops the check of the bounds there, and reads beyond the row."""
    workload = parse_workload("reduce:op=sum,m=4,n=13")
    steps = (Loops("sum", ("i", "k")), Split("k", (None, 4), ("ko", "ki")), RFactor("sum", "ki", 1))
    with pytest.raises(ScheduleError, match="tail"):
        apply_trace(workload, Trace(steps), {})


def test_unknown_way_to_mark() -> None:
    with pytest.raises(ScheduleError, match="not 'bind'"):
        Mark("i", "bind")
