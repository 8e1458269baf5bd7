"""Every registered strategy as a factory for leaderboards over recorded tuning spaces.

`flextune.testing.leaderboard:NAME` (hyphens of the name as underscores) takes a description of a space and a seed, and
returns an object with `ask(n) -> [config]` and `tell([(config, seconds or None)])`. A description has `parameters`
(name -> list of values), `index` (rows × parameters: the position of each value in its list), and `budget`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.solutions import SolutionSet
from flextune.search.strategy_registry import create_strategy, strategy_names
from flextune.trial.measurement import Measurement, Status

Value = object
Config = dict[str, Value]


class Description(Protocol):
    """What a strategy may know of a space: all but the times."""

    parameters: Mapping[str, Sequence[Value]]
    index: npt.NDArray[np.integer]
    budget: int


class TabularStrategy:
    """A strategy over the rows of a description, in the terms of a leaderboard."""

    def __init__(
        self, name: str, description: Description, seed: int, options: Mapping[str, str] | None = None
    ) -> None:
        self._codes = {key: _codes(values) for key, values in description.parameters.items()}
        self._values = {
            key: dict(zip(self._codes[key], values, strict=True)) for key, values in description.parameters.items()
        }
        self._back = {key: {value: code for code, value in table.items()} for key, table in self._values.items()}
        rng = np.random.default_rng(seed)
        solutions = _solutions(description, self._codes)
        self._strategy = create_strategy(name, solutions, rng=rng, options=options, trials=description.budget)

    def ask(self, n: int) -> list[Config]:
        """Up to `n` configurations that were not asked before; none when the space is used up."""
        return [
            {key: table[assignment[key]] for key, table in self._values.items()} for assignment in self._strategy.ask(n)
        ]

    def tell(self, results: Sequence[tuple[Config, float | None]]) -> None:
        """The times in seconds; None is a failure."""
        self._strategy.tell([self._measurement(config, secs) for config, secs in results])

    def _measurement(self, config: Config, secs: float | None) -> Measurement:
        assignment = Assignment({key: table[config[key]] for key, table in self._back.items()})
        if secs is None:
            return Measurement(assignment, Status.RUN_ERROR, error="failed in the recording")
        return Measurement(assignment, Status.OK, (secs,))


def _codes(values: Sequence[Value]) -> list[int]:
    """The integers that stand for the values of a parameter: themselves, or their positions."""
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    return whole if len(whole) == len(values) else list(range(len(values)))


_SOLUTIONS: dict[int, tuple[weakref.ref[npt.NDArray[np.integer]], SolutionSet]] = {}


def _solutions(description: Description, codes: Mapping[str, Sequence[int]]) -> SolutionSet:
    """The rows as a set; the same one for all descriptions that share an index."""
    known = _SOLUTIONS.get(id(description.index))
    if known is not None and known[0]() is description.index:
        return known[1]
    columns = {key: np.array(codes[key], dtype=np.int64)[description.index[:, i]] for i, key in enumerate(codes)}
    solutions = SolutionSet.of_rows(Assignments(columns))
    _SOLUTIONS[id(description.index)] = weakref.ref(description.index), solutions
    return solutions


def __getattr__(attribute: str) -> Callable[[Description, int], TabularStrategy]:
    by_attribute = {name.replace("-", "_"): name for name in strategy_names()}
    if attribute.startswith("_") or attribute.replace("-", "_") not in by_attribute:
        raise AttributeError(f"no strategy {attribute!r}: expected one of {', '.join(by_attribute)}")
    name = by_attribute[attribute.replace("-", "_")]
    return lambda description, seed: TabularStrategy(name, description, seed)
