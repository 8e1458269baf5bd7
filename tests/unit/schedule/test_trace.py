"""Traces as text: every step comes back equal, and text that is not a trace is refused, never run."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import ScheduleError, UsageError
from flextune.platforms.cpu.attention.attention_step import Attention
from flextune.platforms.gpu.matrix_tile import MatrixTile
from flextune.platforms.gpu.tensor_tile import TensorTile
from flextune.platforms.gpu.thread_steps import BlockRows, ThreadNest
from flextune.schedule.rewriting_steps import (
    BlockScan,
    PeelColumns,
    PeelTail,
    Restage,
    SplitGroups,
    SplitPhases,
    SplitReduction,
    WriteOut,
)
from flextune.schedule.step import Step
from flextune.schedule.step_kinds import step_kinds
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

names = st.text(max_size=6)
many_names = st.lists(names, max_size=4).map(tuple)
numbers = st.integers(-(2**40), 2**40)
factors = st.lists(st.one_of(st.none(), numbers, names), max_size=4).map(tuple)
restages = st.builds(
    Restage,
    names,
    st.lists(st.tuples(names, factors), max_size=3).map(tuple),
    names,
    operand=st.none() | numbers,
    outer=many_names,
    group=numbers,
    fuse=st.booleans(),
    when=st.none() | names,
)
sizes = numbers | names
simple_steps = st.one_of(
    restages,
    st.builds(Attention, sizes, sizes, sizes, sizes, sizes, numbers, sizes, sizes, sizes),
    st.builds(PeelTail, names, numbers),
    st.builds(PeelColumns, names, names, numbers, numbers),
    st.builds(SplitReduction, names, names, numbers),
    st.builds(SplitPhases, names),
    st.builds(BlockScan, names, numbers),
    st.builds(SplitGroups, names, names, numbers),
    st.builds(WriteOut, names),
    st.builds(Loops, names, many_names),
    st.builds(Split, names, factors, many_names),
    st.builds(Fuse, many_names, names),
    st.builds(Reorder, st.lists(many_names, max_size=3).map(tuple), st.none() | names),
    st.builds(Mark, names, st.sampled_from(("parallel", "vectorize", "unroll"))),
    st.builds(ComputeAt, names, names),
    st.builds(Inline, names, st.sampled_from(("consumer", "producer"))),
    st.builds(Decompose, names, names),
    st.builds(RFactor, names, names, numbers),
    st.builds(SetScope, names, names),
    st.builds(Tensorize, names, names),
    st.builds(ImportCode, names, names),
    st.builds(MatrixTile, names, *[many_names] * 4, *[numbers] * 3, many_names, *[sizes] * 10),
    st.builds(TensorTile, names, *[many_names] * 4, *[numbers] * 3, many_names, *[sizes] * 10),
    st.builds(ThreadNest, names, sizes, sizes, numbers),
    st.builds(BlockRows, many_names, numbers, sizes, sizes),
)
steps: st.SearchStrategy[Step] = st.recursive(
    simple_steps,
    lambda inner: st.builds(Choose, names, st.lists(st.lists(inner, max_size=3).map(tuple), max_size=3).map(tuple)),
    max_leaves=6,
)
traces = st.lists(steps, max_size=6).map(tuple).map(Trace)


@given(traces)
def test_text_of_a_trace_comes_back_equal(trace: Trace) -> None:
    text = trace.to_json()
    assert Trace.from_json(text) == trace
    assert Trace.from_json(text).to_json() == text


def test_the_round_trip_draws_every_kind_of_step() -> None:
    drawn = {
        Attention,
        Choose,
        *(BlockScan, PeelColumns, SplitGroups, SplitPhases, SplitReduction, WriteOut),
        *(MatrixTile, TensorTile, ThreadNest, BlockRows),
        *(Restage, PeelTail, Loops, Split, Fuse, Reorder, Mark, ComputeAt, Inline, Decompose, RFactor),
    }
    assert drawn | {SetScope, Tensorize, ImportCode} == {step_kinds().get(name) for name in step_kinds().names}


@pytest.mark.parametrize("name", step_kinds().names)
def test_a_step_is_registered_under_the_name_that_it_writes(name: str) -> None:
    assert step_kinds().get(name).kind == name


def test_defaults_are_left_out_of_the_text() -> None:
    text = Trace((Reorder((("a", "b"),)), Inline("relu"))).to_json()
    assert text == '[{"step":"reorder","orders":[["a","b"]]},{"step":"inline","block":"relu"}]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "got dict"),
        ("3", "got int"),
        ("[3]", "unknown step 3"),
        ("[[]]", "unknown step"),
        ("[NaN]", "unknown step nan"),
        ("[{}]", "known steps: attention"),
        ('[{"step":["mark"]}]', "unknown step"),
        ('[{"step":"explode"}]', "unknown step"),
        ('[{"step":"inline","blok":"a"}]', "no field 'blok'; it has block, into"),
        ('[{"step":"inline"}]', "block"),
        ('[{"step":"mark","loop":"i","how":"__class__"}]', "parallel, vectorize or unroll, not '__class__'"),
        ('[{"step":"mark","loop":5,"how":"parallel"}]', "field 'loop' cannot be 5"),
        ('[{"step":"fuse","loops":"ab","into":"c"}]', "field 'loops'"),
        ('[{"step":"split","loop":"a","factors":[1.5],"into":["b"]}]', "field 'factors'"),
        ('[{"step":"split","loop":"a","factors":[true],"into":["b"]}]', "field 'factors'"),
        ('[{"step":"restage","block":"b","tiles":[["i"]],"vector":"j"}]', "field 'tiles'"),
        ('[{"step":"choose","variable":"v","branches":[["a"]]}]', "field 'branches'"),
        ('[{"step":"choose","variable":"v","branches":[[{"step":"no"}]]}]', "unknown step"),
    ],
)
def test_what_is_not_a_trace_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        Trace.from_json(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 400


@given(st.recursive(st.none() | st.booleans() | numbers | st.text(), lambda x: st.lists(x) | st.dictionaries(names, x)))
def test_any_json_is_a_trace_or_a_usage_error(raw: object) -> None:
    try:
        trace = Trace.from_json(json.dumps(raw))
    except UsageError:
        return
    assert trace == Trace(())
    assert raw == []


@given(
    st.sampled_from(sorted(step_kinds().names)),
    st.dictionaries(st.sampled_from(["block", "loop", "into", "how"]), names),
)
def test_steps_with_odd_fields_are_read_or_refused(kind: str, values: dict[str, str]) -> None:
    try:
        trace = Trace.from_json(json.dumps([{"step": kind, **values}]))
    except UsageError:
        return
    (step,) = trace.steps
    assert step.kind == kind
    assert {name: getattr(step, name) for name in values} == values


def test_text_is_never_executed(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    for kind in step_kinds().names:
        for item in fields(step_kinds().get(kind)):  # type: ignore[arg-type]
            for value in (code, [code], [[code]]):
                try:
                    Trace.from_json(json.dumps([{"step": kind, item.name: value}]))
                except UsageError:
                    continue
    with pytest.raises(UsageError):
        Trace.from_json(code)
    Trace((Inline(code), Mark(code, "unroll"))).python({})
    assert not marker.exists()


def test_python_shows_the_assignment() -> None:
    trace = Trace(
        (
            Loops("gemm", ("i",)),
            Split("i", (None, "tile", 4), ("a", "b", "c")),
            Reorder((("a", "b"), ("b", "a")), "order"),
            Choose("choice", ((), (Mark("c", "vectorize"), Mark("b", "unroll")))),
        )
    )
    assert trace.python({"tile": 3, "order": 1, "choice": 1}).splitlines() == [
        "i, = sch.get_loops(sch.get_sblock('gemm'))[-1:]",
        "a, b, c = sch.split(i, [None, 3, 4])",
        "sch.reorder(b, a)",
        "sch.vectorize(c)",
        "sch.unroll(b)",
    ]
    assert "vectorize" not in trace.python({"tile": 3, "order": 0, "choice": 0})


@pytest.mark.parametrize(
    "step",
    [
        Split("i", ("tile",), ("a",)),
        Reorder((("a",),), "tile"),
        Choose("tile", ()),
        Restage("b", (), "j", 0, when="tile"),
    ],
)
def test_python_of_a_variable_without_value(step: Step) -> None:
    with pytest.raises(ScheduleError, match="no variable 'tile'"):
        Trace((step,)).python({"other": 1})
