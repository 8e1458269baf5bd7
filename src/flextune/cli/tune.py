"""`flextune tune`: search schedules for a workload or for every part of a model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import (
    CostModelOptionTexts,
    DatabasePath,
    Dims,
    Json,
    OnlyOwn,
    PrecisionName,
    PretrainedPath,
    Providers,
    Shapes,
    StrategyName,
    StrategyOptionTexts,
    TargetText,
    Values,
    Without,
    WorkloadOrModel,
)
from flextune.cli.output import amount, print_json, rate
from flextune.errors import FlextuneError, UsageError
from flextune.quantities import figure

if TYPE_CHECKING:
    from flextune.cli.live import LiveView
    from flextune.measure.measure_options import MeasureOptions
    from flextune.measure.runner import Runner
    from flextune.target.target import Target
    from flextune.tuning.budget import Budget
    from flextune.tuning.result import TuningResult
    from flextune.tuning.search_options import SearchOptions
    from flextune.workload.dim import Dim

_WORKLOAD_TRIALS = 64
_MODEL_MINUTES = 2.0


def tune(
    what: WorkloadOrModel,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, recorded ones counted (default for a workload: 64).")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Wall-clock limit (default for a model: 2).")] = None,
    strategy: StrategyName = "auto",
    strategy_option: StrategyOptionTexts = None,
    cost_model: Annotated[str, typer.Option(help="Learned cost model: none, trees, gp or mlp.")] = "trees",
    cost_model_option: CostModelOptionTexts = None,
    pretrained: PretrainedPath = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    resume: Annotated[bool, typer.Option(help="Take recorded trials of the same key for known.")] = True,
    patience: Annotated[int | None, typer.Option(help="End a task after so many trials without a better one.")] = None,
    target: TargetText = None,
    runner: Annotated[
        str | None,
        typer.Option(
            "--runner",
            help="What measures a workload: ray or ray:HOST:PORT for a fleet of machines, or for a target that is not "
            "this machine such as qemu or ssh:HOST, a board.",
        ),
    ] = None,
    without: Without = None,
    precision: PrecisionName = "float32",
    shape: Shapes = None,
    dim: Dims = None,
    value: Values = None,
    only_own: OnlyOwn = False,
    provider: Providers = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Search for the fastest schedules; every trial is recorded, and a run goes on where an earlier one ended."""
    began = time.perf_counter()  # before anything large is imported
    from flextune.cli.inputs import (
        is_model,
        read_cost_model_options,
        read_dims,
        read_shapes,
        read_strategy_options,
        read_values,
    )
    from flextune.tuning.budget import Budget

    model = is_model(what)
    has_ranges = ".." in what and not model
    if trials is None and minutes is None:
        trials, minutes = (None, _MODEL_MINUTES) if model or has_ranges else (_WORKLOAD_TRIALS, None)
    budget, shapes = Budget(trials, minutes, patience), read_shapes(shape)
    strategy_options = read_strategy_options(strategy_option)
    cost_model_options = read_cost_model_options(cost_model_option)
    request = Request(
        budget, strategy, cost_model, seed, resume, target, db, strategy_options, cost_model_options, pretrained, runner
    )
    if runner is not None and (model or ".." in what):
        raise UsageError(f"--runner is for workloads of fixed sizes; {what!r} is none")
    if model:
        asked = ModelRequest(
            request,
            began,
            tuple(without or ()),
            precision,
            only_own,
            tuple(provider or ()),
            read_values(value),
            read_dims(dim),
        )
        _tune_model(Path(what), shapes, asked, as_json)
    elif shapes or value or dim:
        raise UsageError(
            f"--shape, --dim and --value are for models; {what!r} is a workload, its sizes are its parameters"
        )
    elif without or precision != "float32":
        raise UsageError(f"--without and --precision are for models; {what!r} is a workload, say dtype=... in its text")
    elif only_own or provider:
        raise UsageError(f"--only-own and --provider are for models; {what!r} is a workload")
    elif has_ranges:
        _tune_ranges(what, request, as_json)
    else:
        _tune_workload(what, request, as_json)


@dataclass(frozen=True, slots=True)
class Request:
    """What the options ask for, before anything that takes long is loaded."""

    budget: Budget
    """Trials or minutes."""
    strategy: str
    """By name."""
    cost_model: str
    """By name."""
    seed: int
    """Of everything random."""
    resume: bool
    """Whether recorded trials are taken for known."""
    target: str | None
    """Its text; None for this machine."""
    db: str | None
    """Where records are kept."""
    strategy_options: tuple[tuple[str, str], ...] = ()
    """Names and texts."""
    cost_model_options: tuple[tuple[str, str], ...] = ()
    """Names and texts."""
    pretrained: Path | None = None
    """The file of a model to begin with."""
    runner: str | None = None
    """What measures, by name; None for what usually measures on such a target."""

    def search(self) -> SearchOptions:
        """How to search. Unknown names and bad options are refused before anything is measured."""
        from flextune.tuning.search_options import SearchOptions

        return SearchOptions(
            self.strategy,
            dict(self.strategy_options),
            self.cost_model,
            dict(self.cost_model_options),
            self.pretrained,
            self.seed,
            self.resume,
        )


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request about a model: also the passes to do without, the precision, who may run parts, and inputs' values.

    Its minutes count from `began`, a moment of `time.perf_counter`.
    """

    request: Request
    """What it shares with one about a workload."""
    began: float
    without: tuple[str, ...] = ()
    """Names of passes."""
    precision: str = "float32"
    """By name."""
    only_own: bool = False
    """Whether no part is another runtime's."""
    providers: tuple[str, ...] = ()
    """Of another runtime, those that may run parts."""
    values: Mapping[str, float | list[float]] = field(default_factory=dict)
    """Of inputs that become constants, by name."""
    dims: tuple[Dim, ...] = ()
    """Sizes of dimensions, by name."""


def _tune_model(path: Path, shapes: Mapping[str, tuple[int, ...]], asked: ModelRequest, as_json: bool) -> None:
    from flextune.cli.inputs import read_target
    from flextune.measure.local import local_processes

    with local_processes(read_target(asked.request.target)) as interpreter:  # they load TVM while this process does
        from flextune.cli.tune_model import tune_model

        tune_model(path, shapes, asked, as_json, interpreter)


def _tune_ranges(text: str, request: Request, as_json: bool) -> None:
    """A workload with ranges of sizes: several schedules, and which of them a size gets."""
    from flextune.cli.inputs import database_path, read_target
    from flextune.cli.show_decisions import decision_lines
    from flextune.cli.tune_symbolic import decision_facts
    from flextune.cli.working import working
    from flextune.interface import tune_ranges

    with working(f"tuning {text}"):
        found = tune_ranges(
            text,
            request.budget,
            database=database_path(request.db),
            target=read_target(request.target),
            search=request.search(),
        )
    if as_json:
        print_json(decision_facts(found))
    else:
        print("\n".join(decision_lines(found)))


def _tune_workload(text: str, request: Request, as_json: bool) -> None:
    from flextune.cli.inputs import database_path, read_target
    from flextune.cli.live import LiveView
    from flextune.measure.fleet.names import is_fleet
    from flextune.target.kinds import scale_of
    from flextune.workload.parse import parse_workload

    workload, target, search = parse_workload(text), read_target(request.target), request.search()
    name = None if is_fleet(request.runner) else request.runner
    budget, scale, measure = request.budget, scale_of(target, name), _measure_options(target, name)
    with _opened_runner(request.runner, measure, target) as runner:  # first of all: workers load TVM meanwhile
        from flextune.database.store import open_database
        from flextune.interface import tune_within

        with open_database(database_path(request.db)) as database, LiveView(budget, str(workload), scale=scale) as view:
            result = tune_within(budget, workload, target, database, search, (view,), runner, measure)
    print_json(result.to_dict()) if as_json else print(_report(result))
    end_with(result.interrupted, result.best is not None, view, kept(result.db, view))


def _measure_options(target: Target, runner: str | None) -> MeasureOptions:
    """How to measure; a board is named, so that records say which."""
    from flextune.measure.measure_options import MeasureOptions
    from flextune.target.kinds import board_of

    board = board_of(target, runner)
    return MeasureOptions(runner="" if board is None else str(board))


def _opened_runner(name: str | None, options: MeasureOptions, target: Target) -> AbstractContextManager[Runner]:
    """What measures: a fleet where one is named, else this machine, which asks a board where the options name one."""
    from flextune.measure.fleet.names import is_fleet
    from flextune.measure.local import local_runner

    if name is None or not is_fleet(name):
        return local_runner(options, target)
    from flextune.measure.fleet.opened import fleet_runner

    return fleet_runner(name, options, target)


def _report(result: TuningResult) -> str:
    if result.best is None:
        return f"{result.workload}: none of {result.trials} trials ran"
    gain = result.default_secs / result.best_secs
    parts = ", ".join(figure(name, value) for name, value in result.parts.items())
    share = f"  {result.fraction_of_peak:.0%} of peak" if result.fraction_of_peak else ""
    of_peak = f"{rate(result.best_gflops * 1e9)}{share}"
    lines = [
        result.workload,
        f"  best     {amount(result.best_secs, result.scale)}  {of_peak if result.scale.is_time else parts}".rstrip(),
        *([f"  energy   {parts}, above what the machine takes at rest"] if result.scale.is_time and parts else []),
        f"  default  {amount(result.default_secs, result.scale)}  {gain:.2f}x {_worse(result)} the best",
        f"  trials   {result.trials} ({result.failed} failed) of {result.space_size} in the space, "
        f"{result.trials_per_sec:.1f} per second, {result.elapsed_secs:.1f} s in all",
        f"  records  {result.db}",
    ]
    return "\n".join(lines)


def _worse(result: TuningResult) -> str:
    return "slower than" if result.scale.is_time else "the cost of"


def kept(db: str, view: LiveView, model: Path | None = None) -> str:
    """What an interrupted run leaves behind, and how to go on."""
    measured = view.progress.measured
    if not measured:
        return f"interrupted before the first trial; {db} is as it was, the same command begins again"
    use = "" if model is None else f", `flextune compile {model} --db {db} -o FILE` builds the best so far"
    return (
        f"interrupted; all {measured} trials of this run are kept in {db}: the same command goes on from there, "
        f"`flextune show --db {db}` prints them{use}"
    )


def end_with(interrupted: bool, found: bool, view: LiveView, kept: str) -> None:
    """Raises what makes the exit code 1: an interrupted run, of which it says what is `kept`, or one in which nothing
    ran."""
    from flextune.cli.live import failure_lines

    if interrupted:
        raise FlextuneError(kept)
    if not found:
        reason = next(iter(failure_lines(view.progress)), "no trial within the budget")
        raise FlextuneError(f"no candidate ran: {reason.strip()}; see `flextune show` for all failures")
