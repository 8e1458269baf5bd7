"""Strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from flextune.csp.assignment import Assignment
from flextune.registry import Registry
from flextune.search.options import OptionText
from flextune.search.strategy import Ranking, SearchStrategy

if TYPE_CHECKING:
    from flextune.csp.solutions import SolutionSet

_STRATEGIES: Registry[type[SearchStrategy]] = Registry(
    "strategy",
    {
        "random": "flextune.search.random:RandomStrategy",
        "cga": "flextune.search.cga:CgaStrategy",
    },
)


def strategy_names() -> tuple[str, ...]:
    """What `create_strategy` knows."""
    return _STRATEGIES.names


def register_strategy(name: str, strategy: type[SearchStrategy] | str) -> None:
    """Add a strategy by its class, or by `module:Class`, imported when it is first used. A taken name is an error."""
    _STRATEGIES.register(name, strategy)


def strategy_options(name: str) -> tuple[OptionText, ...]:
    """The options of a strategy, to be listed."""
    return _STRATEGIES.get(name).options_type.described()


def create_strategy(
    name: str,
    solutions: SolutionSet,
    *,
    rng: np.random.Generator,
    default: Assignment | None = None,
    cost_model: Ranking | None = None,
    options: Mapping[str, str] | None = None,
    trials: int | None = None,
) -> SearchStrategy:
    """A new strategy over these solutions. Raises `UsageError` for an unknown name or option.

    >>> from flextune.csp.problem import Problem
    >>> solutions = Problem.parse("var tile in {1, 2, 4}").solve()
    >>> strategy = create_strategy("random", solutions, rng=np.random.default_rng(0))
    >>> sorted(str(assignment) for assignment in strategy.ask(10))
    ['tile=1', 'tile=2', 'tile=4']
    """
    strategy = _STRATEGIES.get(name)
    parsed = strategy.options_type.parse(options or {})
    return strategy(solutions, rng=rng, default=default, cost_model=cost_model, options=parsed, trials=trials)
