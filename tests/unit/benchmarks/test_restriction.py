from __future__ import annotations

import pytest

from benchmarks.restriction import restricted, thinned, values_of, varying
from flextune.csp.problem import Problem
from flextune.errors import UsageError

TILES = """
var tile in {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32}
var outer in {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96}
var unroll in {0, 1, 2}
var lanes in {8}
aux size
size = tile * outer
size <= 96
"""


def test_the_value_closest_to_its_neighbours_goes_and_the_ends_stay() -> None:
    assert thinned((1, 2, 4, 5, 8)) == (1, 2, 4, 8)
    assert thinned((1, 2, 3)) == (1, 3)
    assert thinned((0, 1, 2, 3)) == (0, 1, 3)


def test_few_enough_members_are_left_all_of_the_same_values() -> None:
    whole = Problem.parse(TILES).solve()
    part = restricted(whole, 60)
    assert 40 < part.count <= 60
    values = values_of(part)
    assert set(values) == {"tile", "outer", "unroll"}
    assert values["unroll"] == (0, 1, 2)
    inside = [each for each in whole if all(each[name] in kept for name, kept in values.items())]
    assert set(inside) == set(part)


def test_the_rule_is_the_same_every_time_and_keeps_a_set_that_is_small_enough() -> None:
    whole = Problem.parse(TILES).solve()
    assert values_of(restricted(whole, 60)) == values_of(restricted(whole, 60))
    assert restricted(whole, whole.count).count == whole.count


def test_a_limit_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(UsageError, match="no variable has a value to spare"):
        restricted(Problem.parse("var a in {1, 2, 3}\nvar b in {1, 2, 3}").solve(), 5)


def test_what_is_fixed_or_follows_does_not_vary() -> None:
    assert varying(Problem.parse(TILES).solve()) == ("tile", "outer", "unroll")
