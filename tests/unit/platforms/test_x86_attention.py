"""Every schedule of an attention computes it: odd extents, masks, what is not a number, other vector lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import te

from flextune.analysis.attention_facts import read_attention
from flextune.errors import ScheduleError
from flextune.platforms.cpu.attention.attention_tiles import AttentionTiles
from flextune.platforms.cpu.attention.kernel import attention_kernel
from flextune.platforms.x86.code_generation import compile_module
from flextune.platforms.x86.platform import X86Platform
from flextune.schedule.apply import apply_trace
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload import from_prim_func
from flextune.workload.tir import load_program
from flextune.workload.workload import Workload

from .attention_cases import Case, arrays, expected, program

AVX512 = Target.parse("x86:cpu=znver4,cores=2,features=avx512,l1=32768,l2=1048576,l3=33554432")
SSE4 = Target.parse("x86:cpu=x86-64-v2,cores=2,features=sse4,l1=32768,l2=1048576,l3=33554432")


def workload(case: Case) -> Workload:
    return from_prim_func(program(case), "attention")


def run(module: Any, target: Target, inputs: list[np.ndarray], case: Case) -> np.ndarray:
    X86Platform()
    built = compile_module(module, target)
    result = tvm.runtime.tensor(np.full((case.batch, case.queries, case.heads, case.columns), 7.0, np.float32))
    built["main"](*map(tvm.runtime.tensor, inputs), result)
    found: np.ndarray = result.numpy()
    return found


def space_of(case: Case, target: Target | None = None) -> tuple[Workload, SearchSpace]:
    chosen = detect() if target is None else target
    task = workload(case)
    return task, X86Platform().search_space(task, chosen)


CASES = st.builds(
    Case,
    batch=st.integers(1, 2),
    queries=st.integers(1, 40),
    keys=st.integers(1, 90),
    heads=st.integers(1, 3),
    depth=st.sampled_from([1, 8, 20, 32, 64, 80]),
    columns=st.sampled_from([1, 16, 24, 32, 64, 80]),
    mask=st.sampled_from(["", "all", "causal", "padding", "where"]),
    guarded=st.booleans(),
    online=st.booleans(),
    keys_last=st.booleans(),
)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(case=CASES, seed=st.integers(0, 1000))
def test_any_member_of_any_space_agrees_with_numpy(case: Case, seed: int) -> None:
    assert_agrees(case, seed)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(case=CASES, seed=st.integers(0, 1000))
def test_many_members_of_many_spaces_agree_with_numpy(case: Case, seed: int) -> None:
    assert_agrees(case, seed)


def assert_agrees(case: Case, seed: int) -> None:
    task, space = space_of(case)
    assert space.rules == ("attention",)
    rng = np.random.default_rng(seed)
    inputs = arrays(case, seed)
    chosen = [space.default, *space.solutions.sample(rng, 1)]
    for assignment in chosen:
        got = run(apply_trace(task, space.trace, assignment).module, space.target, inputs, case)
        np.testing.assert_allclose(got, expected(case, inputs), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("target", [AVX512, SSE4], ids=lambda target: target.word("cpu"))
@pytest.mark.parametrize("online", [False, True])
def test_vectors_of_every_length(target: Target, online: bool) -> None:
    case = Case(queries=13, keys=150, depth=32, columns=16, mask="causal", online=online)
    task, space = space_of(case, target)
    assert space.solutions.count > 100
    inputs = arrays(case)
    host = detect()
    if not set(target.features) <= set(host.features):
        pytest.skip(f"this machine has no {', '.join(target.features)}")
    got = run(apply_trace(task, space.trace, space.default).module, target, inputs, case)
    np.testing.assert_allclose(got, expected(case, inputs), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("online", [False, True])
def test_what_is_not_a_number_spreads_as_in_the_plain_program(guarded: bool, online: bool) -> None:
    case = Case(heads=1, queries=8, keys=150, depth=16, columns=16, mask="all", guarded=guarded, online=online)
    inputs = arrays(case)
    mask = inputs[3]
    mask[0, 0, 0] = -np.inf
    mask[0, 0, 1, :100] = -np.inf
    mask[0, 0, 2, 7] = np.inf
    mask[0, 0, 3, 140] = np.nan
    inputs[0][0, 4, 0, 3] = np.inf
    task, space = space_of(case)
    want = load_program(task.body, ()).run(inputs)[0]
    got = run(apply_trace(task, space.trace, space.default).module, space.target, inputs, case)
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)
    bad = np.isnan(want[0, :, 0, 0])
    assert bad.tolist() == [False] * 8 if guarded else bad.tolist() == [True, False, True, True, True] + [False] * 3


def test_values_that_are_not_finite_reach_all_rows_as_in_the_plain_program() -> None:
    case = Case(heads=1, mask="causal", guarded=True)
    inputs = arrays(case)
    inputs[3][0, 0, 3] = -np.inf
    inputs[2][0, 5, 0, 3], inputs[2][0, 6, 0, 4] = np.nan, np.inf
    task, space = space_of(case)
    got = run(apply_trace(task, space.trace, space.default).module, space.target, inputs, case)
    np.testing.assert_allclose(got, load_program(task.body, ()).run(inputs)[0], rtol=2e-4, atol=2e-5)


def test_the_space_is_replayed_from_its_text() -> None:
    _, space = space_of(Case(online=True, keys=300))
    again = Trace.from_json(space.trace.to_json())
    assert again == space.trace
    text = again.python(space.default)
    assert text.startswith("func = attention_kernel(func, AttentionTiles(rows=")
    assert space.default["key_block"] < 300
    reasons = [constraint.reason for constraint in space.problem.constraints if constraint.reason]
    assert len(reasons) >= 8


def test_sizes_that_do_not_fit_are_refused() -> None:
    plain = program(Case())
    with pytest.raises(ScheduleError, match="must be packed"):
        attention_kernel(plain, AttentionTiles(4, 1, 1, 1, 37, 16))
    with pytest.raises(ScheduleError, match="whole register tiles"):
        attention_kernel(plain, AttentionTiles(4, 1, 1, 1, 20, 16, pack_values=1))
    with pytest.raises(ScheduleError, match="power of two"):
        attention_kernel(plain, AttentionTiles(4, 1, 1, 1, 37, 12, pack_values=1))
    product = te.create_prim_func([(a := te.placeholder((4,), name="a")), te.compute((4,), lambda i: a[i] + 1)])
    with pytest.raises(ScheduleError, match="no attention"):
        attention_kernel(product, AttentionTiles(4, 1, 1, 1, 37, 16))


def test_a_program_that_reads_scores_elsewhere_is_no_attention() -> None:
    facts = read_attention(program(Case(mask="padding")))
    assert facts is not None
    assert (facts.batch, facts.queries, facts.keys, facts.depth, facts.columns) == ((1, 2), 19, 37, 20, 24)
    a = te.placeholder((8, 8), "float32", name="a")
    k, j = te.reduce_axis((0, 8), "k"), te.reduce_axis((0, 8), "j")
    s = te.compute((8, 8), lambda x, y: te.sum(a[x, k] * a[k, y], axis=k), name="s")
    o = te.compute((8, 8), lambda x, y: te.sum(s[x, j] * a[j, y], axis=j), name="o")
    assert read_attention(te.create_prim_func([a, o])) is None


def test_the_default_has_enough_accumulators_and_transposes_keys_once() -> None:
    _, space = space_of(Case(heads=12, queries=128, keys=128, depth=64, columns=64))
    assert space.default["rows"] * space.default["score_vectors"] >= 12
    assert space.default["keys_before"] == 0
