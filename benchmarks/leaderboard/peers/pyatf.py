"""pyATF's search techniques over its own tree of valid configurations, driven by its own `Tuner`.

What may put it at a disadvantage, and what was done about it:

* Its search space is generated from the feasible configurations by constraints of its own kind, once per space: no time
  for generating is charged, and every point of its coordinate space is a feasible configuration.
* Its techniques do not remember what they have evaluated: they ask again for the same configuration, which is answered
  for nothing. A run that asks 25 times its budget for nothing is taken to be stuck.
* A failed configuration is its `CostFunctionError`, which its techniques count as infinitely slow.
* All options are the project's defaults; `auc-bandit` is its default technique.
"""

from __future__ import annotations

import inspect
import random
import signal
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from benchmarks.leaderboard.ledger import Ledger
from benchmarks.leaderboard.space import RecordedSpace, Row

TECHNIQUES = {
    "auc-bandit": "AUCBandit",
    "annealing": "SimulatedAnnealing",
    "differential-evolution": "DifferentialEvolution",
}
"""Its pattern search and Torczon's method stay at the first local optimum; they are parts of `auc-bandit`."""


def play(space: RecordedSpace, ledger: Ledger, seed: int, technique: str) -> None:
    """Run one of `TECHNIQUES` until the ledger is spent."""
    atf = _pyatf()
    random.seed(seed)
    names = _names(space)

    def cost(configuration: dict[str, int]) -> float:
        secs = ledger.measure(space.row_of[tuple(configuration[name] for name in names)])
        if secs is None:
            raise atf.tuning_data.CostFunctionError("it failed when it was recorded")
        return secs

    class Never(atf.abort_conditions.abort_condition.AbortCondition):  # type: ignore[misc, name-defined]
        """The ledger ends the run."""

        def stop(self, tuning_data: object) -> bool:
            del tuning_data
            return False

    tuner = atf.Tuner().search_space(_tree(space)).search_technique(_technique(atf, technique)).verbosity(0)
    tuner.tune(cost, Never())


def _technique(atf: Any, name: str) -> Any:
    techniques = atf.search_techniques
    if name == "auc-bandit":  # its default arguments are objects that all instances would share
        return techniques.AUCBandit((techniques.SimulatedAnnealing(), techniques.PatternSearch(), techniques.Torczon()))
    return getattr(techniques, TECHNIQUES[name])()


@lru_cache(maxsize=1)
def _tree(space: RecordedSpace) -> Any:
    atf, names = _pyatf(), _names(space)
    parameters = [
        atf.TP(name, atf.Set(*range(len(values))), _constraint(space, names[: depth + 1]))
        for depth, (name, values) in enumerate(zip(names, space.values.values(), strict=True))
    ]
    return atf.search_space.SearchSpace(*parameters, verbosity=0)


def _constraint(space: RecordedSpace, names: tuple[str, ...]) -> Callable[..., bool]:
    """Whether the values so far begin a feasible configuration, as a function of parameters with these names."""
    prefixes: set[Row] = {row[: len(names)] for row in space.rows}

    def begins_a_configuration(**positions: int) -> bool:
        return tuple(positions[name] for name in names) in prefixes

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    begins_a_configuration.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return begins_a_configuration


def _names(space: RecordedSpace) -> tuple[str, ...]:
    """Identifiers, which it asks for."""
    return tuple(f"p{index}" for index in range(len(space.values)))


def _pyatf() -> Any:
    """The package; its import takes over Ctrl-C, which is given back."""
    handler = signal.getsignal(signal.SIGINT)
    import pyatf
    import pyatf.abort_conditions.abort_condition
    import pyatf.search_space
    import pyatf.search_techniques
    import pyatf.tuning_data

    signal.signal(signal.SIGINT, handler)
    return pyatf
