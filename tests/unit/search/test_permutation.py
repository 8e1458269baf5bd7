import numpy as np
import pytest

from flextune.search.permutation import Permutation


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 1000])
def test_is_a_permutation(count):
    order = Permutation(count, b"key")
    assert sorted(order(position) for position in range(count)) == list(range(count))


def test_depends_on_the_key():
    orders = {tuple(Permutation(30, bytes([key]))(position) for position in range(30)) for key in range(20)}
    assert len(orders) == 20


def test_every_place_is_as_likely():
    """Where 0 goes, over many keys: chi-squared with 9 degrees of freedom."""
    places = [Permutation(10, key.to_bytes(2, "little"))(0) for key in range(2000)]
    counts = np.bincount(places, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # once in a thousand


def test_neighbours_are_not_near_each_other():
    order = Permutation(10**6, b"key")
    steps = [abs(order(position) - order(position + 1)) for position in range(200)]
    assert 250_000 < np.mean(steps) < 420_000


def test_more_than_fits_a_machine_word():
    order = Permutation(10**30, b"key")
    found = {order(position) for position in range(100)}
    assert len(found) == 100
    assert all(0 <= rank < 10**30 for rank in found)
    assert max(found) > 10**28
