"""Candidates are given to hosts in shares: each is answered once and in order, whatever hosts do."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from flextune.measure.fleet.shares import IN_FLIGHT, LOSSES, MOST, Duty, Shares


def fed(shares: Shares[int, str]) -> list:
    """Every host gets what it has room for."""
    given = []
    for host in shares.hosts:
        while share := shares.next_share(host):
            given.append(share)
    return given


@pytest.mark.parametrize("seed", range(20))
def test_each_is_answered_once_in_order_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    shares: Shares[int, str] = Shares(500, itertools.count(1))
    names, flying, told, measured = itertools.count(), [], [], Counter()
    for duty in (Duty.TIMES, Duty.TIMES, Duty.BUILDS, Duty.TIMES):
        shares.join(f"host{next(names)}", duty)
    while not shares.done:
        given = fed(shares)
        flying += given
        assert all(len(share.places) <= MOST for share in given)
        assert max(Counter(share.host for share in flying).values()) <= IN_FLIGHT
        dies = rng.random() < 0.1
        share = flying.pop(rng.randrange(len(flying)))
        if dies:
            hopeless = shares.lost(share.host)
            assert shares.lost(share.host) == []
            flying = [each for each in flying if each.host != share.host]
            for place in hopeless:
                shares.fail(place, -place)
            shares.join(f"host{next(names)}", share.duty)
        elif share.duty is Duty.BUILDS:
            fails = [rng.random() < 0.1 for _ in share.places]
            failed = [place if fail else None for place, fail in zip(share.places, fails, strict=True)]
            shares.built(share.number, [f"program {place}" for place in share.places], failed)
        else:
            assert all(shares.program(place) in (None, f"program {place}") for place in share.places)
            measured.update(share.places)
            shares.measured(share.number, share.places, 0.01 * len(share.places))
            shares.measured(share.number, [7 for _ in share.places], 1.0)  # nobody waits for a second answer
        told += shares.results()
    assert [place for place, _ in told] == list(range(500))
    assert all(abs(result) == place for place, result in told)
    assert max(measured.values()) == 1


def test_what_hosts_are_lost_with_goes_alone_and_at_last_fails() -> None:
    shares: Shares[int, str] = Shares(20, itertools.count(1))
    shares.join("a", Duty.TIMES)
    first = shares.next_share("a")
    assert first is not None
    assert len(first.places) > 1
    assert shares.lost("a") == []
    shares.join("b", Duty.TIMES)
    again = [share.places for share in fed(shares)]
    assert again == [(first.places[0],), (first.places[1],)]

    shares = Shares(1, itertools.count(1))
    for number in range(LOSSES):
        shares.join(str(number), Duty.TIMES)
        assert len(fed(shares)) == 1
        assert shares.lost(str(number)) == ([0] if number == LOSSES - 1 else [])
    shares.join("d", Duty.TIMES)
    assert fed(shares) == []
    shares.fail(0, -1)
    assert list(shares.results()) == [(0, -1)]


def test_without_time_for_the_rest_nothing_after_it_is_told() -> None:
    shares: Shares[int, str] = Shares(40, itertools.count(1))
    for host in "ab":
        shares.join(host, Duty.TIMES)
    first, other = shares.next_share("a"), shares.next_share("b")
    assert first is not None
    assert other is not None
    shares.measured(other.number, other.places, 1.0)
    assert list(shares.results()) == []
    shares.measured(first.number, first.places[:2], 1.0)
    assert [place for place, _ in shares.results()] == list(first.places[:2])
    assert shares.done


def test_slow_candidates_go_in_small_shares_and_fast_ones_in_large_ones() -> None:
    sizes = []
    for secs in (0.001, 1.0):
        shares: Shares[int, str] = Shares(10_000, itertools.count(1))
        shares.join("a", Duty.TIMES)
        first = shares.next_share("a")
        assert first is not None
        shares.measured(first.number, first.places, secs * len(first.places))
        following = shares.next_share("a")
        assert following is not None
        sizes.append(len(following.places))
    assert sizes == [MOST, 2]
