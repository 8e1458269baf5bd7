"""What a split model is shipped as: its parts of ours as any model is, the rest as another runtime runs it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from flextune.apply.build import Build, Origin, compile_model
from flextune.apply.hybrid_build import BuildOwn, SplitModel, build_split
from flextune.apply.model_runner import ModelRunner
from flextune.apply.threads import default_thread_count
from flextune.database.database import Database
from flextune.errors import BuildError, UsageError
from flextune.importing.model import Model
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.lowering.symbolic_shapes import sizes_for_plans
from flextune.measure.launcher import Interpreter
from flextune.optimization.contender import local_models
from flextune.optimization.model import OptimizedModel
from flextune.optimization.rival import (
    COMPARED_SECS,
    against_rival,
    recorded_nodes,
    recorded_rival,
    recorded_runtime,
    secs_for_rival,
)
from flextune.optimization.sharing import PartBuilder, shared
from flextune.optimization.shipping import Shipment, optimize_and_ship, ship
from flextune.optimization.symbolic import SymbolicResult, optimize_symbolic
from flextune.optimization.verdict import recorded_verdict
from flextune.plan.partition import Partition, partition_model
from flextune.platforms.estimator import TargetEstimator, plan_estimator
from flextune.target.target import Target
from flextune.trial.decision import Shipped
from flextune.trial.runtime_decision import RuntimeDecision
from flextune.tuning.events import Callback
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.variants.range_options import check_range_options

_RIVAL_IS_FASTER = "another runtime was shown to be faster"
_BOTH_ARE_FASTER = "two runtimes were shown to be faster together"

_COMPARED_SHARE = 0.1
_OPENING_SECS = 5.0
"""Of a budget in minutes, for comparing runtimes: the share, and the seconds before times are taken."""

_LEAST_MINUTES = 0.02
"""A part gets at least so much of a budget in minutes."""


@dataclass(frozen=True, slots=True)
class Lowering:
    """How a model is lowered: for which target, without which passes, in which precision."""

    target: Target
    without: tuple[str, ...] = ()
    precision: Precision = FLOAT32

    def __call__(self, model: Model) -> Partition:
        estimator = plan_estimator(self.target)
        if not model.dims:
            return partition_model(model, self.without, self.precision, estimator)
        sizes = sizes_for_plans(model)
        return partition_model(model, self.without, self.precision, estimator, sizes=sizes)


def ship_split(split: SplitModel, target: Target, database: Database | None) -> tuple[SplitModel, Shipment]:
    """The model with each part of ours as the records say (see `ship`), and how it is split then.

    Parts that turn out not to compile join those of the other runtime, which runs the whole model where tuning it found
    that to be faster, and the nodes at which it was found to be.
    """
    known = None if database is None else recorded_runtime(split, target, database)
    if (rival := recorded_rival(split, target, known)) is not None:
        return split, Shipment(rival, Shipped.TUNED, "tuning it found another runtime to be faster", 0)
    if database is not None and known is not None and (nodes := recorded_nodes(split, known)) is not None:
        whole = split.whole
        is_tuned = whole is not None and recorded_verdict(whole, database, target) is Shipped.TUNED
        parts = PartBuilder(target, database, is_tuned, default_thread_count())
        both, built = shared(split, nodes, known.reason, parts)
        recorded = sum(task.origin is Origin.TUNED for task in built.tasks)
        return both, Shipment(built, Shipped.TUNED, _BOTH_ARE_FASTER, recorded)
    shipped: dict[int, Shipment] = {}

    def build(partition: Partition) -> Build:
        if id(partition) not in shipped:
            shipped[id(partition)] = ship(partition, target, database)
        return shipped[id(partition)].build

    split, built = build_split(split, build, target)
    own = [shipped[id(partition)] for partition in split.parts.own]
    return split, combined(built, own)


@dataclass(frozen=True, slots=True, eq=False)
class OptimizedSplit:
    """The outcome for a split model."""

    split: SplitModel
    """How it is split by what is ours and what is not."""
    parts: tuple[OptimizedModel, ...]
    """Of the parts of ours that were tuned, in their order."""
    shipment: Shipment | None
    """What to ship; None where the run was interrupted."""
    runtime: RuntimeDecision | None = None
    """Whether we run it, where another runtime could run all of it."""
    shared: SplitModel | None = None
    """How it is split in the end, where parts that could be ours were shown to be faster in another runtime."""
    left_out: tuple[str, ...] = ()
    """What there was no time for, in words."""
    symbolic: SymbolicResult | None = None
    """What came of tuning a model with ranges of sizes."""


def optimize_split(
    split: SplitModel,
    target: Target,
    options: TuneOptions,
    database: Database,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
    interpreter: Interpreter | None = None,
) -> OptimizedSplit:
    """Tunes the parts of ours, each with its share of the budget by what it is expected to take, and builds them all.

    See `optimize_and_ship`, which tunes each of them. In the end the other runtime may run the whole model, if that is
    shown to be faster (`flextune.optimization.rival`).
    """
    if split.model.dims:
        return _with_ranges(split, target, options, database, began, interpreter)
    started, minutes = time.perf_counter() if began is None else began, options.budget.minutes
    run = _Run(target, _without_comparison(options), database, callbacks, started, interpreter)
    with ExitStack() as ends:
        models: ModelRunner | None = None
        if split.whole is None:
            split = _that_compiles(split, target)
        else:
            models = ends.enter_context(local_models(split.whole, target, minutes, interpreter))
        try:
            found = _tuned_parts(split, run, models)
        except BuildError:
            if split.whole is None:
                raise
            split, models = _that_compiles(split, target), None
            found = _tuned_parts(split, run, models)
        tuned, shipped = tuple(each for each, _ in found), [each for _, each in found if each is not None]
        if len(shipped) < len(tuned):
            return OptimizedSplit(split, tuned, None)
        builds = {id(partition): each.build for partition, each in zip(split.parts.tuned, shipped, strict=True)}
        split, build = build_split(split, _built_before(builds, target), target)
        shipment = combined(build, shipped)
        secs, is_tuned = secs_for_rival(started, minutes), shipment.shipped is Shipped.TUNED
        rivalry = against_rival(split, build, target, database, is_tuned, secs, models, interpreter)
    database.decide([] if rivalry.decision is None else [rivalry.decision])
    if rivalry.build is not build:
        reason = _RIVAL_IS_FASTER if rivalry.shared is None else _BOTH_ARE_FASTER
        shipment = replace(shipment, build=rivalry.build, shipped=Shipped.TUNED, reason=reason)
    left_out = tuple(filter(None, [rivalry.left_out]))
    return OptimizedSplit(split, tuned, shipment, rivalry.decision, rivalry.shared, left_out)


def _with_ranges(
    split: SplitModel,
    target: Target,
    options: TuneOptions,
    database: Database,
    began: float | None,
    interpreter: Interpreter | None,
) -> OptimizedSplit:
    """As `optimize_split`, of a model with ranges of sizes, which must be wholly ours."""
    if split.whole is None:
        raise UsageError(
            f"{split.model.name} has parts for another runtime, and ranges of sizes are tuned for models that are "
            "wholly ours; fix its sizes with --dim NAME=SIZE, or compile it untuned"
        )
    check_range_options(options, split.model.name)
    found = optimize_symbolic(split.whole, target, options, database, began, interpreter)
    shipped = Shipped.TUNED if found.is_tuned else Shipped.DEFAULT
    reason = "shown to be faster" if found.is_tuned else "nothing was shown to be faster"
    shipment = Shipment(found.build, shipped, reason, len(found.decisions))
    return OptimizedSplit(split, (), shipment, symbolic=found)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What tuning the parts of a model has in common."""

    target: Target
    """For which machine."""
    options: TuneOptions
    """The budget for all of them, and how to search."""
    database: Database
    """Where trials and decisions are recorded."""
    callbacks: Sequence[Callback]
    """Told of every event."""
    began: float
    """From when a budget in minutes counts, a moment of `time.perf_counter`."""
    interpreter: Interpreter | None
    """Forks the processes that measure."""


def _tuned_parts(
    split: SplitModel, run: _Run, models: ModelRunner | None
) -> list[tuple[OptimizedModel, Shipment | None]]:
    """Each part of ours tuned and built; the last one's shipment is None where the run was interrupted."""
    found: list[tuple[OptimizedModel, Shipment | None]] = []
    began: float | None = run.began
    for partition, options in _shares(split.parts.tuned, run.target, run.options):
        found.append(
            optimize_and_ship(
                partition, run.target, options, run.database, run.callbacks, began, models, run.interpreter
            )
        )
        if found[-1][1] is None:
            break
        began = None
    return found


def _built_before(builds: Mapping[int, Build], target: Target) -> BuildOwn:
    """Those of tuned parts, by their identities; others, whose sizes come with values, are built as they are."""

    def build(partition: Partition) -> Build:
        found = builds.get(id(partition))
        return compile_model(partition, {}, target) if found is None else found

    return build


def _that_compiles(split: SplitModel, target: Target) -> SplitModel:
    """With those parts for the other runtime that turn out not to compile.

    A model that is wholly ours need not be asked: tuning it begins with that build.
    """
    return build_split(split, lambda partition: compile_model(partition, {}, target), target)[0]


def _without_comparison(options: TuneOptions) -> TuneOptions:
    """Less of a budget in minutes, by what comparing runtimes takes."""
    budget = options.budget
    if budget.minutes is None:
        return options
    kept = min(COMPARED_SECS + _OPENING_SECS, _COMPARED_SHARE * 60 * budget.minutes) / 60
    return replace(options, budget=replace(budget, minutes=budget.minutes - kept))


def _shares(
    parts: Sequence[Partition], target: Target, options: TuneOptions
) -> Iterator[tuple[Partition, TuneOptions]]:
    """Each part with its share of the budget, by what its default build is predicted to take."""
    estimator = TargetEstimator(target, options.peaks)
    secs = [sum(task.count * estimator.workload_secs(task.workload) for task in part.tasks) for part in parts]
    whole = sum(secs) or 1.0
    for part, each in zip(parts, secs, strict=True):
        budget, share = options.budget, each / whole if len(parts) > 1 else 1.0
        trials = None if budget.trials is None else max(1, round(share * budget.trials))
        minutes = None if budget.minutes is None else max(_LEAST_MINUTES, share * budget.minutes)
        yield part, replace(options, budget=replace(budget, trials=trials, minutes=minutes))


def combined(build: Build, parts: Sequence[Shipment]) -> Shipment:
    """The shipment of a whole model from those of its parts; of a single one, that."""
    if len(parts) == 1 and parts[0].build is build:
        return parts[0]
    is_tuned = any(part.shipped is Shipped.TUNED for part in parts)
    reasons = dict.fromkeys(part.reason for part in parts)
    reason = "; ".join(reasons) or "no part of it is ours"
    return Shipment(build, Shipped.TUNED if is_tuned else Shipped.DEFAULT, reason, sum(part.recorded for part in parts))
