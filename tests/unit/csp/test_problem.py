"""What each statement means, what problems are refused, and the text form."""

from __future__ import annotations

import pytest

from flextune.csp import (
    Assignment,
    Constraint,
    Divides,
    Domain,
    Eq,
    In,
    Le,
    Lt,
    Ne,
    Predicate,
    Problem,
    Prod,
    Select,
    Sum,
    Variable,
    When,
    register_predicate,
)
from flextune.errors import UsageError

X, Y = Variable("x", Domain.range(-3, 3)), Variable("y", Domain.range(-3, 3))


def solutions_of(*constraints: Constraint, variables: tuple[Variable, ...] = (X, Y)) -> set[tuple[int, ...]]:
    return {tuple(a.values()) for a in Problem(variables, constraints).solve().enumerate()}


def pairs(condition) -> set[tuple[int, int]]:
    return {(x, y) for x in range(-3, 4) for y in range(-3, 4) if condition(x, y)}


@pytest.mark.parametrize(
    ("constraint", "condition"),
    [
        (Divides("x", "y"), lambda x, y: x != 0 and y % x == 0),
        (Divides(0, "y"), lambda x, y: False),
        (Divides(-2, "y"), lambda x, y: y % 2 == 0),
        (Divides("x", 0), lambda x, y: x != 0),
        (Prod("y", ("x", "x")), lambda x, y: y == x * x),
        (Prod(0, ("x", "y")), lambda x, y: x * y == 0),
        (Prod(1, ()), lambda x, y: True),
        (Sum("y", ("x", 1)), lambda x, y: y == x + 1),
        (Sum(1, ()), lambda x, y: False),
        (Select("y", "x", (3, "x", -3)), lambda x, y: 0 <= x < 3 and y == (3, x, -3)[x]),
        (In("x", ()), lambda x, y: False),
        (In("x", (1, 7)), lambda x, y: x == 1),
        (When(Eq("x", 1), Lt("y", 0)), lambda x, y: x != 1 or y < 0),
        (When(Select(1, "x", (1, 1)), Eq("y", 2)), lambda x, y: x not in (0, 1) or y == 2),
        (Ne("x", "y"), lambda x, y: x != y),
        (Le("x", "y"), lambda x, y: x <= y),
        (Lt(1, "y"), lambda x, y: y > 1),
        (Le(3, 2), lambda x, y: False),
        (Predicate(("x", "y"), lambda x, y: x * y == 2, name="p"), lambda x, y: x * y == 2),
        (Predicate(("y", "x"), lambda x, y: x > y, name="p", vectorised=True), lambda x, y: x > y),
    ],
    ids=lambda value: str(value) if isinstance(value, Constraint) else "",
)
def test_meaning(constraint: Constraint, condition) -> None:
    assert solutions_of(constraint) == pairs(condition)


def test_products_never_wrap() -> None:
    big = Variable("x", Domain.of(2**32, 2**33, 3))
    product = Variable("p")
    assert solutions_of(Prod("p", ("x", "x")), variables=(big, product)) == {(3, 9)}
    zero = Variable("z", Domain.of(0, 1))
    assert solutions_of(Prod(0, ("x", "x", "x", "z")), variables=(big, zero)) == {(3, 0), (2**32, 0), (2**33, 0)}
    assert solutions_of(Sum("p", ("x", 2**63 - 4)), variables=(Variable("x", Domain.of(3, 4)), product)) == {
        (3, 2**63 - 1)
    }


def test_auxiliary_variables_are_computed_and_part_of_solutions() -> None:
    problem = Problem((Variable("t"), X, Y), (Prod("t", ("x", 2)), Sum("y", ("t", 1))))
    solutions = problem.solve()
    assert [str(a) for a in solutions.enumerate()] == ["t=-4,x=-2,y=-3", "t=-2,x=-1,y=-1", "t=0,x=0,y=1", "t=2,x=1,y=3"]
    assert Assignment({"x": 1, "y": 3}) in solutions
    assert Assignment({"t": 3, "x": 1, "y": 3}) not in solutions
    assert Assignment({"x": 1}) not in solutions
    assert Assignment({"x": 1, "y": 3, "other": 0}) not in solutions
    assert "x=1" not in solutions


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Problem((X, X)), r"x is declared more than once"),
        (lambda: Problem((X, Variable("tile_m")), (Prod("tile_m", ("x",)), Le("tile_n", 3))), "did you mean tile_m"),
        (lambda: Problem((X, Variable("t"))), "t is not defined"),
        (lambda: Problem((X, Variable("t")), (Le("t", 3),)), "t is not defined"),
        (
            lambda: Problem((Variable("s"), Variable("t")), (Prod("s", ("t",)), Prod("t", ("s",)))),
            "defined by each other",
        ),
        (lambda: Domain(()), "at least one value"),
        (lambda: Domain((1.5,)), "expected an integer, got 1.5"),
        (lambda: Domain((2**63,)), "does not fit 64 bits"),
        (lambda: Domain.divisors(0), "positive"),
        (lambda: Domain.range(3, 1), "low <= high"),
        (lambda: Domain.range(0, 10**9), "more than"),
        (lambda: Domain.powers_of_two(5, 7), "no power of two"),
        (lambda: Variable("a b"), "variable name 'a b'"),
        (lambda: Variable("in"), "variable name 'in'"),
        (lambda: Le("x", 1.5), "expected an integer"),
        (lambda: Prod("x", "y"), "expected a sequence"),
        (lambda: Select("x", "y", ()), "at least one option"),
        (lambda: Problem((X,)).solve().marginal("y"), "unknown variable 'y'"),
        (lambda: Problem((X,)).solve().restrict([In("y", (1,))]), "unknown variable 'y'"),
        (lambda: Problem((X,)).solve().rank({"x": 9}), "not a solution"),
        (lambda: Problem((X,)).solve().unrank(7), "rank out of range"),
        (lambda: Problem((X,)).solve().unrank(-1), "rank out of range"),
    ],
)
def test_bad_input_is_refused(make, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_a_predicate_that_raises_is_named() -> None:
    problem = Problem((X, Y), (Predicate(("x", "y"), lambda x, y: y // x > 0, name="ratio"),))
    with pytest.raises(UsageError, match=r"predicate ratio raised ZeroDivisionError.* for x=0, y=-3"):
        problem.solve()


def test_domains() -> None:
    assert Domain.divisors(36).values == (1, 2, 3, 4, 6, 9, 12, 18, 36)
    assert Domain.powers_of_two(3, 40).values == (4, 8, 16, 32)
    assert Domain((3, 1, 3)) == Domain.of(1, 3)
    assert 3 in Domain.of(1, 3)
    assert 2 not in Domain.of(1, 3)


TEXT = """\
var x in {-3..3}
var y in {1, 2, 4, 8}
aux t
t = x * y * 2  ; name="tile" reason="rows \\"and\\" columns; all = of # them" rule="tiling"
t = sum(x)
5 = select(x; t, y, 0)
2 divides t
when x == 1 then when y < 4 then t in {2, 4}
when (when x != 1 then y <= 4) then t in {}
"""


def test_text_form_is_readable_and_stable() -> None:
    problem = Problem.parse(TEXT)
    assert str(problem) == TEXT
    assert problem.constraints[0].reason == 'rows "and" columns; all = of # them'
    assert Problem.parse("# only a comment\n\n" + TEXT.replace("\n", "   # end\n")) == problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("var x in 1, 2", "line 1: expected '{', got '1'"),
        ("var x in {1, 2", "expected an integer|','"),
        ("var x in {1.5}", "line 1: unexpected"),
        ("var x in {1..99999999999}", "more than 1000000 values"),
        ("var x in {123456789012345678901234567890}", "does not fit 64 bits"),
        ("var x in {1}\nx = y", "line 2: expected '\\*' or '\\+'"),
        ("var x in {1}\nx <= 3 4", "line 2: expected the end of the line, got '4'"),
        ("var x in {1}\nx ~ 3", "line 2: unexpected '~ 3'"),
        ("var x in {1}\n__import__('os')", "line 2"),
        ("var x in {1}\nx <= y", "unknown variable 'y'"),
        ("var x in {1}\npredicate nowhere(x)", "'nowhere' is not registered"),
        ('var x in {1}\nx <= 3 ; title="a"', "expected one each of name, reason, rule, got 'title'"),
        ("var x in {1}\n" + "when x == 1 then " * 99 + "x == 1", "nested"),
    ],
)
def test_text_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Problem.parse(text)


def small(x: int) -> bool:
    return x < 2


def test_predicates_travel_by_registered_name() -> None:
    register_predicate("small", small)
    problem = Problem.parse("var x in {1..4}\npredicate small(x)\n")
    assert [a["x"] for a in problem.solve().enumerate()] == [1]
    assert Problem.parse(str(problem)) == problem
    with pytest.raises(UsageError, match="already registered"):
        register_predicate("small", lambda x: x)


def test_explanation_names_constraints_reasons_and_rules() -> None:
    problem = Problem.parse(
        """
        var a in {4, 8}
        var b in {4, 8}
        aux bytes
        bytes = a * b * 4
        bytes <= 63 ; name="l1" reason="half of the first cache" rule="cache"
        a <= 8 ; name="harmless"
        """
    )
    solutions = problem.solve()
    conflict = solutions.explain()
    assert solutions.count == 0
    assert conflict.names == ("l1",)
    assert str(conflict) == (
        "no solution: this constraint cannot hold\n"
        "  l1: bytes <= 63 (half of the first cache) [cache]\n"
        "  with bytes = a * b * 4\n"
        "  where a in {4, 8}\n"
        "  where b in {4, 8}"
    )
    with pytest.raises(UsageError, match="no solution to sample"):
        solutions.sample(None, 1)  # type: ignore[arg-type]


def test_a_problem_with_solutions_has_no_conflict() -> None:
    conflict = Problem((X,)).solve().explain()
    assert conflict.names == ()
    assert "7 solutions" in conflict.text


def test_problem_without_variables() -> None:
    solutions = Problem(()).solve()
    assert solutions.count == 1
    assert list(solutions.enumerate()) == [Assignment({})]
