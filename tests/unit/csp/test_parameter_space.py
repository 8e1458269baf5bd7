"""Parameters of any kind become integers and come back; rules decide which configurations there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flextune.csp.compilation import Limits
from flextune.csp.constraint import Divides, In, Le, Predicate, When
from flextune.csp.parameter_space import ParameterSpace, parameters_from_json, parameters_json
from flextune.csp.parameters import Parameter, Parameters
from flextune.csp.problem import Problem
from flextune.csp.solutions import solve
from flextune.errors import InfeasibleError, UsageError

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
PARAMETERS = st.dictionaries(
    st.text("abAB_1 .é", min_size=1, max_size=4),
    st.lists(VALUES, min_size=1, max_size=5, unique=True),
    min_size=1,
    max_size=4,
).map(Parameters.of)


@given(PARAMETERS, st.data())
@settings(max_examples=200, deadline=None)
def test_every_configuration_has_an_assignment_and_comes_back(parameters, data):
    values = {each.name: data.draw(st.sampled_from(each.values)) for each in parameters.parameters}
    assignment = parameters.encode(values)
    assert parameters.decode(assignment) == values
    assert all(
        value in variable.domain for variable, value in zip(parameters.variables, assignment.values(), strict=True)
    )
    assert {name: type(value) for name, value in parameters.decode(assignment).items()} == {
        name: type(value) for name, value in values.items()
    }
    rows = parameters.encode_rows([tuple(values.values())])
    assert rows[0] == assignment


@given(PARAMETERS)
@settings(max_examples=100, deadline=None)
def test_parameters_have_a_text_form(parameters):
    assert parameters_from_json(parameters_json(parameters)) == parameters


def test_numbers_keep_their_order_and_words_the_declared_one():
    assert [Parameter("p", (2.5, 1, 4)).code(value) for value in (1, 2.5, 4)] == [0, 1, 2]
    assert [Parameter("p", ("-O3", "-O1")).code(value) for value in ("-O3", "-O1")] == [0, 1]
    assert [Parameter("p", (64, 8)).code(value) for value in (64, 8)] == [64, 8]
    assert [Parameter("p", (True, False)).code(value) for value in (True, False)] == [1, 0]


def test_ranges_and_powers():
    assert Parameter.range("p", 4, 13, 3).values == (4, 7, 10, 13)
    assert Parameter.powers_of_two("p", 3, 20).values == (4, 8, 16)
    assert Parameters.of({"p": range(0, 10, 5)})["p"].values == (0, 5)
    assert Parameters.of({"p": np.array([1, 2])})["p"].values == (1, 2)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Parameters.of({}), "no parameters"),
        (lambda: Parameters.of({"a": []}), "'a' has no values"),
        (lambda: Parameters.of({"a": 5}), "expected its values"),
        (lambda: Parameters.of({"a": "abc"}), "expected its values"),
        (lambda: Parameters.of({"a": [1, 2, 1]}), "1 is there twice"),
        (lambda: Parameters.of({"a": [1, True]}), "True is there twice"),
        (lambda: Parameters.of({"a": [float("nan")]}), "finite"),
        (lambda: Parameters.of({"a": [None]}), "expected a number, a text"),
        (lambda: Parameters.of({"": [1]}), "parameter name"),
        (lambda: Parameters.of([Parameter("a", (1,)), Parameter("a", (2,))]), "'a' is declared more than once"),
        (lambda: Parameter.range("a", 5, 1), "low <= high"),
        (lambda: Parameter.range("a", 1, 5, 0), "step of at least 1"),
        (lambda: Parameter.range("a", 1, 2.5), "whole numbers"),
        (lambda: Parameter.range("a", 0, 10**9), "coarser step"),
        (lambda: Parameter.powers_of_two("a", 5, 7), "no power of two from 5 to 7"),
        (lambda: Parameters.of({"tile": [1]}).encode({"tiel": 1}), "did you mean 'tile'"),
        (lambda: Parameters.of({"tile": [1]}).encode({}), "'tile' has no value"),
        (lambda: Parameters.of({"tile": [1]}).encode({"tile": 2}), "2 is none of its values 1"),
        (lambda: Parameters.of({"tile": [1]}).encode({"tile": [1]}), "none of its values"),
        (lambda: ParameterSpace.of({"a": [1]}, [3]).problem, "an expression or a function"),
        (lambda: ParameterSpace.of({"tile": [1]}, lambda tiel: True).problem, "did you mean 'tile'"),
        (lambda: ParameterSpace.of({"tile": [1]}, lambda *tile: True).problem, "named like the parameters"),
        (lambda: ParameterSpace.of({"tile": [1]}, lambda: True).problem, "names no parameter"),
        (lambda: ParameterSpace.of({"tile": [1]}, lambda tile: 1 / 0).solutions, "ZeroDivisionError"),
        (lambda: parameters_from_json("[]"), "expected an object"),
        (lambda: parameters_from_json("{"), "expected JSON"),
    ],
)
def test_bad_declarations_say_what_is_wrong(declare, message):
    with pytest.raises(UsageError, match=message):
        declare()


def test_what_a_diagram_understands_is_native():
    space = ParameterSpace.of(
        {"a": range(1, 9), "b": range(1, 9), "word": ["x", "y"]},
        ["4 * a * b + a <= 64 and a % b == 0", "1 < a <= 6", "word == 'x' or a == b", "word == 'x' or a / b > 2"],
    )
    kinds = {type(constraint) for constraint in space.problem.constraints}
    assert {Le, Divides, In, When, Predicate} <= kinds
    assert sum(isinstance(constraint, Predicate) for constraint in space.problem.constraints) == 1


def test_huge_spaces_are_counted_exactly():
    declared = {f"p{index}": Parameter.powers_of_two(f"p{index}", 1, 512) for index in range(12)}
    assert ParameterSpace.of(declared).solutions.count == 10**12
    bounded = ParameterSpace.of(declared, " * ".join(declared) + f" <= {2**54}").solutions
    assert bounded.count == (10**12 + _sums_to(54)) // 2


def test_conditions_on_large_products_compile():
    names = [f"p{index}" for index in range(5)]
    declared = {name: Parameter.powers_of_two(name, 1, 512) for name in names} | {"use": [False, True]}
    solutions = ParameterSpace.of(declared, f"not use or {' * '.join(names)} < {2**20}").solutions
    assert solutions.marginal("use") == {0: 10**5, 1: sum(_sums_to(total, digits=5) for total in range(20))}


def _sums_to(total: int, digits: int = 12) -> int:
    """In how many ways so many digits add up to the total."""
    ways = [1]
    for _ in range(digits):
        ways = [sum(ways[n - digit] for digit in range(10) if 0 <= n - digit < len(ways)) for n in range(len(ways) + 9)]
    return ways[total]


def test_names_that_are_no_variables():
    space = ParameterSpace.of({"sum": [1, 2], "my tile": ["a"], "parameter_1": [3]}, "sum < parameter_1 and sum > 1")
    assert [space.values(each) for each in space.solutions] == [{"sum": 2, "my tile": "a", "parameter_1": 3}]


def test_predicates_see_values():
    space = ParameterSpace.of({"level": ["-O2", "-O3"], "n": [1, 2]}, [lambda level, n: level == "-O3" and n > 1])
    assert [space.values(each) for each in space.solutions] == [{"level": "-O3", "n": 2}]
    everything = ParameterSpace.of(
        {"level": ["-O2", "-O3"], "n": [1, 2]}, lambda **values: set(values) == {"level", "n"}
    )
    assert everything.solutions.count == 4


def test_no_configuration_names_the_rules():
    space = ParameterSpace.of({"x": [4, 8], "y": [4, 8], "z": [1]}, ["x * y <= 8", "z < 2", "x > 2"])
    with pytest.raises(InfeasibleError) as infeasible:
        _ = space.solutions
    assert infeasible.value.conflict == ("x * y <= 8",)


def test_completing_a_configuration():
    space = ParameterSpace.of({"x": [1, 2], "y": [1, 2]}, "x * y <= 2")
    member = space.complete({"y": 2, "x": 1})
    assert member in space.solutions
    assert set(member) == set(space.solutions.names)
    with pytest.raises(UsageError, match="breaks a constraint"):
        space.complete({"x": 2, "y": 2})


def test_many_configurations_are_completed_at_once():
    space = ParameterSpace.of(
        {"a": [1, 2, 4], "b": [0.5, 3], "word": ["x", "y"]}, ["a * b <= 6", "word != 'y' or a > 1"]
    )
    rows = [{"a": a, "b": b, "word": word} for a in (1, 2, 4, 5) for b in (0.5, 3) for word in ("x", "y", "z")]
    rows += [{"a": 1, "b": 3}, {"a": 1, "b": 3, "word": "x", "c": 1}, {"a": 1, "c": 3, "word": "x"}]

    def completed(row):
        try:
            return space.complete(row)
        except UsageError:
            return None

    expected = [completed(row) for row in rows]
    assert space.members(rows) == expected
    assert 0 < sum(member is not None for member in expected) < len(rows)
    assert space.members([]) == []


def test_conflicts_name_the_rules_and_values_of_the_user():
    space = ParameterSpace.of({"x": [0.5, 1.5], "t": ["a", "b"], "y": [1]}, ["x > 1 or t == 'a'", "x < 1", "t != 'a'"])
    with pytest.raises(InfeasibleError) as raised:
        _ = space.solutions
    assert str(raised.value).splitlines() == [
        "no configuration is feasible: these 3 constraints cannot hold together",
        "  x > 1 or t == 'a'",
        "  x < 1",
        "  t != 'a'",
        "  where x is one of 0.5, 1.5",
        "  where t is one of 'a', 'b'",
    ]
    assert raised.value.conflict == ("x > 1 or t == 'a'", "x < 1", "t != 'a'")


def test_what_is_no_space_is_said_in_terms_of_the_user(monkeypatch):
    space = ParameterSpace.of({f"x{i}": range(9) for i in range(6)}, [lambda **p: hash(tuple(p.values())) % 7 == 1])
    small = Limits(edges=2000, layer_edges=2000)
    monkeypatch.setattr(Problem, "solve", lambda problem: solve(problem, small))
    with pytest.raises(
        UsageError, match=r"^the space is too large to count: of 5.31e\+5 combinations .* <lambda> leave"
    ):
        _ = space.solutions
    with pytest.raises(UsageError, match="expected its values, as a list or a range"):
        ParameterSpace.of({"x": {"a": 1}})
    with pytest.raises(UsageError, match="constraints: expected an expression, a function or a list of them, got 7"):
        ParameterSpace.of({"x": [1]}, 7)
