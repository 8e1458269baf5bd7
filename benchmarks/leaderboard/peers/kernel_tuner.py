"""Kernel Tuner's strategies over its own `Searchspace`, `CostFunc` and budget; only the runner answers from a record.

What may put it at a disadvantage, and what was done about it:

* Its search space is made from the list of feasible configurations (as its own cache import does), once per space: no
  time for building it is charged, and its strategies repair and sample in exactly the feasible set.
* A strategy that ends before the budget is spent is started again with what it has measured in its cache, as a user
  would.
* `simulated_annealing` and others fit their schedule to `max_fevals`: read off at fewer evaluations than it was given,
  such a run is one that has not cooled down yet. `--capped` gives every budget a run of its own.
* All options are the project's defaults.
"""

from __future__ import annotations

import contextlib
import io
import random
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.leaderboard.ledger import Ledger
from benchmarks.leaderboard.space import RecordedSpace

STRATEGIES = {
    "greedy-ils": "greedy_ils",
    "greedy-mls": "greedy_mls",
    "genetic": "genetic_algorithm",
    "annealing": "simulated_annealing",
    "differential-evolution": "diff_evo",
    "dual-annealing": "dual_annealing",
    "particle-swarm": "pso",
    "firefly": "firefly_algorithm",
    "hybrid-vndx": "gen_hybrid_vndx",
    "tabu-grey-wolf": "gen_adaptive_tabu_greywolf",
    "bayesian": "bayes_opt",
}


def play(space: RecordedSpace, ledger: Ledger, seed: int, strategy: str) -> None:
    """Run one of `STRATEGIES` until the ledger is spent."""
    from kernel_tuner.util import StopCriterionReached

    module = import_module(f"kernel_tuner.strategies.{STRATEGIES[strategy]}")
    random.seed(seed)
    np.random.seed(seed)
    searchspace = _searchspace(space)
    runner = _runner(space, ledger)
    before = -1
    while runner.requests > before and not runner.budget.is_done():  # it asked for something: it may yet find more
        before = runner.requests
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(StopCriterionReached):
            module.tune(searchspace, runner, _options(space, runner))


@lru_cache(maxsize=1)
def _searchspace(space: RecordedSpace) -> Any:
    from kernel_tuner.searchspace import Searchspace

    parameters = {name: list(values) for name, values in space.values.items()}
    cache = {str(index): dict(zip(parameters, space.labels(index), strict=True)) for index in range(len(space))}
    return Searchspace(None, None, None, from_cache={"tune_params": parameters, "cache": cache})


def _options(space: RecordedSpace, runner: Any) -> Any:
    from kernel_tuner.interface import Options

    return Options(
        {
            "strategy_options": Options({"max_fevals": runner.budget.max_fevals}),
            "max_fevals": runner.budget.max_fevals,
            "budget": runner.budget,
            "tune_params": {name: list(values) for name, values in space.values.items()},
            "restrictions": [],
            "restrictions_unmodified": None,
            "objective": ["time"],
            "objective_higher_is_better": [False],
            "metrics": None,
            "cache": {},
            "cachefile": None,
            "verbose": False,
            "simulated_time": 0,
        }
    )


def _runner(space: RecordedSpace, ledger: Ledger) -> Any:
    from kernel_tuner.runners.runner import Runner
    from kernel_tuner.runners.simulation import SimulationDevice
    from kernel_tuner.util import RuntimeFailedConfig, TuningBudget

    by_seconds, budget = ledger.charge.by_seconds, ledger.charge.budget
    row_of_labels = {space.labels(row): row for row in range(len(space))}

    class RecordRunner(Runner):  # type: ignore[misc]
        """Does what its `SimulationRunner` does, and tells the ledger."""

        def __init__(self) -> None:
            super().__init__()
            self.dev = SimulationDevice(1_000_000_000, {"device_name": "record"}, True)
            self.simulation_mode = True
            self.requests = 0
            self.visited: set[int] = set()
            limit_secs = budget * ledger.unit_secs if by_seconds else None
            self.budget = TuningBudget(limit_secs, len(space) if by_seconds else min(budget, len(space)))

        def get_device_info(self) -> Any:
            return self.dev

        def get_environment(self, tuning_options: Any) -> dict[str, object]:
            del tuning_options
            return {}

        def run(self, parameter_space: Any, tuning_options: Any) -> list[dict[str, object] | None]:
            return [None if tuning_options.budget.is_done() else self._result(tuple(e)) for e in parameter_space]

        def _result(self, labels: tuple[object, ...]) -> dict[str, object]:
            self.requests += 1
            row = row_of_labels[labels]
            secs = ledger.measure(row)
            if row not in self.visited:
                self.visited.add(row)
                self.budget.add_evaluations(1)
                if by_seconds:
                    self.budget.add_time(seconds=float(space.cost_secs[row]))
            result = dict(zip(space.values, labels, strict=True))
            return {**result, **({"__error__": RuntimeFailedConfig()} if secs is None else {"time": secs * 1e3})}

    return RecordRunner()
