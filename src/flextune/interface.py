"""The main job from Python: a model or a workload in, tuned on this machine, an executable or a result out.

>>> executable = flextune.optimize("resnet50.onnx", minutes=2)        # doctest: +SKIP
>>> executable.save("resnet50.so")                                    # doctest: +SKIP
>>> flextune.tune("gemm:m=512,n=512,k=512", trials=64).best_gflops    # doctest: +SKIP

The command line does its work through the same functions.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flextune.apply.executable import Executable
from flextune.apply.hybrid_build import HybridOptions, SplitModel, split_model
from flextune.compat.any_model import Dims, Shapes, Values, model_of
from flextune.database.address import DatabaseAddress
from flextune.database.database import Database
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.lowering.precision.precision import Precision
from flextune.measure.launcher import Interpreter
from flextune.measure.local import local_processes
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.runner import Runner
from flextune.optimization.hybrid import Lowering, OptimizedSplit, optimize_split, ship_split
from flextune.optimization.model import OptimizedModel
from flextune.optimization.shipping import Shipment, optimize_and_ship, ship
from flextune.plan.partition import Partition
from flextune.plan.pass_list import check_passes
from flextune.settings import default_database
from flextune.target.detect import detect
from flextune.target.peaks import Peaks, peaks_of, peaks_within
from flextune.target.target import Target
from flextune.trial.variants_decision import VariantsDecision
from flextune.tuning.budget import Budget
from flextune.tuning.events import Callback
from flextune.tuning.loop import tune_workload
from flextune.tuning.result import TuningResult
from flextune.tuning.search_options import SearchOptions
from flextune.tuning.task_search import peak_flops
from flextune.tuning.variants.range_options import check_range_options
from flextune.tuning.variants.study import TUNING
from flextune.tuning.variants.tuned import tune_group
from flextune.tuning.variants.workload_group import group_of_workload
from flextune.workload.parse import parse_workload
from flextune.workload.symbolic_workload import SymbolicWorkload
from flextune.workload.workload import Workload

DatabaseLike = Database | str | Path | None
"""Records: a database that is open, a file or `postgresql://` URL, or None for `$FLEXTUNE_DB`, else `flextune.db`."""

_PEAKS_SHARE = 0.15
"""Of a budget in minutes, for measuring a machine's peaks where they are not known yet, before a model is tuned."""

_PEAKS_SECS, _PEAKS_SHARE_AFTER = 4.0, 0.05
"""Seconds and share of a budget in minutes, for measuring them after a workload was tuned."""


@dataclass(frozen=True, slots=True, eq=False)
class Optimization:
    """All that came of optimising a model.

    `tuned` is None where nothing was to be tuned; `shipment` has the build, and is None where the run was interrupted.
    """

    partition: Partition
    tuned: OptimizedModel | None
    shipment: Shipment | None


def optimize(
    model: Any,
    minutes: float | None = 2.0,
    *,
    example_inputs: Any = None,
    dynamic_shapes: Any = None,
    dims: Dims | None = None,
    database: DatabaseLike = None,
    trials: int | None = None,
    precision: str = "float32",
    shapes: Shapes | None = None,
    values: Values | None = None,
    without: Collection[str] = (),
    target: Target | str | None = None,
    search: SearchOptions | None = None,
    on_progress: Callback | None = None,
    only_own: bool = False,
    providers: Collection[str] = (),
) -> Executable:
    """A model tuned on this machine and built: never slower than with default schedules, its outputs checked.

    `model` is the path of an ONNX file, an `onnx.ModelProto`, a `torch.nn.Module` (with `example_inputs`, the arguments
    of one call, and perhaps `dynamic_shapes`, as in `flextune.from_torch`), or a networkx graph. Tuning takes `minutes`
    of wall time, or `trials` in all; with `minutes=0` nothing is tuned, and what the `database` knows is used. Every
    trial is recorded there, and later calls go on from there. `precision` is what to compute in (`float32` or
    `bfloat16`), `shapes` fixes dynamic inputs by name, `values` makes constants of inputs (`{"sr": 16000}`), `without`
    names passes to do without, `target` another description of this machine. `on_progress` is called with every event
    of the run (`flextune.tuning.events`). What cannot be compiled of an ONNX model runs in ONNX Runtime, on these of
    its execution `providers` (by default its CPU's); with `only_own` such a model is refused. `dims` gives a size or a
    range to dimensions by name (`{"batch": 1, "seq": (1, 512)}`), and the executable takes all sizes of the ranges;
    such a model is tuned in minutes, and only where all of it is ours. Ctrl-C raises KeyboardInterrupt; all finished
    trials stay recorded.

    ModelError for a model that cannot be read or imported, UsageError for other bad input, BuildError where the
    machine's compiler fails, EnvironmentFault where the machine lacks something.

    >>> executable = flextune.optimize("squeezenet.onnx", minutes=1)      # doctest: +SKIP
    >>> outputs = executable.run({"data_0": image})                       # doctest: +SKIP
    """
    began = time.perf_counter()
    callbacks, given_search = callbacks_of(on_progress), search_of(search)
    budget = None if minutes == 0 and trials is None else Budget(trials, minutes or None)
    options = None if only_own else HybridOptions(providers=tuple(providers))
    chosen, computed = target_of(target), Precision.parse(precision)
    computed.check(chosen)
    check_passes(without)
    with nullcontext() if budget is None else local_processes(chosen) as interpreter:
        read = model_of(
            model,
            shapes,
            example_inputs,
            only_own=only_own,
            values=values,
            dynamic_shapes=dynamic_shapes,
            dims=dims,
        )
        split = split_model(read, Lowering(chosen, tuple(without), computed), options)
        budget = None if read.dims and split.whole is None and trials is None else budget
        found = optimize_parts(split, chosen, budget, database, given_search, callbacks, began, interpreter)
    if found.shipment is None:
        raise KeyboardInterrupt
    return found.shipment.build.executable


def optimize_parts(
    split: SplitModel,
    target: Target,
    budget: Budget | None,
    database: DatabaseLike = None,
    search: SearchOptions | None = None,
    callbacks: Collection[Callback] = (),
    began: float | None = None,
    interpreter: Interpreter | None = None,
) -> OptimizedSplit:
    """As `optimize`, of a model that has been read and split, with all that was found; see `optimize_partition`."""
    if budget is None:
        with existing(database) as known:
            split, shipment = ship_split(split, target, known)
            return OptimizedSplit(split, (), shipment)
    options = (search or SearchOptions()).tune_options(budget, _peaks_before(target, budget))
    with opened(database) as records:
        return optimize_split(split, target, options, records, tuple(callbacks), began, interpreter)


def optimize_partition(
    partition: Partition,
    target: Target,
    budget: Budget | None,
    database: DatabaseLike = None,
    search: SearchOptions | None = None,
    callbacks: Collection[Callback] = (),
    began: float | None = None,
    interpreter: Interpreter | None = None,
) -> Optimization:
    """As `optimize`, of a model that has been read and split into tasks, with all that was found.

    Without a budget nothing is tuned. Its minutes count from `began`, a moment of `time.perf_counter`. `interpreter`
    (of `local_processes`) may have started while the model was read.
    """
    if budget is None:
        with existing(database) as known:
            return Optimization(partition, None, ship(partition, target, known))
    options = (search or SearchOptions()).tune_options(budget, _peaks_before(target, budget))
    with opened(database) as records:
        tuned, shipment = optimize_and_ship(
            partition, target, options, records, tuple(callbacks), began, interpreter=interpreter
        )
        return Optimization(partition, tuned, shipment)


def tune(
    workload: Workload | str,
    trials: int | None = 64,
    *,
    minutes: float | None = None,
    database: DatabaseLike = None,
    target: Target | str | None = None,
    search: SearchOptions | None = None,
    on_progress: Callback | None = None,
) -> TuningResult:
    """The fastest schedule of one workload that a search within the budget finds on this machine.

    `workload` is a text such as `gemm:m=512,n=512,k=512` or what `flextune.parse_workload` makes of one. Every trial is
    recorded in the `database`, and recorded ones count. The result is never slower than the default schedule, which is
    measured first and again with the finalists. Ctrl-C ends the search; the result says `interrupted`.

    >>> result = flextune.tune("softmax:rows=1024,columns=1000", trials=32)    # doctest: +SKIP
    >>> result.best_secs <= result.default_secs                                # doctest: +SKIP
    True
    """
    given = parse_workload(workload) if isinstance(workload, str) else workload
    if not isinstance(given, Workload):
        raise UsageError(f"expected a workload or its text, as in gemm:m=512,n=512,k=512, got {type(given).__name__}")
    callbacks = callbacks_of(on_progress)
    return tune_within(Budget(trials, minutes), given, target_of(target), database, search_of(search), callbacks)


def tune_ranges(
    workload: SymbolicWorkload | str,
    minutes: float | Budget = 2.0,
    *,
    database: DatabaseLike = None,
    target: Target | str | None = None,
    search: SearchOptions | None = None,
) -> VariantsDecision:
    """The schedules that a workload with ranges of sizes should have on this machine, and which of them a size gets.

    `workload` is a text such as `gemm:m=1..512,n=768,k=768`. What was decided is recorded in the `database`, with all
    times and the sizes they were measured at. Of `search` only the seed is followed, which the sizes that the choice is
    checked at are drawn by. ScheduleError where no schedule runs at all sizes.

    >>> flextune.interface.tune_ranges("gemm:m=1..512,n=768,k=768").at((31,))    # doctest: +SKIP
    2
    """
    given = SymbolicWorkload.parse(workload) if isinstance(workload, str) else workload
    budget = minutes if isinstance(minutes, Budget) else Budget(minutes=minutes)
    options = search_of(search).tune_options(budget)
    check_range_options(options, str(given))
    deadline = time.perf_counter() + budget.secs_left(0.0)
    with opened(database) as records:
        found = tune_group(group_of_workload(given, options.seed), target_of(target), TUNING, deadline)
        records.decide([found])
    return found


def tune_within(
    budget: Budget,
    workload: Workload,
    target: Target,
    database: DatabaseLike = None,
    search: SearchOptions | None = None,
    callbacks: Collection[Callback] = (),
    runner: Runner | None = None,
    measure: MeasureOptions | None = None,
) -> TuningResult:
    """As `tune`, with a budget, several callbacks, and perhaps a `runner` that measures so, which stays open."""
    options = replace((search or SearchOptions()).tune_options(budget), measure=measure or MeasureOptions())
    with opened(database) as records:
        result = tune_workload(workload, target, options, records, tuple(callbacks), records.name, runner)
    # After the run: measuring the peaks for the first time takes seconds, in which a killed run would have nothing.
    if result.interrupted or budget.minutes is None:
        peaks = peaks_of(target, measure_missing=not result.interrupted)
    else:
        peaks = peaks_within(target, _PEAKS_SECS + _PEAKS_SHARE_AFTER * 60 * budget.minutes)
    return result.with_peak(peak_flops(peaks, workload))


def _peaks_before(target: Target, budget: Budget) -> Peaks | None:
    """The machine's peaks, measured for a share of a budget in minutes at most."""
    return peaks_of(target) if budget.minutes is None else peaks_within(target, _PEAKS_SHARE * 60 * budget.minutes)


def opened(database: DatabaseLike) -> AbstractContextManager[Database]:
    """The records, created where there are none yet; a database that somebody has opened stays open."""
    return nullcontext(database) if isinstance(database, Database) else open_database(name_of(database))


def existing(database: DatabaseLike) -> AbstractContextManager[Database | None]:
    """As `opened`, but None where there are no records: nothing is created to read from.

    A file that was named has to be there: DatabaseError.
    """
    if isinstance(database, Database):
        return nullcontext(database)
    address = name_of(database)
    if database is None and not address.exists:
        return nullcontext(None)
    return open_database(address, must_exist=True)


def name_of(database: str | Path | None) -> DatabaseAddress:
    """What to call records that nobody has opened yet: their path or URL, which shows no password."""
    return DatabaseAddress.of(default_database() if database is None else database)


def target_of(given: Target | str | None) -> Target:
    """The named target, or this machine."""
    if given is None or given == "":
        return detect()
    if not isinstance(given, str | Target):
        raise UsageError(f"expected a target or its text, as `flextune targets` prints it, got {type(given).__name__}")
    return Target.parse(given) if isinstance(given, str) else given


def search_of(given: SearchOptions | None) -> SearchOptions:
    """These options, or the default ones."""
    if not isinstance(given, SearchOptions | None):
        raise UsageError(f"search takes a flextune.SearchOptions, got {type(given).__name__}")
    return given or SearchOptions()


def callbacks_of(on_progress: Callback | None) -> tuple[Callback, ...]:
    """What is called with events."""
    if on_progress is not None and not callable(on_progress):
        raise UsageError(f"on_progress must be a function that takes an event, got {type(on_progress).__name__}")
    return () if on_progress is None else (on_progress,)
