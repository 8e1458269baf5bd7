"""Constraint expressions mean what they mean in Python, and nothing else is ever evaluated."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flextune.csp.expression import Expression
from flextune.csp.parameter_space import ParameterSpace
from flextune.csp.parameters import Parameters
from flextune.errors import InfeasibleError, UsageError

SPACE = Parameters.of(
    {"i": [-3, 0, 1, 2, 7], "j": [1, 2, 4], "half": [0.5, -1.5, 2.0], "on": [False, True], "word": ["b", "a", ""]}
)
ROWS = [dict(zip(SPACE.names, row, strict=True)) for row in itertools.product(*(p.values for p in SPACE.parameters))]

NUMBERS = st.recursive(
    st.sampled_from(["i", "j", "half", "on", "0", "1", "3", "0.25", "True"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(lambda t: f"({' '.join(t)})"),
        st.tuples(st.sampled_from(["j", "i", "half"]), st.sampled_from(["0", "2", "3"])).map(
            lambda t: f"({t[0]} ** {t[1]})"
        ),
        inner.map(lambda text: f"(-{text})"),
        inner.map(lambda text: f"abs({text})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
    ),
    max_leaves=5,
)
COMPARISONS = st.one_of(
    st.tuples(NUMBERS, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), NUMBERS).map(" ".join),
    st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda t: f"{t[0]} < {t[1]} <= {t[2]}"),
    st.tuples(NUMBERS, st.sampled_from(["in", "not in"]), NUMBERS).map(lambda t: f"{t[0]} {t[1]} (0, 1, {t[2]})"),
    st.sampled_from(["word == 'a'", "word != 'b'", "word < 'b'", "word in ('a', '', 3)", "word", "on", "word == 1"]),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})"),
        inner.map(lambda text: f"(not {text})"),
    ),
    max_leaves=4,
)


def in_python(text, row):
    try:
        return bool(eval(text, {"__builtins__": {"min": min, "max": max, "abs": abs}}, dict(row)))  # noqa: S307 - a witness
    except (ZeroDivisionError, OverflowError, TypeError):
        return False


def named(text):
    return any(name in text.replace("not in", "") for name in SPACE.names)


@given(CONDITIONS)
@settings(max_examples=60, deadline=None)
def test_holds_where_python_says_so(text):
    assume(named(text))
    assignments = SPACE.encode_rows([tuple(row.values()) for row in ROWS])
    try:
        expression = Expression(text, SPACE)
    except UsageError:
        assume(False)
    found = np.broadcast_to(expression.holds(assignments.columns), (len(ROWS),)).tolist()
    assert found == [in_python(text, row) for row in ROWS]


@given(CONDITIONS)
@settings(max_examples=60, deadline=None)
def test_the_space_of_a_condition_is_what_python_lets_through(text):
    assume(named(text))
    expected = {tuple(row.values()) for row in ROWS if in_python(text, row)}
    try:
        space = ParameterSpace.of(SPACE, text)
        found = {tuple(space.values(assignment).values()) for assignment in space.solutions}
    except InfeasibleError:
        found = set()
    except UsageError:
        assume(False)
    assert found == expected


LARGE = Parameters.of({"a": [-(2**40), 0, 3, 2**40], "b": [1, 2**40], "c": [0, 5, 2**30], "on": [False, True]})
LARGE_ROWS = [
    dict(zip(LARGE.names, row, strict=True)) for row in itertools.product(*(p.values for p in LARGE.parameters))
]
POLYNOMIALS = st.recursive(
    st.sampled_from(["a", "b", "c", "7", str(2**50)]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({' '.join(t)})"),
    max_leaves=5,
)
LARGE_CONDITIONS = st.recursive(
    st.one_of(
        st.tuples(POLYNOMIALS, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), POLYNOMIALS).map(" ".join),
        st.tuples(POLYNOMIALS, POLYNOMIALS).map(lambda t: f"{t[0]} % {t[1]} == 0"),
        st.sampled_from(["on", "a % 3 == 0", "8 / a > 2", "c != 5"]),
    ),
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})"),
    max_leaves=4,
)


@given(LARGE_CONDITIONS)
@settings(max_examples=60)
def test_sums_and_products_beyond_64_bits_decide_as_in_python(text):
    text = f"b > 0 and {text}"
    expected = {tuple(row.values()) for row in LARGE_ROWS if in_python(text, row)}
    try:
        space = ParameterSpace.of(LARGE, text)
        found = {tuple(space.values(assignment).values()) for assignment in space.solutions}
    except InfeasibleError:
        found = set()
    assert found == expected


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("i.__class__ == 1", "i.__class__"),
        ("__import__('os').system('true') == 0", "__import__"),
        ("open('x') == 1", "open('x')"),
        ("i[0] == 1", "i[0]"),
        ("(lambda: 1)() == i", "(lambda: 1)()"),
        ("[a for a in (1, 2)] == i", "[a for a in (1, 2)]"),
        ("(k := 3) == i", "(k := 3)"),
        ("i @ j", "i @ j"),
        ("~i == 1", "~i"),
        ("i is None", "None"),
        ("i == None", "None"),
        ("f'{i}' == word", "f'{i}'"),
        ("min(i) < 3", "min(i)"),
        ("max(i, j, key=abs) < 3", "max"),
        ("len(word) < 3", "len(word)"),
        ("i < 'a'", "i < 'a'"),
        ("word + 'x' == 'bx'", "word"),
        ("i in j", "'j' after 'in'"),
        ("(i in (1, 2)) < j < 3 in 4", "'4' after 'in'"),
        ("i == 99999999999999999999", "99999999999999999999"),
        ("i == 1e999", "1e"),
        ("*i", "no expression"),
        ("i <", "no expression"),
        ("i\0", "no expression"),
        ("", "no expression"),
        ("(" * 300 + "i" + ")" * 300, "no expression"),
        ("-" * 300 + "i", "too long"),
        ("i" + " + i" * 1500 + " < 3", "too long"),
        ("i < " + "9" * 20_000, "at most"),
        ("1 < 2", "names no parameter"),
        ("tile < 3", "unknown parameter 'tile'"),
        ("wrod == 'a'", "did you mean 'word'"),
    ],
)
def test_anything_else_is_refused_by_name(text, piece):
    with pytest.raises(UsageError) as refused:
        _ = ParameterSpace.of(SPACE, text).solutions
    assert piece in str(refused.value)


@pytest.mark.parametrize("text", ["j ** 9999 < half", "(j ** 64) ** 64 > i * half", "j ** j ** 99 > half"])
def test_powers_are_bounded(text):
    with pytest.raises(UsageError, match="too large"):
        _ = ParameterSpace.of(SPACE, text).solutions


def test_whole_numbers_are_exact_beyond_64_bits():
    space = ParameterSpace.of({"x": [2**40, 2**40 + 1], "y": [2**40, 2**40 - 1]}, "x * y * x > y * x * y or x == 0")
    found = [tuple(space.values(each).values()) for each in space.solutions]
    assert sorted(found) == [(2**40, 2**40 - 1), (2**40 + 1, 2**40 - 1), (2**40 + 1, 2**40)]


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_condition_or_a_usage_error(text):
    try:
        Expression(text, SPACE).holds({name: np.zeros(1, dtype=np.int64) for name in SPACE.variable_names})
    except UsageError:
        return
