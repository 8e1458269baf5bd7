"""Every assignment in turn: the brute force that other strategies are measured against where a set is small.

`order=rank` goes through the set in the order of its ranks, `order=shuffled` in a pseudo-random one that is computed
element by element: neither lists the set, which may have 10^12 members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.search.permutation import Permutation
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy_options import StrategyOptions, option
from flextune.search.unseen import joined

_KEY_BYTES = 16
_MOST_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class ExhaustiveOptions(StrategyOptions):
    """`order`: by rank, which is that of `SolutionSet.enumerate`, or shuffled by the seed."""

    round_size: int = option(16, low=1, high=1024)
    order: str = option("rank", choices=("rank", "shuffled"))


class ExhaustiveStrategy(RoundStrategy[ExhaustiveOptions]):
    """Brute force: every assignment in turn, by rank or shuffled."""

    options_type = ExhaustiveOptions
    source = "CINN, BFGenerator"

    _next = 0
    """Everything before this position of the order was proposed or known."""
    _order: Callable[[int], int] | None = None

    def propose(self) -> Assignments:
        found = [self.solutions.sample(self.rng, 0)]
        missing = at_once = self.options.round_size
        while missing and self._next < self.solutions.count:
            batch = self._batch(min(self.solutions.count, self._next + at_once))
            fresh = self.unseen.fresh(batch)[:missing]
            found.append(batch.take(fresh))
            missing -= len(fresh)
            self._next += len(batch) if missing else int(fresh[-1]) + 1
            at_once = min(2 * at_once, _MOST_AT_ONCE)
        return joined(found)

    def _batch(self, end: int) -> Assignments:
        order = self._rank_of_position()
        small = self.solutions.count < 2**62
        ranks = np.array([order(position) for position in range(self._next, end)], dtype=np.int64 if small else object)
        return self.solutions.unrank_many(ranks)

    def _rank_of_position(self) -> Callable[[int], int]:
        if self._order is None:
            shuffled = self.options.order == "shuffled"
            self._order = Permutation(self.solutions.count, self.rng.bytes(_KEY_BYTES)) if shuffled else int
        return self._order
