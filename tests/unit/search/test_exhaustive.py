import numpy as np
import pytest

from flextune.search.exhaustive import ExhaustiveOptions, ExhaustiveStrategy
from flextune.testing.strategies import HUGE, SMALL, example_measurement, solved


def strategy(solutions, seed=0, **options):
    return ExhaustiveStrategy(solutions, rng=np.random.default_rng(seed), options=ExhaustiveOptions(**options))


def all_asked(search, n=10):
    asked = []
    while answer := search.ask(n):
        asked += answer
    return asked


def test_in_the_order_of_ranks():
    solutions = solved(SMALL)
    assert all_asked(strategy(solutions)) == list(solutions.enumerate())
    assert strategy(solved(HUGE)).ask(1) == [solved(HUGE).unrank(0)]


def test_known_ones_are_left_out():
    solutions = solved(SMALL)
    every = list(solutions.enumerate())
    search = strategy(solutions)
    search.tell([example_measurement(assignment) for assignment in every[:70] + every[75:80]])
    assert all_asked(search) == every[70:75] + every[80:]


def test_shuffled_is_every_one_once_in_an_order_of_the_seed():
    solutions = solved(SMALL)
    orders = [all_asked(strategy(solutions, seed, order="shuffled")) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list(solutions.enumerate())
    assert set(orders[0]) == set(orders[2]) == set(solutions.enumerate())


def test_shuffled_goes_on_where_an_earlier_run_ended():
    solutions = solved(HUGE)
    earlier, search = (strategy(solutions, order="shuffled") for _ in range(2))
    whole = [assignment for _ in range(3) for assignment in earlier.ask(16)]
    search.tell([example_measurement(assignment) for assignment in whole[:16]])
    assert [*search.ask(16), *search.ask(16)] == whole[16:]


@pytest.mark.parametrize("order", ["rank", "shuffled"])
def test_a_space_beyond_64_bits(order):
    text = "\n".join(f"var v{index} in {{0..99}}" for index in range(12))
    asked = strategy(solved(text), order=order).ask(16)
    assert len(set(asked)) == 16
