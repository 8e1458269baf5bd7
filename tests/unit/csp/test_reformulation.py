"""Reformulated networks have the same solutions: random spaces by brute force, and large ones counted otherwise."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flextune.csp import Problem, order_portfolio
from flextune.csp.parameter_space import ParameterSpace
from flextune.errors import UsageError
from flextune.testing.random_problems import brute_force, problems

lenient = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled as it was written."""
    monkeypatch.setattr(order_portfolio, "_ROUNDS_AS_WRITTEN", 0)
    monkeypatch.setattr(order_portfolio, "_worth_reformulating", lambda network: True)


@settings(max_examples=150, suppress_health_check=lenient)
@given(problem=problems(max_constraints=5))
def test_any_constraints(problem: Problem) -> None:
    expected = brute_force(problem)
    solutions = problem.solve()
    assert solutions.count == len(expected)
    assert {frozenset(a.items()) for a in solutions.enumerate()} == {frozenset(row.items()) for row in expected}


NUMBERS = st.one_of(
    st.lists(st.integers(-3, 6), min_size=1, max_size=5, unique=True),
    st.lists(st.sampled_from([0.5, 1, 1.5, 2, 0.1, 0.3, -0.25, 0]), min_size=1, max_size=4, unique=True),
    st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
)
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "dd"]), min_size=1, max_size=3, unique=True)
NAMES = "wxyz"


@st.composite
def expressions(draw: st.DrawFn, depth: int = 0) -> str:
    """A number."""
    leaf = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(["0", "1", "2", "3", "0.5", "7"]))
    if depth > 2 or draw(st.integers(0, 3)) == 0:
        return draw(leaf)
    left, right = draw(expressions(depth + 1)), draw(expressions(depth + 1))
    form = draw(
        st.sampled_from(["+", "-", "*", "+", "*", "//", "%", "/", "min", "max", "abs", "neg", "square", "test"])
    )
    if form in ("min", "max"):
        return f"{form}({left}, {right})"
    if form == "abs":
        return f"abs({left} - {right})"
    if form == "neg":
        return f"-({left})"
    if form == "square":
        return f"({left}) ** 2"
    if form == "test":
        return f"({left} < {right})"
    return f"({left}) {form} ({right})"


@st.composite
def conditions(draw: st.DrawFn, depth: int = 0) -> str:
    form = draw(st.sampled_from(["compare", "compare", "compare", "zero", "text", "and", "or", "not", "in", "chain"]))
    if depth > 1 and form in ("and", "or", "not"):
        form = "compare"
    compare = st.sampled_from(["==", "!=", "<=", "<", ">=", ">"])
    if form in ("and", "or"):
        return f"({draw(conditions(depth + 1))} {form} {draw(conditions(depth + 1))})"
    if form == "not":
        return f"not ({draw(conditions(depth + 1))})"
    if form == "zero":
        return f"({draw(expressions())}) % ({draw(expressions(2))}) == 0"
    if form == "text":
        return draw(st.sampled_from(["t == u", "t != u", "t == 'a'", "t < u", "t in ('a', u)"]))
    if form == "in":
        return f"({draw(expressions(1))}) {draw(st.sampled_from(['in', 'not in']))} (1, 2, {draw(expressions(2))})"
    if form == "chain":
        return f"{draw(expressions(2))} {draw(compare)} {draw(expressions(2))} {draw(compare)} {draw(expressions(2))}"
    return f"{draw(expressions())} {draw(compare)} {draw(expressions(1))}"


def keeps(rule: str, row: dict[str, object]) -> bool:
    try:
        return bool(eval(rule, {"min": min, "max": max, "abs": abs}, row))  # noqa: S307
    except ZeroDivisionError:
        return False


def expected_rows(parameters: dict[str, list[object]], rules: list[str]) -> Iterator[tuple[object, ...]]:
    for values in itertools.product(*parameters.values()):
        row = dict(zip(parameters, values, strict=True))
        if all(keeps(rule, row) for rule in rules):
            yield values


def reads_something(rule: str) -> bool:
    return any(
        name in rule.replace("min", "").replace("max", "").replace("not", "").replace("abs", "")
        for name in NAMES + "tu"
    )


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=lenient, deadline=None)
@given(
    st.fixed_dictionaries({**dict.fromkeys(NAMES, NUMBERS), "t": TEXTS, "u": TEXTS}),
    st.lists(conditions().filter(reads_something), min_size=1, max_size=3),
)
def test_rules_of_every_kind(parameters: dict[str, list[object]], rules: list[str]) -> None:
    expected = sorted(map(repr, expected_rows(parameters, rules)))
    space = ParameterSpace.of(parameters, rules)
    solutions = space.problem.solve()
    found = sorted(repr(tuple(space.values(assignment).values())) for assignment in solutions)
    assert found == expected


@settings(max_examples=100, suppress_health_check=lenient, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(NAMES, NUMBERS)),
    st.lists(conditions().filter(lambda rule: "t" not in rule.replace("not", "")), min_size=1, max_size=2),
)
def test_functions_of_every_kind(parameters: dict[str, list[object]], rules: list[str]) -> None:
    written = [eval(f"lambda w, x, y, z: {rule}") for rule in rules]  # noqa: S307
    space = ParameterSpace.of(parameters, written)
    expected = sorted(map(repr, expected_rows(parameters, rules)))
    try:
        solutions = space.problem.solve()
    except UsageError as error:
        assert "ZeroDivisionError" in str(error)  # noqa: PT017 called where other rules do not hold
        return
    assert sorted(repr(tuple(space.values(assignment).values())) for assignment in solutions) == expected


def branching(w: int, x: int, y: int, z: int) -> bool:
    if w > x:
        return y < z
    return y * z == 6 if w == x else y + z > 4


def looping(**values: int) -> bool:
    return all(value % 2 == 0 or value > 3 for value in values.values())


def helped(w: int, x: int) -> bool:
    return _double(w) <= max(x, 3) + sum((w, x, 1))


def _double(value: int) -> int:
    return 2 * value


def converting(w: int, x: int) -> bool:
    return len(str(w * x)) == 1


def identical(w: int, x: int) -> bool:
    return (w is x) or type(w) is not int or isinstance(x, str)


def caught(x: int, y: int) -> bool:
    try:
        return x % y == 1
    except ZeroDivisionError:
        return True


@pytest.mark.parametrize(
    "function",
    [
        branching,
        looping,
        helped,
        converting,
        identical,
        caught,
        lambda w, x, y, z: len({w, x, y}) == 3 and z > 1,
        lambda **p: len(set(p.values())) == len(p),
        lambda **p: len(set(p.values())) < 4,
        lambda x, y, limit=7: x & (x - 1) == 0 and (x << y) <= limit,
        lambda x, y, z: (x > y) & (y > z) or (x ^ y) >> 1 == z,
        lambda x, y: divmod(x, y + 1) == (1, 1) if y > 0 else True,
        lambda x, y, z: x < y < z or (x in (2, 4) and z != y),
        lambda x, y: bool(x * y) is True,
        lambda x, y: math.prod((x, y, 2)) <= 12,
        lambda x, y: math.gcd(x, y) == 1,
    ],
)
def test_whatever_python_does(function: Callable[..., bool]) -> None:
    values: dict[str, list[object]] = {name: [0, 1, 2, 3, 4, 6] for name in "wxyz"}
    space = ParameterSpace.of(values, [function, "w + x + y + z <= 14"])
    names = tuple(inspect.signature(function).parameters)
    expected = []
    for row in itertools.product(*values.values()):
        given = dict(zip(values, row, strict=True))
        read = given if names == ("p",) or names == ("values",) else {n: given[n] for n in names if n in given}
        if sum(row) <= 14 and function(**read):
            expected.append(row)
    solutions = space.problem.solve()
    assert sorted(tuple(space.values(assignment).values()) for assignment in solutions) == expected
