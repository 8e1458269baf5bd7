"""Sets that are given as rows: the same set comes back, restricted like any other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.csp import Assignments, In, Le, Ne, Problem, Prod, SolutionSet, Table, Variable
from flextune.csp.table_constraint import covering_table
from flextune.errors import UsageError

TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(-3, 6)] * width), min_size=1, max_size=60)
)


def listed(rows: list[tuple[int, ...]]) -> SolutionSet:
    names = [f"x{index}" for index in range(len(rows[0]))]
    matrix = np.array(rows, dtype=np.int64)
    return SolutionSet.of_rows(Assignments({name: matrix[:, index] for index, name in enumerate(names)}))


@given(TABLES)
def test_the_rows_come_back_in_order_with_their_ranks(rows):
    solutions = listed(rows)
    expected = sorted(set(rows))
    assert solutions.count == len(expected)
    found = [tuple(assignment.values()) for assignment in solutions.enumerate()]
    assert found == expected
    assert [solutions.rank(assignment) for assignment in solutions.enumerate()] == list(range(len(expected)))
    assert dict(zip(solutions.names, expected[0], strict=True)) in solutions


@given(TABLES, st.integers(-3, 6))
def test_restriction_filters_the_rows(rows, limit):
    solutions = listed(rows)
    one = solutions.restrict([In("x0", (limit, limit + 1))])
    assert one.count == len({row for row in rows if row[0] in (limit, limit + 1)})
    several = solutions.restrict([Le("x0", solutions.names[-1])])
    assert several.count == len({row for row in rows if row[0] <= row[-1]})


def test_a_table_beside_other_variables_and_constraints():
    problem = Problem.parse(
        "var a in {1, 2, 3}\nvar b in {1, 2, 3}\nvar c in {0, 1}\n"
        'table (a, b) in {(1, 2), (3, 3), (9, 9)} ; reason="measured"\nc < a'
    )
    assert covering_table(problem) is None
    assert {tuple(each.values()) for each in problem.solve()} == {(1, 2, 0), (3, 3, 0), (3, 3, 1)}
    assert Problem.parse(str(problem)) == problem


def test_auxiliary_variables_follow_the_rows():
    base = listed([(1, 2), (2, 2), (3, 1)]).problem
    constraints = (*base.constraints, Prod("p", ("x0", "x1")), Ne("p", 4))
    solutions = Problem((*base.variables, Variable("p")), constraints).solve()
    assert [tuple(each.values()) for each in solutions] == [(1, 2, 2), (3, 1, 3)]


def test_bad_tables_are_refused():
    with pytest.raises(UsageError, match="expected 2 values"):
        Table(("a", "b"), ((1, 2, 3),))
    with pytest.raises(UsageError, match="different variable names"):
        Table(("a", "a"), ((1, 2),))
    with pytest.raises(UsageError, match="at least one assignment"):
        SolutionSet.of_rows(Assignments({"a": np.zeros(0, dtype=np.int64)}))
