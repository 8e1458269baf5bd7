from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from benchmarks.rounds import Protocol, spread, turns
from flextune.errors import UsageError

PEERS = ("a", "b", "c", "d")


def test_every_peer_has_one_turn_in_every_round() -> None:
    for order in turns(PEERS, 13):
        assert sorted(order) == list(PEERS)


def test_every_peer_takes_every_place_equally_often() -> None:
    places = Counter((peer, place) for order in turns(PEERS, 2 * len(PEERS)) for place, peer in enumerate(order))
    assert set(places.values()) == {2}
    assert len(places) == len(PEERS) ** 2


def test_no_peer_always_follows_the_same_one() -> None:
    sequence = [peer for order in turns(PEERS, 8) for peer in order]
    followed = {peer: {b for a, b in pairwise(sequence) if a == peer} for peer in PEERS}
    assert all(len(followers - {peer}) >= 2 for peer, followers in followed.items())


def test_one_peer_and_none() -> None:
    assert turns(["a"], 2) == [("a",), ("a",)]
    assert turns([], 2) == [(), ()]


def test_spread_is_the_distance_of_the_quartiles() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.0 / 3.0)
    assert spread([7.0]) == 0.0


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"threads": 1, "rounds": 0}, {"threads": 1, "batch_secs": 0.0}])
def test_a_protocol_without_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Protocol(**wrong)  # type: ignore[arg-type]
