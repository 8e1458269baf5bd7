"""Turns on a machine whose speed changes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pytest

from benchmarks.model_turns import ModelProtocol, Turn, best_probe, calm_counts, counted, take_turns
from flextune.errors import UsageError

PROTOCOL = ModelProtocol(turns=15, most_rounds=40)
QUICK, SLOW = 1.0, 1.9


class Machine:
    """Twice as slow in every other stretch of `stretch` turns; its clock stands still."""

    def __init__(self, stretch: int = 0) -> None:
        self.asked = 0
        self._states: Iterator[float] = cycle([1.0] * stretch + [2.0] * stretch) if stretch else cycle([1.0])
        self._slowdown = 1.0

    def probe(self) -> float:
        self._slowdown = next(self._states)
        return 4e-3 * self._slowdown

    def time_peer(self, name: str) -> tuple[float, ...]:
        self.asked += 1
        return tuple(self._slowdown * {"a": 0.01, "b": 0.02}[name] for _ in range(2))


def test_on_a_calm_machine_there_are_as_many_rounds_as_count() -> None:
    machine = Machine()
    taken = take_turns(["a", "b"], machine.time_peer, machine.probe, PROTOCOL)
    assert len(taken) == machine.asked == 2 * PROTOCOL.turns
    assert calm_counts(taken, PROTOCOL) == {"a": 15, "b": 15}


def test_only_calm_turns_count() -> None:
    machine = Machine(stretch=5)
    taken = take_turns(["a", "b"], machine.time_peer, machine.probe, PROTOCOL)
    assert len(taken) > 2 * PROTOCOL.turns
    for name, secs in (("a", 0.01), ("b", 0.02)):
        kept = counted(taken, name, PROTOCOL)
        assert len(kept) == PROTOCOL.turns
        assert {each for turn in kept for each in turn.run_secs} == {secs}


def test_the_search_for_calm_turns_ends() -> None:
    machine = Machine(stretch=1)
    taken = take_turns(["a", "b"], machine.time_peer, machine.probe, PROTOCOL)
    assert len(taken) == 2 * PROTOCOL.most_rounds
    assert len(counted(taken, "a", PROTOCOL)) == PROTOCOL.turns


def test_time_ends_it_too_but_not_before_all_have_their_turns() -> None:
    machine = Machine(stretch=1)
    clock = iter(range(10_000))
    taken = take_turns(["a", "b"], machine.time_peer, machine.probe, PROTOCOL, lambda: 1000.0 * next(clock))
    assert len(taken) == 2 * PROTOCOL.turns


def test_a_peer_that_fails_is_out() -> None:
    machine = Machine()
    taken = take_turns(
        ["a", "b"], lambda name: None if name == "b" else machine.time_peer(name), machine.probe, PROTOCOL
    )
    assert {turn.peer for turn in taken} == {"a"}
    assert len(taken) == PROTOCOL.turns


def test_a_turn_is_as_disturbed_as_the_worst_probe_around_it() -> None:
    turns = [Turn("a", (0.01,), QUICK, QUICK), Turn("a", (0.01,), QUICK, SLOW), Turn("a", (0.01,), SLOW, QUICK)]
    best = best_probe(turns)
    assert best == QUICK
    assert [turn.disturbance(best) for turn in turns] == pytest.approx([1.0, 1.9, 1.9])
    assert calm_counts(turns, PROTOCOL) == {"a": 1}


def test_too_few_runs_are_refused() -> None:
    assert ModelProtocol().turns * ModelProtocol().turn_runs >= 30
    with pytest.raises(UsageError, match="at least 30 runs"):
        ModelProtocol(turns=14)
    with pytest.raises(UsageError, match="most_rounds of at least 20"):
        ModelProtocol(turns=20, most_rounds=19)
