"""Strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flextune.csp.assignment import Assignment
from flextune.errors import UsageError
from flextune.registry import Registry
from flextune.search.extras import install_command, is_installed
from flextune.search.strategy import Ranking, SearchStrategy
from flextune.search.strategy_options import OptionText

if TYPE_CHECKING:
    from flextune.csp.solutions import SolutionSet

_STRATEGIES: Registry[type[SearchStrategy]] = Registry(
    "strategy",
    {
        "auto": "flextune.search.auto:AutoStrategy",
        "random": "flextune.search.random:RandomStrategy",
        "exhaustive": "flextune.search.exhaustive:ExhaustiveStrategy",
        "cga": "flextune.search.evolution.cga:CgaStrategy",
        "cga-random-keys": "flextune.search.evolution.cga_random_keys:CgaRandomKeysStrategy",
        "ga": "flextune.search.evolution.ga:GaStrategy",
        "stochastic-ranking": "flextune.search.evolution.stochastic_ranking:StochasticRankingStrategy",
        "sat-decoder": "flextune.search.evolution.sat_decoder:SatDecoderStrategy",
        "idea": "flextune.search.evolution.idea:IdeaStrategy",
        "annealing": "flextune.search.local.annealing:AnnealingStrategy",
        "dual-annealing": "flextune.search.local.dual_annealing:DualAnnealingStrategy",
        "differential-evolution": "flextune.search.evolution.differential_evolution:DifferentialEvolutionStrategy",
        "flextensor-p": "flextune.search.flextensor.flextensor_p:FlexTensorPStrategy",
        "flextensor-q": "flextune.search.flextensor.flextensor_q:FlexTensorQStrategy",
        "flexaction": "flextune.search.flexaction.flexaction:FlexActionStrategy",
        "optuna": "flextune.search.optuna_sampler:OptunaStrategy",
        "local-search": "flextune.search.local.local_search:LocalSearchStrategy",
        "tree-surrogate": "flextune.search.bayesian.tree_surrogate_search:TreeSurrogateStrategy",
        "gaussian-process": "flextune.search.bayesian.gaussian_process_search:GaussianProcessStrategy",
    },
)


def strategy_names() -> tuple[str, ...]:
    """What `create_strategy` knows."""
    return _STRATEGIES.names


def register_strategy(name: str, strategy: type[SearchStrategy] | str) -> None:
    """Add a strategy by its class, or by `module:Class`, imported when it is first used. A taken name is an error."""
    _STRATEGIES.register(name, strategy)


@dataclass(frozen=True, slots=True)
class StrategyText:
    """What users are told of a strategy: `summary` is one line, `extra` the extra of flextune that it needs, if any."""

    name: str
    """For `--strategy`."""
    summary: str
    source: str
    """The paper that it is from."""
    extra: str
    options: tuple[OptionText, ...]
    """With their defaults and limits."""


def strategy_text(name: str) -> StrategyText:
    """The description of a strategy, also of one whose extra is not installed."""
    strategy = _STRATEGIES.get(name)
    lines = (strategy.__doc__ or "").strip().splitlines()
    described = strategy.options_type.described()
    return StrategyText(name, lines[0] if lines else "", strategy.source, strategy.extra, described)


def check_strategy(name: str, options: Mapping[str, str]) -> None:
    """Raises `UsageError` for what `create_strategy` would refuse: a name, an option, or an extra that is missing."""
    strategy = _STRATEGIES.get(name)
    strategy.options_type.parse(options)
    if not is_installed(strategy.extra):
        raise UsageError(f"strategy {name!r} needs the extra {strategy.extra!r}: {install_command(strategy.extra)}")


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
