"""Schedules that tasks of one run take over from each other."""

from __future__ import annotations

import pytest

from flextune.csp.assignment import Assignment
from flextune.platforms import platform_registry
from flextune.target.target import Target
from flextune.trial.measurement import Measurement, Status
from flextune.tuning.budget import Budget
from flextune.tuning.task_search import TaskSearch, TuningTask
from flextune.tuning.transfer import Transfer
from flextune.tuning.tune_options import TuneOptions
from flextune.workload.parse import parse_workload

TARGET = Target.parse(
    "x86:cpu=znver4,cores=2,features=sse4+avx2+avx512,l1=32768,l2=1048576,l3=33554432,memory=8589934592"
)
OPTIONS = TuneOptions(Budget(trials=64), strategy="random", cost_model="none")


def opened(text: str) -> TaskSearch:
    """The search of a workload whose default has been measured."""
    workload = parse_workload(text)
    search = TaskSearch(TuningTask(workload), platform_registry.get("x86").search_space(workload, TARGET), OPTIONS)
    search.tell([ok(candidate.assignment, 1e-3) for candidate in search.propose(1)])
    return search


def ok(assignment: Assignment, secs: float) -> Measurement:
    return Measurement(assignment, Status.OK, (secs,))


def improved(search: TaskSearch, **wanted: int) -> Assignment:
    """Tells the search of a faster schedule that has these values."""
    best = next(
        each
        for each in search.space.solutions
        if each != search.space.default and all(each[name] == value for name, value in wanted.items())
    )
    search.tell([ok(best, 5e-4)])
    return best


def test_the_register_tile_comes_over_and_the_cuts_fit() -> None:
    source, other = opened("gemm:m=256,n=256,k=256"), opened("gemm:m=384,n=320,k=256")
    best = improved(source, tile_i=8, vectors=2, lanes=16)
    (hint,) = Transfer().hints(other, [source, other])
    assert hint in other.space.solutions
    assert {name: hint[name] for name in ("tile_i", "vectors", "lanes")} == {"tile_i": 8, "vectors": 2, "lanes": 16}
    assert hint["unroll"] == best["unroll"]


def test_each_schedule_is_given_once() -> None:
    source, other, transfer = opened("gemm:m=256,n=256,k=256"), opened("gemm:m=384,n=320,k=256"), Transfer()
    improved(source, tile_i=8)
    assert len(transfer.hints(other, [source, other])) == 1
    assert transfer.hints(other, [source, other]) == []


def test_the_most_similar_tasks_give() -> None:
    near, far, other = (opened(f"gemm:m={m},n=256,k=256") for m in (128, 16, 144))
    improved(near, tile_i=4, lanes=8)
    improved(far, tile_i=8, lanes=8)
    hints = Transfer().hints(other, [far, near, other])
    assert hints[0]["tile_i"] == 4
    assert hints[1]["tile_i"] >= 8  # as near as the cuts of the longer axis allow


@pytest.mark.parametrize(
    "text", ["gemm:m=256,n=256,k=256", "softmax:rows=64,cols=128", "conv2d:n=1,h=8,w=8,ci=8,co=16,kh=3,kw=3"]
)
def test_nothing_comes_from_defaults_and_other_kinds_of_spaces(text: str) -> None:
    source, other = opened(text), opened("gemm:m=384,n=320,k=256")
    if not text.startswith("gemm"):
        improved(source)
    assert Transfer().hints(other, [source, other]) == []


def test_hints_come_before_the_strategys_own_and_are_told_to_it() -> None:
    search = opened("gemm:m=256,n=256,k=256")
    hint = next(each for each in search.space.solutions if each != search.space.default)
    first, *others = [candidate.assignment for candidate in search.propose(4, [search.space.default, hint])]
    assert first == hint
    assert hint not in others
    search.tell([ok(first, 1e-4)])
    assert search.best_secs == 1e-4
    assert hint not in {each.assignment for _ in range(20) for each in search.propose(8)}
