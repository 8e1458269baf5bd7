"""What a search strategy must do, and what it may be given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.strategy_options import StrategyOptions

if TYPE_CHECKING:
    from flextune.csp.solutions import SolutionSet
    from flextune.trial.measurement import Measurement


class Ranking(Protocol):
    """What a strategy needs of a cost model; `flextune.cost.cost_model.CostModel` says what the methods promise."""

    def predict(self, assignments: Assignments) -> npt.NDArray[np.float64]: ...

    def update(self, measurements: Sequence[Measurement]) -> None: ...

    def importance(self) -> Mapping[str, float]: ...


class SearchStrategy(ABC):
    """Proposes assignments of one `SolutionSet` and learns from their measurements.

    * `ask` returns solutions only, and never one that was asked or told before. It returns at least one and at most `n`
      of them, fewer than `n` where a strategy wants to be told before it goes on. It returns none when, and only when,
      the whole set has been asked or told.
    * `tell` takes measurements in any grouping, also of assignments that were never asked: those of an earlier run,
      read from records. Measurements of assignments outside the set (an earlier form of the space) are ignored. Telling
      again of an assignment replaces what was known about it.
    * Asking ahead is allowed: a caller need not tell everything before it asks again.
    * A default assignment, if given, is asked first, unless it has been told.
    * Failed measurements are news like others: whatever fails, `ask` goes on.
    * All randomness comes from the generator that was given: the same seed and the same calls give the same answers. As
      long as the caller tells what it has asked before it asks again, they also do not depend on `n`.

    `flextune.testing.strategies.StrategySuite` checks all of this for a strategy of your own; docs/add_a_strategy.md
    shows how to write one.

    `solutions` has at least one member, and `default` is one of them. `cost_model`, where there is one, belongs to the
    strategy, which tells it what it is told itself; it may do without. `options` is of the class's `options_type`.
    `trials` is how many measurements the caller means to make in all, where it knows: a budget to spend well, never a
    limit that is checked; asking goes on past it.

    The first line of a class's docstring says what it does, `source` where it comes from, `extra` which extra of
    flextune it needs (`rl` for torch, `optuna`; see `flextune.search.extras`); all are listed to users. Its module can
    be imported without that extra: what it needs is loaded when a strategy is made.
    """

    source: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    options_type: ClassVar[type[StrategyOptions]] = StrategyOptions

    @abstractmethod
    def __init__(
        self,
        solutions: SolutionSet,
        *,
        rng: np.random.Generator,
        default: Assignment | None = None,
        cost_model: Ranking | None = None,
        options: StrategyOptions | None = None,
        trials: int | None = None,
    ) -> None: ...

    @abstractmethod
    def ask(self, n: int) -> Sequence[Assignment]:
        """Up to `n` (at least 1) assignments to measure next; empty when the set is exhausted."""

    @abstractmethod
    def tell(self, measurements: Sequence[Measurement]) -> None:
        """Learn from these measurements."""
