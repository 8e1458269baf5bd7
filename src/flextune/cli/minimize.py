"""`flextune minimize`: tune any command, or search a measured space as if it were a device."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json, StrategyName, StrategyOptionTexts
from flextune.cli.output import JsonValue, print_json, seconds, table
from flextune.errors import FlextuneError, UsageError

if TYPE_CHECKING:
    from flextune.tuning.minimize_result import MinimizeResult, MinimizeTrial
    from flextune.tuning.replayed_search import Trajectory

_TRIALS = 64
_MILESTONES = (25, 50, 100, 200, 400, 800, 1600)


def minimize(
    spec: Annotated[
        Path | None, typer.Argument(metavar="SPEC.json", help="Parameters, constraints and the command to tune.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay", help="Search this Kernel Tuner cache or T4 file (.json, .json.gz) in place of a command."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, recorded ones counted (default without --seconds: 64).")
    ] = None,
    secs: Annotated[
        float | None,
        typer.Option("--seconds", help="Wall-clock limit; simulated compile and benchmark time in a replay."),
    ] = None,
    strategy: StrategyName = "auto",
    strategy_option: StrategyOptionTexts = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    draws: Annotated[
        int, typer.Option(help="In a replay: recorded repeats drawn per measurement (0: the mean of all, no noise).")
    ] = 0,
    resume: Annotated[bool, typer.Option(help="Take recorded trials of the same command for known.")] = True,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Search for the configuration that makes a command fastest, or a number that it prints smallest."""
    from flextune.cli.inputs import read_strategy_options
    from flextune.search.strategy_registry import check_strategy

    if (spec is None) == (replay is None):
        raise UsageError("give a SPEC.json or --replay FILE, one of them")
    if trials is None and secs is None:
        trials = _TRIALS
    if secs is not None and not 0 < secs < math.inf:
        raise UsageError(f"seconds must be positive, got {secs}")
    options = dict(read_strategy_options(strategy_option))
    check_strategy(strategy, options)
    if replay is not None:
        _replay(replay, trials, secs, strategy, options, seed, draws, as_json)
    elif spec is not None:
        _minimize(spec, trials, secs, strategy, options, seed, resume, db, as_json)


def _minimize(
    path: Path,
    trials: int | None,
    secs: float | None,
    strategy: str,
    strategy_options: dict[str, str],
    seed: int,
    resume: bool,
    db: str | None,
    as_json: bool,
) -> None:
    from flextune.cli.inputs import database_path
    from flextune.cli.minimize_spec import read_spec
    from flextune.tuning.budget import Budget
    from flextune.tuning.minimize import minimize as run

    spec = read_spec(path)
    try:
        objective, space = spec.objective(path.parent), spec.space()
        _ = space.problem
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    result = run(
        objective,
        space,
        Budget(trials, None if secs is None else secs / 60),
        strategy,
        default=spec.default,
        enqueue=spec.enqueue,
        direction=spec.direction,
        name=spec.name,
        version=spec.version,
        seed=seed,
        db=database_path(db),
        options=spec.options(resume),
        strategy_options=strategy_options,
        on_trial=_Reporter(),
    )
    if as_json:
        print_json(_facts(result))
    else:
        print(_report(result))
    if result.interrupted:
        raise FlextuneError("interrupted; every finished trial is recorded, the same command goes on from there")
    if result.best is None:
        reason = result.failures[0][0] if result.failures else "no trial within the budget"
        raise FlextuneError(f"no configuration ran: {reason}; see `flextune show` for all failures")


class _Reporter:
    """Says on standard error, if somebody is looking, when a trial is the best one so far."""

    def __init__(self) -> None:
        self._count = 0
        self._best = math.inf

    def __call__(self, trial: MinimizeTrial) -> None:
        self._count += 1
        if trial.measurement.secs < self._best:
            self._best = trial.measurement.secs
            if sys.stderr.isatty():
                print(f"trial {self._count}: {trial.value:.6g}  {_shown(trial.values)}", file=sys.stderr)


def _facts(result: MinimizeResult) -> dict[str, JsonValue]:
    return {
        "name": result.name,
        "strategy": result.strategy,
        "trials": result.trials,
        "recorded": result.recorded,
        "failed": result.failed,
        "best_value": result.best_value,
        "best": result.best,
        "space_size": result.space_size,
        "elapsed_secs": result.elapsed_secs,
        "failures": [{"cause": cause, "count": count} for cause, count in result.failures],
        "front": [{"values": dict(trial.values), "metrics": trial.metrics} for trial in _front(result)],
        "interrupted": result.interrupted,
        "db": result.db,
    }


def _front(result: MinimizeResult) -> Sequence[MinimizeTrial]:
    """Where there are several goals."""
    return result.front if result.goals.several else ()


def _report(result: MinimizeResult) -> str:
    lines = [result.name]
    if result.best_trial is not None:
        lines += [f"  best     {result.best_value:.6g}", f"           {_shown(result.best_trial.values)}"]
    lines += [
        f"  trials   {result.trials} ({result.failed} failed, {result.recorded} recorded before) "
        f"of {result.space_size} in the space, {result.elapsed_secs:.1f} s in all",
        f"  records  {result.db}",
    ]
    if front := _front(result):
        names = result.goals.names
        rows = [(*(f"{trial.metrics[name]:.6g}" for name in names), _shown(trial.values)) for trial in front]
        lines.append(table((*names, "that no other one beats"), rows, "    "))
    if result.failures:
        lines.append(table(("cause", "count"), [(cause, str(count)) for cause, count in result.failures], "    "))
    return "\n".join(lines)


def _shown(values: object) -> str:
    assert isinstance(values, dict)
    return " ".join(f"{name}={value}" for name, value in values.items())


def _replay(
    path: Path,
    trials: int | None,
    secs: float | None,
    strategy: str,
    strategy_options: dict[str, str],
    seed: int,
    draws: int,
    as_json: bool,
) -> None:
    from flextune.database.space_files import load_space
    from flextune.tuning.replayed_search import replay_run

    space = load_space(path)
    found = replay_run(space, strategy, trials=trials, secs=secs, seed=seed, options=strategy_options, draws=draws)
    if as_json:
        print_json(_replay_facts(found, strategy, seed))
    else:
        print(_replay_report(found, strategy))
    if found.best is None:
        raise FlextuneError(f"none of the {len(found)} configurations that were tried ran")


def _best_of(found: Trajectory) -> str:
    share = f"{found.fraction_after(len(found)):.1%} of the optimum's"
    objective = found.space.objective
    return f"{share} {objective}" if objective else f"{seconds(found.best_secs)}, {share} speed"


def _replay_facts(found: Trajectory, strategy: str, seed: int) -> dict[str, JsonValue]:
    space = found.space
    return {
        "space": space.name,
        "device": space.device,
        "space_size": len(space),
        "objective": space.objective or "time",
        "strategy": strategy,
        "seed": seed,
        "evaluations": len(found),
        "failed": found.failed,
        "simulated_secs": found.simulated_secs,
        "best_secs": found.best_secs,
        "optimum_secs": space.optimum_secs,
        "fraction_of_optimum": found.fraction_after(len(found)),
        "best": None if found.best is None else space.parameters.decode(found.best),
        "fractions": {str(count): found.fraction_after(count) for count in _milestones(found)},
    }


def _milestones(found: Trajectory) -> tuple[int, ...]:
    return tuple(count for count in _MILESTONES if count <= len(found))


def _replay_report(found: Trajectory, strategy: str) -> str:
    space = found.space
    lines = [
        f"{space.name}{' on ' + space.device if space.device else ''}, {len(space)} configurations, {strategy}",
        f"  best     {_best_of(found)}",
        *([] if space.objective else [f"  optimum  {seconds(space.optimum_secs)}"]),
        f"  trials   {len(found)} ({found.failed} failed), {found.simulated_secs:.1f} simulated seconds",
    ]
    if found.best is not None:
        lines.insert(2, f"           {_shown(space.parameters.decode(found.best))}")
    if shown := _milestones(found):
        rows = [(str(count), f"{found.fraction_after(count):.3f}") for count in shown]
        lines.append(table(("evaluations", "fraction of optimum"), rows, "    "))
    return "\n".join(lines)
