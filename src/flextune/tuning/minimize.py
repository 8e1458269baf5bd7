"""`minimize`: search for the configuration that makes anything smallest, from a function to a compiled program."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import numpy as np

from flextune.cost.cost_model_registry import create_cost_model
from flextune.csp.parameters import Parameters, Value
from flextune.csp.python_rule import Rule
from flextune.database.address import DatabaseAddress
from flextune.database.database import Database
from flextune.errors import UsageError
from flextune.measure.command import Command, CommandObjective
from flextune.measure.function import Check, FunctionObjective
from flextune.measure.objective import Objective
from flextune.search.strategy_registry import create_strategy
from flextune.target.host import host
from flextune.trial.record import Provenance, installed_versions
from flextune.tuning.budget import Budget
from flextune.tuning.goals import Direction, Goals
from flextune.tuning.minimize_options import MinimizeOptions
from flextune.tuning.minimize_result import MinimizeResult
from flextune.tuning.minimize_run import MinimizeRun, OnTrial
from flextune.tuning.objective_records import ObjectiveRecords
from flextune.tuning.proposals import Proposals
from flextune.tuning.space_declaration import Declared, configuration, declared_space


def minimize(
    objective: Callable[..., object] | Command | Sequence[str],
    space: Declared,
    budget: Budget | int,
    strategy: str = "auto",
    *,
    constraints: Iterable[Rule] | Rule = (),
    check: Check | None = None,
    default: Mapping[str, Value] | None = None,
    name: str = "",
    version: str = "",
    seed: int = 0,
    db: Database | Path | str | None = None,
    options: MinimizeOptions | None = None,
    strategy_options: Mapping[str, str] | None = None,
    cost_model: str = "none",
    on_trial: OnTrial | None = None,
    direction: Direction = "minimize",
    enqueue: Iterable[Mapping[str, Value]] = (),
    **more: float | bool,
) -> MinimizeResult:
    """The configuration of `space` for which the objective is smallest, as far as the budget goes.

    `objective` is a function (see `FunctionObjective`: keyword arguments or one dict in, a number out), a `Command`, or
    a list of words with `{name}` in them, whose wall time counts. `space` maps names to values; `constraints` are
    expressions such as `"tile_x * tile_y <= 1024"`, or functions of parameters. `budget` is a number of trials, or a
    `Budget`. `check` looks at an objective's output and says whether it is right. `default` is tried first, then what
    is in `enqueue`. `direction` is `"minimize"` or `"maximize"`, or one of these for each metric by its name: then the
    objective returns a dict of metrics, and where several have a direction `front` of the result are the trials that
    no other one beats. `on_trial` sees every trial; the run ends when it returns True.

    An objective that raises, crashes, hangs, prints garbage, returns no finite number or a wrong answer is a failed
    trial, and the run goes on. With `db` every trial is recorded when it ends, and a later run with the same objective
    goes on from there; Ctrl-C ends a run with what it has. Fields of `MinimizeOptions` may be given by name.

    Raises `UsageError` for bad input, before the first trial.

    >>> result = minimize(lambda x: (x - 3) ** 2, {"x": range(10)}, budget=10, strategy="random")
    >>> result.best, result.best_value
    ({'x': 3}, 0.0)
    """
    started = time.perf_counter()
    limit = budget if isinstance(budget, Budget) else Budget(trials=_whole("budget", budget))
    _whole("seed", seed)
    how = (options or MinimizeOptions()).changed(more)
    queued_values = [configuration("enqueue", each) for each in enqueue]
    first_values = [] if default is None else [configuration("default", default)]
    declared = declared_space(space, constraints).including([*first_values, *queued_values])
    size, names = declared.solutions.count, declared.solutions.names
    goals = Goals.of(direction)
    first = next(map(declared.complete, first_values), None)
    queued = [declared.complete(each) for each in queued_values]
    # The objective comes first: its process is to be forked before a strategy has loaded what starts threads.
    with closing(_objective(objective, declared.parameters, how, check, name, version, goals)) as measured:
        searcher = create_strategy(
            strategy,
            declared.solutions,
            rng=np.random.default_rng(seed),
            default=first,
            cost_model=create_cost_model(cost_model, names, seed),
            options=strategy_options or {},
            trials=None if limit.trials is None else min(limit.trials, size),
        )
        about = Provenance(
            protocol=str(measured.protocol),
            versions=installed_versions(),
            seed=seed,
            strategy=strategy,
            strategy_options=tuple((strategy_options or {}).items()),
            cost_model=cost_model,
            host=host().fingerprint,
        )
        records = ObjectiveRecords(measured, declared, about, goals)
        proposals = Proposals(searcher, goals, queued if first is None else [first, *queued])
        with _opened(db) as database:
            run = MinimizeRun(declared, proposals, measured, limit, started, database, records, goals, how, on_trial)
            if how.resume and database is not None:
                _warn_of_unknown(measured)
                run.recall()
            run.spend()
            return run.result(strategy, DatabaseAddress.of(db) if isinstance(db, str | Path) else "")


def _objective(
    objective: Callable[..., object] | Command | Sequence[str],
    parameters: Parameters,
    options: MinimizeOptions,
    check: Check | None,
    name: str,
    version: str,
    goals: Goals,
) -> Objective:
    limits = options.limits(options.timeout_secs)
    if isinstance(objective, Command):
        return CommandObjective(
            objective,
            parameters.names,
            name,
            check,
            options.repeats,
            limits,
            options.limits(options.build_timeout_secs),
            options.protocol,
            tuple(value for each in parameters.parameters for value in each.values if isinstance(value, str)),
            version,
            goals.names,
            goals.signs[0],
        )
    if callable(objective):
        return FunctionObjective(
            objective,
            parameters.names,
            name=name,
            version=version,
            check=check,
            repeats=options.repeats,
            limits=limits,
            isolated=options.isolated,
            protocol=options.protocol,
            metrics=goals.names,
            sign=goals.signs[0],
        )
    if isinstance(objective, str) or not isinstance(objective, Sequence):
        raise UsageError(f"an objective is a function, a Command or a list of words, got {objective!r:.80}")
    return _objective(Command(tuple(objective)), parameters, options, check, name, version, goals)


def _warn_of_unknown(objective: Objective) -> None:
    if objective.unknown:
        warnings.warn(
            f"what decides the value of {objective.name!r} cannot be told, for it holds {objective.unknown}: recorded "
            "trials do not count; promise with name='...' and version='...' that they are of the same objective",
            stacklevel=4,
        )


def _opened(db: Database | Path | str | None) -> AbstractContextManager[Database | None]:
    if db is None or isinstance(db, Database):
        return nullcontext(db)
    from flextune.database.store import open_database  # SQLAlchemy takes half a second to load

    return open_database(db)


def _whole(what: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{what}: expected a whole number, got {value!r:.80}")
    if what == "seed" and value < 0:
        raise UsageError(f"the seed must not be negative, got {value}")
    return value
