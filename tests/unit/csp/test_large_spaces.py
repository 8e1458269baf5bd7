"""Spaces with many candidates, whose sizes are counted otherwise; and all that a set of solutions can do with them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from flextune.csp import In
from flextune.csp.parameter_space import ParameterSpace
from flextune.csp.parameters import Value

RANGE = range(1, 1001)
N = 10**6
DIGITS = range(10)
Rules = list[str] | list[Callable[..., object]]


def in_order(names: str, rules: Rules, values: Iterable[Value] = RANGE) -> ParameterSpace:
    """The parameters declared in this order."""
    return ParameterSpace.of(dict.fromkeys(names, values), rules)


def ways(most: int) -> np.ndarray:
    """How many pairs of numbers up to `most` have each product up to `most`."""
    products = np.multiply.outer(np.arange(1, most + 1), np.arange(1, most + 1))
    return np.bincount(products[products <= most], minlength=most + 1)


def dividing_products() -> int:
    return int((ways(1000)[1:] * (1000 // np.arange(1, 1001))).sum())


def products_below() -> int:
    return int((ways(1000)[1:] * (1001 - np.arange(1, 1001))).sum())


def right_triangles() -> int:
    squares = np.arange(1, 1001) ** 2
    return int(np.isin(np.add.outer(squares, squares), squares).sum())


def remainders() -> int:
    """z % (x * y) == 1: x * y above 1 divides z - 1, or z is 1."""
    pairs = ways(1000)
    above = sum(int(pairs[p]) * len(range(p + 1, 1001, p)) for p in range(2, 1000))
    return above + 1000 * 1000 - 1


def different(names: Iterable[str]) -> list[str]:
    return [f"{one} != {other}" for one, other in itertools.combinations(names, 2)]


def weighted(**digits: int) -> bool:
    return sum((place + 1) * digit for place, digit in enumerate(digits.values())) % 11 == 3


def weighted_count() -> int:
    found = np.eye(1, 11, dtype=np.int64)[0]
    for place in range(8):
        found = sum(np.roll(found, (place + 1) * digit) for digit in DIGITS)
    return int(found[3])


LETTERS = "abcdefghij"
FLAGS = [f"f{i}" for i in range(100)]
SPACES: dict[str, tuple[Callable[[], ParameterSpace], int]] = {
    "divisor": (lambda: in_order("xyz", ["z % (x * y) == 0"]), dividing_products()),
    "divisor, z first": (lambda: in_order("zxy", ["z % (x * y) == 0"]), dividing_products()),
    "divisor in steps": (lambda: in_order("xyz", ["z % x == 0", "(z // x) % y == 0"]), dividing_products()),
    "divisor in steps, z first": (lambda: in_order("zxy", ["z % x == 0", "(z // x) % y == 0"]), dividing_products()),
    "product below": (lambda: in_order("xyz", ["x * y <= z"]), products_below()),
    "product above, z first": (lambda: in_order("zxy", ["z < x * y"]), 10**9 - products_below()),
    "remainder": (lambda: in_order("xzy", ["z % (x * y) == 1"]), remainders()),
    "triangle": (lambda: in_order("xyz", ["x**2 + y**2 == z**2"]), right_triangles()),
    "triangle, a function": (lambda: in_order("zyx", [lambda x, y, z: x * x + y * y == z * z]), right_triangles()),
    "saxpy": (lambda: in_order("wl", [f"{N} % w == 0", f"({N} // w) % l == 0"], range(1, N + 1)), 784),
    "permutations": (lambda: in_order(LETTERS, different(LETTERS), DIGITS), math.factorial(10)),
    "permutations, a function": (
        lambda: in_order(LETTERS, [lambda **p: len(set(p.values())) == len(p)], DIGITS),
        math.factorial(10),
    ),
    "permutations of words": (
        lambda: ParameterSpace.of(
            {name: [f"w{(4 * i + n) % 9}" for i in range(9)] for n, name in enumerate(LETTERS[:9])},
            different(LETTERS[:9]),
        ),
        math.factorial(9),
    ),
    "remainder of flags": (
        lambda: ParameterSpace.of(dict.fromkeys(FLAGS, (0, 1)), f"({' + '.join(FLAGS)}) % 7 == 3"),
        sum(math.comb(100, k) for k in range(3, 101, 7)),
    ),
    "function of eight": (lambda: in_order(LETTERS[:8], [weighted], DIGITS), weighted_count()),
    "flags": (
        lambda: ParameterSpace.of(dict.fromkeys(FLAGS, (0, 1)), " + ".join(FLAGS) + " == 50"),
        math.comb(100, 50),
    ),
    "flags, a function": (
        lambda: ParameterSpace.of(dict.fromkeys(FLAGS, (False, True)), lambda **p: sum(p.values()) <= 3),
        sum(math.comb(100, k) for k in range(4)),
    ),
}


SLOW = ("product above, z first", "remainder", "divisor in steps, z first", "triangle, a function", "saxpy")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in SPACES]
)
def test_counts_and_what_a_set_can_do(name: str) -> None:
    make, count = SPACES[name]
    space = make()
    solutions = space.solutions
    assert solutions.count == count
    sample = solutions.sample(np.random.default_rng(0), 50)
    assert solutions.contains_many(sample).all()
    member = sample[0]
    assert solutions.unrank(solutions.rank(member)) == member
    assert solutions.unrank(solutions.count - 1) in solutions
    first = space.parameters.variable_names[0]
    restricted = solutions.restrict([In(first, (member[first],))])
    assert member in restricted
    assert restricted.count == solutions.marginal(first)[member[first]]
    neighbours = solutions.neighbours(member)
    assert solutions.contains_many(neighbours).all()
