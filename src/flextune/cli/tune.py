"""`flextune tune`: search schedules for a workload or for every part of a model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import (
    CostModelOptionTexts,
    DatabasePath,
    Json,
    PrecisionName,
    PretrainedPath,
    Shapes,
    StrategyOptionTexts,
    TargetText,
    Without,
    WorkloadOrModel,
)
from flextune.cli.output import print_json, rate, seconds
from flextune.errors import FlextuneError, UsageError

if TYPE_CHECKING:
    from flextune.cli.live import LiveView
    from flextune.cost.pretrained import PretrainedModel
    from flextune.measure.pool import WorkerPool
    from flextune.target.peaks import Peaks
    from flextune.target.target import Target
    from flextune.tuning.budget import Budget
    from flextune.tuning.options import TuneOptions
    from flextune.tuning.result import TuningResult
    from flextune.workload.workload import Workload

_WORKLOAD_TRIALS = 64
_MODEL_MINUTES = 2.0


def tune(
    what: WorkloadOrModel,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, recorded ones counted (default for a workload: 64).")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Wall-clock limit (default for a model: 2).")] = None,
    strategy: Annotated[str, typer.Option(help="Search strategy; `flextune strategies` lists them.")] = "auto",
    strategy_option: StrategyOptionTexts = None,
    cost_model: Annotated[str, typer.Option(help="Learned cost model: none, trees, gp or mlp.")] = "trees",
    cost_model_option: CostModelOptionTexts = None,
    pretrained: PretrainedPath = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    resume: Annotated[bool, typer.Option(help="Take recorded trials of the same key for known.")] = True,
    patience: Annotated[int | None, typer.Option(help="End a task after so many trials without a better one.")] = None,
    target: TargetText = None,
    without: Without = None,
    precision: PrecisionName = "float32",
    shape: Shapes = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Search for the fastest schedules; every trial is recorded, and a run goes on where an earlier one ended."""
    began = time.perf_counter()  # before anything large is imported
    from flextune.cli.inputs import is_model, read_cost_model_options, read_shapes, read_strategy_options
    from flextune.tuning.budget import Budget

    model = is_model(what)
    if trials is None and minutes is None:
        trials, minutes = (None, _MODEL_MINUTES) if model else (_WORKLOAD_TRIALS, None)
    budget, shapes = Budget(trials, minutes, patience), read_shapes(shape)
    strategy_options = read_strategy_options(strategy_option)
    cost_model_options = read_cost_model_options(cost_model_option)
    request = Request(
        budget, strategy, cost_model, seed, resume, target, db, strategy_options, cost_model_options, pretrained
    )
    if model:
        from flextune.cli.tune_model import tune_model

        tune_model(Path(what), shapes, ModelRequest(request, began, tuple(without or ()), precision), as_json)
    elif shapes:
        raise UsageError(f"--shape is for models; {what!r} is a workload, its sizes are its parameters")
    elif without or precision != "float32":
        raise UsageError(f"--without and --precision are for models; {what!r} is a workload, say dtype=... in its text")
    else:
        _tune_workload(what, request, as_json)


@dataclass(frozen=True, slots=True)
class Request:
    """What the options ask for, before anything that takes long is loaded."""

    budget: Budget
    strategy: str
    cost_model: str
    seed: int
    resume: bool
    target: str | None
    db: Path | None
    strategy_options: tuple[tuple[str, str], ...] = ()
    cost_model_options: tuple[tuple[str, str], ...] = ()
    pretrained: Path | None = None

    def options(self, peaks: Peaks | None = None) -> TuneOptions:
        """The run's options. Unknown names and bad options are refused before anything is measured."""
        from flextune.cost.registry import check_cost_model
        from flextune.search.registry import check_strategy
        from flextune.tuning.options import TuneOptions

        check_strategy(self.strategy, dict(self.strategy_options))
        check_cost_model(self.cost_model, dict(self.cost_model_options), self.pretrained is not None)
        return TuneOptions(
            self.budget,
            self.strategy,
            self.cost_model,
            self.seed,
            self.resume,
            peaks=peaks,
            strategy_options=self.strategy_options,
            cost_model_options=self.cost_model_options,
            pretrained=self._pretrained(),
        )

    def _pretrained(self) -> PretrainedModel | None:
        if self.pretrained is None:
            return None
        from flextune.cost.model_file import load_model

        return load_model(self.pretrained)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request about a model: also the passes to do without, and the precision to compute in.

    Its minutes count from `began`, a moment of `time.perf_counter`.
    """

    request: Request
    began: float
    without: tuple[str, ...] = ()
    precision: str = "float32"


def _tune_workload(text: str, request: Request, as_json: bool) -> None:
    from flextune.cli.inputs import database_path, read_target
    from flextune.measure.pool import WorkerPool
    from flextune.workload.parse import parse_workload

    workload, target, path = parse_workload(text), read_target(request.target), database_path(request.db)
    options = request.options()
    with WorkerPool(options.measure, target.cores) as pool:
        pool.start(target.kind)  # first of all: the workers load TVM while this process does
        result, view = _tuned(workload, target, options, path, pool)
    _show_result(result, workload, target, as_json)
    end_with(result.interrupted, result.best is not None, view)


def _tuned(
    workload: Workload, target: Target, options: TuneOptions, path: str, pool: WorkerPool
) -> tuple[TuningResult, LiveView]:
    from flextune.cli.live import LiveView
    from flextune.database.store import open_database
    from flextune.tuning.loop import tune_workload

    with open_database(path) as database, LiveView(options.budget, str(workload)) as view:
        return tune_workload(workload, target, options, database, (view,), path, pool), view


def _show_result(result: TuningResult, workload: Workload, target: Target, as_json: bool) -> None:
    from flextune.cli.inputs import peaks_of
    from flextune.tuning.task import peak_flops

    # After the run: measuring the peaks for the first time takes seconds, in which a killed run would have nothing.
    peaks = peaks_of(target, measure_missing=not result.interrupted)
    result = result.with_peak(peak_flops(peaks, workload))
    if as_json:
        print_json(result.to_dict())
    else:
        print(_report(result))


def _report(result: TuningResult) -> str:
    if result.best is None:
        return f"{result.workload}: none of {result.trials} trials ran"
    gain = result.default_secs / result.best_secs
    lines = [
        result.workload,
        f"  best     {seconds(result.best_secs)}  {rate(result.best_gflops * 1e9)}  "
        f"{result.fraction_of_peak:.0%} of peak",
        f"  default  {seconds(result.default_secs)}  {gain:.2f}x slower than the best",
        f"  trials   {result.trials} ({result.failed} failed) of {result.space_size} in the space, "
        f"{result.trials_per_sec:.1f} per second, {result.elapsed_secs:.1f} s in all",
        f"  records  {result.db}",
    ]
    return "\n".join(lines)


def end_with(interrupted: bool, found: bool, view: LiveView) -> None:
    """Raises what makes the exit code 1: an interrupted run, or one in which nothing ran."""
    from flextune.cli.live import failure_lines

    if interrupted:
        raise FlextuneError("interrupted; every finished trial is recorded, the same command goes on from there")
    if not found:
        reason = next(iter(failure_lines(view.progress)), "no trial within the budget")
        raise FlextuneError(f"no candidate ran: {reason.strip()}; see `flextune show` for all failures")
