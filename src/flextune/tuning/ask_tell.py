"""Ask and tell: the search alone, for a caller that tries the configurations itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from flextune.cost.cost_model_registry import create_cost_model
from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Value
from flextune.csp.python_rule import Rule
from flextune.errors import UsageError
from flextune.measure.objective import metric_fault
from flextune.search.strategy_registry import create_strategy
from flextune.trial.measurement import Measurement, Status
from flextune.tuning.goals import Direction, Goals, pareto_front
from flextune.tuning.minimize_result import MinimizeTrial
from flextune.tuning.proposals import Proposals
from flextune.tuning.space_declaration import Declared, configuration, declared_space

Told = float | Mapping[str, float] | None


class Search:
    """Proposes configurations with `ask` and learns from `tell`; the caller tries them, wherever and how it likes.

    Ask for several and tell them in any order, or tell what was never asked: results that you have already. A failure
    is told as None. The arguments are those of `minimize`; the same seed and calls give the same proposals.

    >>> search = Search({"x": range(10)}, "random")
    >>> while (values := search.ask()) is not None:
    ...     search.tell(values, (values["x"] - 3) ** 2)
    >>> search.best.values, search.best.value
    ({'x': 3}, 0.0)
    """

    def __init__(
        self,
        space: Declared,
        strategy: str = "auto",
        *,
        constraints: Iterable[Rule] | Rule = (),
        direction: Direction = "minimize",
        default: Mapping[str, Value] | None = None,
        enqueue: Iterable[Mapping[str, Value]] = (),
        seed: int = 0,
        trials: int | None = None,
        strategy_options: Mapping[str, str] | None = None,
        cost_model: str = "none",
    ) -> None:
        """`trials`, where it is known, is how many are meant to be made in all; nothing ends there."""
        named = [configuration("enqueue", each) for each in enqueue]
        first_values = [] if default is None else [configuration("default", default)]
        self._space = declared_space(space, constraints).including([*first_values, *named])
        self._goals = Goals.of(direction)
        solutions = self._space.solutions
        first = next(map(self._space.complete, first_values), None)
        searcher = create_strategy(
            strategy,
            solutions,
            rng=np.random.default_rng(seed),
            default=first,
            cost_model=create_cost_model(cost_model, solutions.names, seed),
            options=strategy_options or {},
            trials=trials,
        )
        queued = [self._space.complete(each) for each in named]
        self._proposals = Proposals(searcher, self._goals, queued if first is None else [first, *queued])
        self._trials: dict[Assignment, MinimizeTrial] = {}

    @property
    def space_size(self) -> int:
        """Configurations that satisfy the constraints."""
        return self._space.solutions.count

    def ask(self) -> dict[str, Value] | None:
        """A configuration that was neither asked nor told before; None when there is none left."""
        assignment = self._proposals.next()
        return None if assignment is None else self._space.values(assignment)

    def tell(self, values: Mapping[str, Value], result: Told, *, error: str = "") -> MinimizeTrial:
        """What came of a configuration: its number, a dict of its metrics, or None (with `error`) for a failure.

        `UsageError` for a configuration that is not in the space, and for what is no finite number.
        """
        assignment = self._space.complete(configuration("tell", values))
        trial = MinimizeTrial(self._space.values(assignment), self._measurement(assignment, result, error), self._goals)
        self._trials[assignment] = trial
        self._proposals.tell([trial.measurement])
        return trial

    @property
    def history(self) -> tuple[MinimizeTrial, ...]:
        """What was told, the latest of each configuration."""
        return tuple(self._trials.values())

    @property
    def best(self) -> MinimizeTrial | None:
        """The first trial with the best value, of the first goal where there are several; None where none ran."""
        best = min(self.history, key=lambda trial: trial.measurement.secs, default=None)
        return best if best is not None and best.ok else None

    @property
    def front(self) -> tuple[MinimizeTrial, ...]:
        """The trials that no other one beats in every goal."""
        return pareto_front(self.history, [self._goals.losses(trial.measurement) for trial in self.history])

    def _measurement(self, assignment: Assignment, result: Told, error: str) -> Measurement:
        if result is None:
            return Measurement(assignment, Status.RUN_ERROR, error=error or "it failed")
        found: Mapping[str, float]
        found = result if isinstance(result, Mapping) else {self._goals.names[0]: result}
        for name in dict.fromkeys((*self._goals.names, *found)):
            if fault := metric_fault(name, found):
                raise UsageError(f"tell: {fault}")
        number = self._goals.signs[0] * float(found[self._goals.names[0]])
        metrics = tuple((name, float(value)) for name, value in found.items() if name)
        return Measurement(assignment, Status.OK, (number,), metrics=metrics)
