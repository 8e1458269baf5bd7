"""Peers of a model in turns, on a machine whose speed changes by itself.

Before each turn, when all processes are at rest, a probe measures how fast the machine is at that moment; the probe
of the next turn is the one after it. A turn is calm when neither found the machine slowed down. So what is left out is
decided without a look at the times that are compared, and by the same rule for every peer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.rounds import turns
from flextune.errors import UsageError

LEAST_RUNS = 30


@dataclass(frozen=True, slots=True)
class ModelProtocol:
    """How models are timed.

    A turn is runs for `warm_secs`, at least `warm_runs`, that do not count, and then runs for `turn_secs`, at least
    `turn_runs`, each of them timed. In a round every peer has one turn. There are at least `turns` rounds, and more
    until every peer has had so many calm turns, `most_rounds` have passed or `most_secs` are over; then each peer's
    `turns` calmest count. A turn is calm when no probe around it took more than `calm` times
    the shortest one.
    Outputs are compared on `seeds` inputs.
    """

    turns: int = 15
    most_rounds: int = 60
    most_secs: float = 60.0
    turn_secs: float = 0.1
    turn_runs: int = 2
    warm_secs: float = 0.1
    warm_runs: int = 1
    calm: float = 1.15
    seeds: int = 20

    def __post_init__(self) -> None:
        if self.turns * self.turn_runs < LEAST_RUNS:
            raise UsageError(f"at least {LEAST_RUNS} runs must count, got {self.turns} turns of {self.turn_runs}")
        if self.seeds < 1:
            raise UsageError(f"outputs must be compared on at least one input, got {self.seeds}")
        if self.most_rounds < self.turns or not self.calm > 1:
            raise UsageError(f"expected most_rounds of at least {self.turns} and calm above 1, got {self}")


@dataclass(frozen=True, slots=True)
class Turn:
    """The seconds of one peer's runs, and those of the probes before and after them."""

    peer: str
    run_secs: tuple[float, ...]
    before: float
    after: float

    def disturbance(self, best: float) -> float:
        """How many times slower than at its best the machine was around this turn, at least 1."""
        return max(self.before, self.after) / best


def take_turns(
    peers: Sequence[str],
    time_peer: Callable[[str], Sequence[float] | None],
    probe: Callable[[], float],
    protocol: ModelProtocol,
    clock: Callable[[], float] = time.monotonic,
) -> list[Turn]:
    """All turns in the order they were taken. A peer whose `time_peer` gives None is out from then on."""
    taken: list[Turn] = []
    present = list(peers)
    until = clock() + protocol.most_secs
    before = probe()
    for number, order in enumerate(turns(peers, protocol.most_rounds)):
        if number >= protocol.turns and (clock() > until or _enough(present, taken, protocol)):
            break
        for name in (name for name in order if name in present):
            run_secs = time_peer(name)
            after = probe()
            if run_secs is None:
                present.remove(name)
            else:
                taken.append(Turn(name, tuple(run_secs), before, after))
            before = after
    return taken


def counted(taken: Iterable[Turn], peer: str, protocol: ModelProtocol) -> tuple[Turn, ...]:
    """The peer's calmest turns, as many as the protocol asks for, in the order they were taken."""
    everyone = tuple(taken)
    best = best_probe(everyone)
    own = [turn for turn in everyone if turn.peer == peer]
    kept = sorted(range(len(own)), key=lambda index: own[index].disturbance(best))[: protocol.turns]
    return tuple(own[index] for index in sorted(kept))


def calm_counts(taken: Iterable[Turn], protocol: ModelProtocol) -> Mapping[str, int]:
    """How many calm turns each peer had."""
    everyone = tuple(taken)
    best = best_probe(everyone)
    counts = dict.fromkeys((turn.peer for turn in everyone), 0)
    for turn in everyone:
        counts[turn.peer] += turn.disturbance(best) <= protocol.calm
    return counts


def best_probe(taken: Sequence[Turn]) -> float:
    """The shortest probe's seconds."""
    return min((min(turn.before, turn.after) for turn in taken), default=math.inf)


def _enough(peers: Sequence[str], taken: Sequence[Turn], protocol: ModelProtocol) -> bool:
    counts = calm_counts(taken, protocol)
    return all(counts.get(peer, 0) >= protocol.turns for peer in peers)
