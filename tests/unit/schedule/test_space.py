"""Drafts of spaces: order of steps, infeasible drafts, the default by estimate."""

from __future__ import annotations

import numpy as np
import pytest

from flextune.analysis.blocks import read_program
from flextune.csp import Le, Prod
from flextune.errors import InfeasibleError
from flextune.schedule.apply import apply_trace
from flextune.schedule.peel import peel_tail
from flextune.schedule.rewriting_steps import PeelTail
from flextune.schedule.space import Draft
from flextune.schedule.steps import Loops, Mark
from flextune.target.target import Target
from flextune.workload import parse_workload

WORKLOAD = parse_workload("reduce:op=sum,m=4,n=13")


@pytest.fixture
def draft() -> Draft:
    function = WORKLOAD.prim_func()
    program = read_program(function)
    assert program is not None
    return Draft(function, program, Target.parse("x86:cpu=haswell,cores=2,features=avx2"), ())


def test_steps_that_rewrite_come_first(draft: Draft) -> None:
    draft.add(Loops("sum", ("i",)), Mark("i", "parallel"))
    draft.rewrite(peel_tail(draft.function, "sum", 4), PeelTail("sum", 4))
    assert [block.name for block in draft.program.blocks] == ["sum_main", "sum_tail", "sum"]
    space = draft.finish(WORKLOAD)
    assert [step.kind for step in space.trace.steps] == ["peel_tail", "loops", "mark"]
    apply_trace(WORKLOAD, space.trace, space.default)


def test_an_infeasible_draft_names_the_conflict(draft: Draft) -> None:
    draft.variable("a", (2, 3))
    draft.derived("square")
    draft.require(Prod("square", ("a", "a"), name="square_size"), Le("square", 3, name="too_small"))
    with pytest.raises(InfeasibleError) as error:
        draft.finish(WORKLOAD)
    assert "too_small" in error.value.conflict
    assert str(WORKLOAD) in str(error.value)


def test_the_default_has_the_best_estimate(draft: Draft) -> None:
    draft.variable("a", (1, 2, 3, 4))
    draft.variable("b", (1, 2))
    draft.estimates.append(lambda columns: 1.0 / (1.0 + np.abs(columns["a"] - 3)))
    draft.estimates.append(lambda columns: columns["b"].astype(np.float64))
    space = draft.finish(WORKLOAD)
    assert dict(space.default) == {"a": 3, "b": 2}
    assert space.solutions.count == 8
    assert space.tunable


def test_nothing_to_choose(draft: Draft) -> None:
    draft.used("rule")
    draft.used("rule")
    space = draft.finish(WORKLOAD)
    assert (space.tunable, dict(space.default), space.solutions.count, space.rules) == (False, {}, 1, ("rule",))
