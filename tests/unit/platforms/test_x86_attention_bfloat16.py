"""Attention in bfloat16: every schedule is as near to the exact result as the products and softmax on their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from flextune.analysis.attention_facts import read_attention
from flextune.lowering.precision.bfloat16 import from_bfloat16, to_bfloat16
from flextune.lowering.precision.narrow import narrow_function
from flextune.platforms.x86.code_generation import compile_module
from flextune.platforms.x86.platform import X86Platform
from flextune.schedule.apply import apply_trace
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.programs import MemberCheck
from flextune.workload import from_prim_func
from flextune.workload.tir import load_program
from flextune.workload.workload import Workload

from .attention_cases import Case, arrays, expected, program

ZNVER4 = Target.parse("x86:cpu=znver4,cores=2,features=avx512+vnni+bf16,l1=32768,l2=1048576,l3=33554432")
AVX512 = Target.parse("x86:cpu=znver4,cores=2,features=avx512,l1=32768,l2=1048576,l3=33554432")
STEP = 2.0**-8
"""Of bfloat16: what rounding a number near 1 changes is at most half of it."""


def workload(case: Case, stored: frozenset[int] = frozenset()) -> Workload:
    """The attention in bfloat16, with these of its parameters (the result is the last one) stored so."""
    narrow = narrow_function(program(case), stored, ())
    assert narrow is not None
    return from_prim_func(narrow.function, "attention")


def given_as(stored: frozenset[int], inputs: list[np.ndarray]) -> list[np.ndarray]:
    return [to_bfloat16(array) if place in stored else array for place, array in enumerate(inputs)]


def seen(inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What is left of queries, keys and values when they are rounded."""
    return [from_bfloat16(to_bfloat16(array)) if place < 3 else array for place, array in enumerate(inputs)]


def run(space: SearchSpace, assignment: object, inputs: list[np.ndarray]) -> np.ndarray:
    module = apply_trace(space.workload, space.trace, assignment, space.target).module  # type: ignore[arg-type]
    (output,) = space.workload.outputs
    result = tvm.runtime.tensor(np.full(output.shape, 7, output.dtype))
    compile_module(module, space.target)["main"](*map(tvm.runtime.tensor, inputs), result)
    found = result.numpy()
    return from_bfloat16(found) if output.dtype == "uint16" else found


def space_of(task: Workload) -> SearchSpace:
    return X86Platform().search_space(task, detect())


CASES = st.builds(
    Case,
    batch=st.integers(1, 2),
    queries=st.integers(2, 40),
    keys=st.integers(2, 90),
    heads=st.integers(1, 3),
    depth=st.sampled_from([2, 8, 20, 33, 64, 80]),
    columns=st.sampled_from([3, 16, 24, 64, 80]),
    mask=st.sampled_from(["", "all", "causal", "padding", "where"]),
    guarded=st.booleans(),
    online=st.booleans(),
    keys_last=st.booleans(),
)


STORED = st.frozensets(st.integers(0, 3))


@pytest.mark.hardware("bf16")
@settings(max_examples=4, deadline=None, derandomize=True)
@given(case=CASES, stored=STORED, seed=st.integers(0, 1000))
def test_any_member_of_any_space_agrees_with_numpy(case: Case, stored: frozenset[int], seed: int) -> None:
    assert_agrees(case, stored, seed)


@pytest.mark.slow
@pytest.mark.hardware("bf16")
@settings(max_examples=16, deadline=None, derandomize=True)
@given(case=CASES, stored=STORED, seed=st.integers(0, 1000))
def test_many_members_of_many_spaces_agree_with_numpy(case: Case, stored: frozenset[int], seed: int) -> None:
    assert_agrees(case, stored, seed)


def assert_agrees(case: Case, stored: frozenset[int], seed: int) -> None:
    inputs = arrays(case, seed)
    places = frozenset(len(inputs) if place == 3 else place for place in stored)
    space = space_of(workload(case, places))
    assert space.rules == ("attention",)
    want = expected(case, seen(inputs))
    least = STEP * float(np.abs(inputs[2]).max())
    for assignment in (space.default, *space.solutions.sample(np.random.default_rng(seed), 1)):
        got = run(space, assignment, given_as(places, inputs))
        np.testing.assert_allclose(got, want, rtol=STEP, atol=least)


@pytest.mark.hardware("bf16")
@pytest.mark.parametrize("online", [False, True])
def test_no_less_accurate_than_the_program_as_it_came(online: bool) -> None:
    case = Case(heads=4, queries=64, keys=150, depth=64, columns=32, mask="causal", online=online)
    task, inputs = workload(case), arrays(case)
    want = expected(case, seen(inputs))
    plain, kernel = (
        load_program(task.body or "", ()).run(inputs)[0],
        run(space_of(task), space_of(task).default, inputs),
    )
    errors = [float(np.sqrt(np.nanmean((got - want) ** 2))) for got in (kernel, plain)]
    assert 0 < errors[0] < 1.05 * errors[1]


@pytest.mark.hardware("bf16")
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("online", [False, True])
def test_what_is_not_a_number_spreads_as_in_the_plain_program(guarded: bool, online: bool) -> None:
    case = Case(heads=1, queries=8, keys=151, depth=16, columns=16, mask="all", guarded=guarded, online=online)
    inputs = arrays(case)
    mask = inputs[3]
    mask[0, 0, 0] = -np.inf
    mask[0, 0, 1, :100] = -np.inf
    mask[0, 0, 2, 7] = np.inf
    mask[0, 0, 3, 150] = np.nan
    inputs[0][0, 4, 0, 3] = np.inf
    task = workload(case)
    want = load_program(task.body or "", ()).run(inputs)[0]
    got = run(space_of(task), space_of(task).default, inputs)
    np.testing.assert_allclose(got, want, rtol=STEP, atol=4 * STEP)
    bad = np.isnan(want[0, :, 0, 0])
    assert bad.tolist() == [False] * 8 if guarded else bad.tolist() == [True, False, True, True, True] + [False] * 3


@pytest.mark.hardware("bf16")
def test_values_that_are_not_finite_reach_all_rows_as_in_the_plain_program() -> None:
    case = Case(heads=1, mask="causal")
    inputs = arrays(case)
    inputs[2][0, 5, 0, 3], inputs[2][0, 36, 0, 4] = np.nan, np.inf
    task = workload(case)
    want = load_program(task.body or "", ()).run(inputs)[0]
    got = run(space_of(task), space_of(task).default, inputs)
    np.testing.assert_allclose(got, want, rtol=STEP, atol=4 * STEP)


@pytest.mark.hardware("bf16")
def test_measurements_accept_every_member() -> None:
    space = space_of(workload(Case(heads=2, queries=64, keys=64, depth=16, columns=16), frozenset({0, 1, 2, 3})))
    check = MemberCheck(space)
    for member in (space.default, *space.solutions.sample(np.random.default_rng(1), 2)):
        assert check.error(member) == ""


@pytest.mark.parametrize("case", [Case(columns=1), Case(depth=1), Case(keys=1)], ids=["column", "depth", "key"])
def test_where_one_product_cannot_take_pairs_both_are_float32(case: Case) -> None:
    task, inputs = workload(case, frozenset({4 if case.mask else 3})), arrays(case)
    facts = read_attention(task.prim_func())
    assert facts is not None
    assert (facts.narrow, facts.rounds_result) == (False, True)
    np.testing.assert_allclose(run(space_of(task), space_of(task).default, inputs), expected(case, inputs), rtol=STEP)


def test_the_space_names_the_code_and_is_replayed_from_its_text() -> None:
    space = X86Platform().search_space(workload(Case(online=True, keys=300)), ZNVER4)
    assert space.rules == ("attention",)
    assert Trace.from_json(space.trace.to_json()) == space.trace
    assert "bf16_pairs" in space.trace.to_json()
    assert space.solutions.marginal("pack_values").keys() == {1}


def test_without_products_of_pairs_the_blocks_are_scheduled_one_by_one() -> None:
    space = X86Platform().search_space(workload(Case()), AVX512)
    assert "attention" not in space.rules
    assert "register-tile" in space.rules


def test_factors_are_read_as_they_are_stored_or_before_they_are_rounded() -> None:
    facts = read_attention(workload(replace(Case(), guarded=True), frozenset({1})).prim_func())
    assert facts is not None
    assert (facts.narrow, facts.guarded, facts.rounds_result) == (True, True, False)
    elements = (facts.query, facts.key, facts.value)
    assert [str(each.expression.ty.dtype) for each in elements] == ["float32", "uint16", "float32"]
