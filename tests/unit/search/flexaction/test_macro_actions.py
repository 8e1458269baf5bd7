import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flextune.csp.assignment import Assignments
from flextune.csp.constraint import Eq, In, Le, Ne
from flextune.csp.problem import Problem
from flextune.csp.solutions import SolutionSet
from flextune.errors import UsageError
from flextune.platforms import platform_registry
from flextune.search.flexaction.action_spaces import ActionSpaces, Restrictions
from flextune.search.flexaction.macro_actions import MacroAction, conjunction
from flextune.search.flexaction.sources import starting_actions
from flextune.target.target import Target
from flextune.testing.constraint_spaces import tensor_core_gemm
from flextune.testing.random_problems import problems
from flextune.testing.strategies import HUGE, SMALL, solved
from flextune.workload.parse import parse_workload

TARGET = Target.parse(
    "x86:cpu=znver4,cores=8,features=sse4+avx2+avx512+vnni+bf16,l1=32768,l2=1048576,l3=33554432,memory=25276514304"
)


def starts(solutions, limit=48):
    return starting_actions(Restrictions(solutions), limit, np.random.default_rng(0))


def action(text, name="x"):
    return MacroAction(
        name, Problem.parse("var a in {1..9}\nvar b in {1..9}\naux c\nc = a * b\n" + text).constraints[1:]
    )


PROBLEM = Problem.parse("var a in {1..9}\nvar b in {1..9}\naux c\nc = a * b\n")


def formulas(found):
    return [constraint.formula() for constraint in found.constraints]


def test_only_in_eq_and_le_of_one_variable():
    with pytest.raises(UsageError, match="at least one constraint"):
        MacroAction("none", ())
    for constraint in (Ne("a", 1), Le("a", "b"), Eq(1, 1)):
        with pytest.raises(UsageError, match="'bad': expected IN, EQ or LE of one variable"):
            MacroAction("bad", (constraint,))


def test_prints_what_it_says():
    assert str(MacroAction("small", (In("a", (1, 2)), Le("c", 9)))) == "small: a in {1, 2} and c <= 9"


def test_a_limit_restricts():
    """An LE is no decoration: what it leaves is exactly what satisfies it."""
    solutions = PROBLEM.solve()
    limit = action("c <= 10")
    every = Assignments.of(list(solutions), solutions.names)
    restricted = Restrictions(solutions).of(limit)
    assert restricted.count == int((every.columns["c"] <= 10).sum()) == int(limit.holds(every).sum())
    assert 0 < restricted.count < solutions.count


def test_conjunctions_say_both_in_few_words():
    both = conjunction(PROBLEM, [action("a <= 5\nb == 2", "low a & b"), action("3 <= a\nc <= 20\n2 <= c", "high a")])
    assert both.name == "high a & low a & b"
    assert both.parts == ("high a", "low a & b")
    assert formulas(both) == ["a in {3, 4, 5}", "b == 2", "c <= 20", "2 <= c"]
    tighter = conjunction(PROBLEM, [both, action("5 <= a\nc <= 30\n7 <= c")])
    assert set(both.parts) < set(tighter.parts)
    assert formulas(tighter) == ["a == 5", "b == 2", "c <= 20", "7 <= c"]
    assert conjunction(PROBLEM, [action("a <= 5"), action("6 <= a")]) is None


@given(problems(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_every_start_is_satisfiable_and_says_something(problem, random):
    solutions = problem.solve()
    if not solutions.count:
        return
    found = starts(solutions)
    every = Assignments.of(list(solutions.enumerate()), solutions.names)
    for each in found:
        assert 0 < int(each.holds(every).sum()) < solutions.count
        assert Restrictions(solutions).of(each).count == int(each.holds(every).sum())
    assert len({each.key for each in found}) == len(found)
    if len(found) > 1:
        pair = random.sample(found, 2)
        both = conjunction(problem, pair)
        expected = pair[0].holds(every) & pair[1].holds(every)
        assert (both is None and not expected.any()) or (both.holds(every) == expected).all()


@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=512,n=512,k=512",
        "conv2d:n=1,ci=64,h=56,w=56,co=64,kh=3,kw=3,pad=1",
        "bmm:b=16,m=256,n=256,k=64",
    ],
)
def test_starts_of_schedule_spaces(text):
    workload = parse_workload(text)
    solutions = platform_registry.get(TARGET.kind).search_space(workload, TARGET).solutions
    found = starts(solutions)
    restrictions = Restrictions(solutions)
    assert len(found) >= 12
    assert all(0 < restrictions.of(each).count < solutions.count for each in found)
    kinds = {len({c.scope[0] for c in each.constraints} & set(solutions.problem.definitions)) for each in found}
    assert kinds == {0, 1}, "limits on computed variables, and others"


def test_starts_of_a_tensor_core_space():
    """What FlexAction's authors wrote by hand: intrinsic shapes (all of m * n * k = 4096), budgets, widths, tilings."""
    solutions = tensor_core_gemm(1024, 1024, 1024).solve()
    found = starts(solutions)
    names = [each.name for each in found]
    shapes = [each for each in found if each.name.startswith("intrinsic wm x wn x wk")]
    assert len(shapes) == 7
    assert all(np.prod([c.right for c in each.constraints]) == 4096 for each in shapes)
    assert any(name.startswith("shared_bytes to the median") for name in names)
    assert {"vec_a = 1", "vec_a = 2", "vec_a = 4"} <= set(names)
    assert {"low i0", "high i3"} <= set(names)
    restrictions = Restrictions(solutions)
    assert all(0 < restrictions.of(each).count < solutions.count for each in found)


def test_starts_of_a_table():
    rng = np.random.default_rng(0)
    rows = {f"p{i}": rng.integers(0, size, 500) for i, size in enumerate((2, 3, 4, 8, 30))}
    solutions = SolutionSet.of_rows(Assignments(rows))
    found = starts(solutions)
    assert len(found) >= 12
    assert all(0 < Restrictions(solutions).of(each).count < solutions.count for each in found)


def test_starts_are_few_where_the_space_is():
    assert starts(solved("var a in {4}")) == ()
    assert [str(each) for each in starts(solved("var a in {4}\nvar b in {0, 1}"))] == ["b = 0: b == 0", "b = 1: b == 1"]
    assert len(starts(solved(HUGE), limit=20)) == 20


def test_large_diagrams_get_no_budgets(monkeypatch):
    monkeypatch.setattr("flextune.search.flexaction.sources._COMPILED_EDGES", 20)
    solutions = solved(SMALL)
    assert solutions.edges > 20
    assert all("area" not in each.name for each in starts(solutions))
    monkeypatch.undo()
    assert any("area" in each.name for each in starts(solutions))


def test_spaces_know_exactly_what_is_left():
    solutions = solved(SMALL)
    actions = [action_ for action_ in starts(solutions) if action_.name in ("low tile_i", "unroll = 2")]
    spaces = ActionSpaces(Restrictions(solutions), [*actions, None])
    every = list(solutions)
    rows = Assignments.of(every, solutions.names)
    satisfied = spaces.satisfied(rows)
    assert satisfied[2].sum() == 0
    assert [spaces.count(slot) for slot in range(3)] == satisfied.sum(axis=1).tolist()
    rng = np.random.default_rng(0)
    none = rows.take(np.array([], dtype=np.intp))
    spaces.mark(a for a, inside in zip(every, satisfied[0], strict=True) if inside)
    assert spaces.open().tolist() == [False, True, False]
    drawn = set(spaces.draw(rng, 1, 1000, none))
    assert drawn == {a for a, inside in zip(every, satisfied[1] & ~satisfied[0], strict=True) if inside}
    besides = rows.take(np.flatnonzero(satisfied[1] & ~satisfied[0])[:3])
    assert set(spaces.draw(rng, 1, 1000, besides)) == drawn - set(besides)


def test_an_action_put_later_knows_earlier_marks():
    solutions = solved(SMALL)
    low, unroll = (each for each in starts(solutions) if each.name in ("low tile_i", "unroll = 2"))
    spaces = ActionSpaces(Restrictions(solutions), [low])
    spaces.mark(a for a in solutions if unroll.holds(Assignments.of([a], solutions.names))[0])
    spaces.put(0, unroll)
    assert spaces.open().tolist() == [False]


def test_budgets_are_compiled_once_and_forgotten_when_unused():
    solutions = PROBLEM.solve()
    restrictions = Restrictions(solutions)
    limit, other = action("c <= 10\na <= 4"), action("c <= 20")
    assert not restrictions.is_quick(limit)
    assert restrictions.of(limit).count == sum(1 for a in solutions if a["c"] <= 10 and a["a"] <= 4)
    assert restrictions.is_quick(action("c <= 10\nb == 1"))
    restrictions.of(other)
    restrictions.keep([other])
    assert (restrictions.is_quick(limit), restrictions.is_quick(other), restrictions.is_quick(action("a <= 4"))) == (
        False, True, True,
    )  # fmt: skip
