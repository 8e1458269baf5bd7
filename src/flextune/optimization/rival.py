"""All of a model in another runtime, against what was built of it: timed in turns, and kept as a decision.

A model whose parts are tuned may still be slower than somebody else's runtime makes the whole. So that it never is, the
last comparison of a run is with that: the same processes, inputs and threads, our build first, which stays unless the
other one is shown to be faster. Where that is close, a build in which each runs what it is faster at has a try too.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from flextune.apply.build import Build
from flextune.apply.hybrid_build import HybridOptions, SplitModel, is_there, other_runtime
from flextune.apply.model_check import MAX_RELATIVE_ERROR
from flextune.apply.model_runner import LocalModelRunner, ModelRunner
from flextune.database.database import Database
from flextune.errors import BuildError, ModelError
from flextune.importing.model import Model
from flextune.importing.onnx_graph import OnnxGraph
from flextune.measure.launcher import Interpreter
from flextune.optimization.ab_test import ABTestResult, Limits
from flextune.optimization.contender import Contender, Contest, compare, most_error
from flextune.optimization.sharing import PartBuilder, propose, shared
from flextune.plan.parts.words import OURS
from flextune.target.target import Target
from flextune.trial.runtime_decision import BOTH, RuntimeDecision

_NO_TIME = "comparing with {}: no time was left of the budget"

_OPENED_AGAIN = 2.0
"""What opening the rival where it is timed takes at most, over opening it here."""

_WORTH_SHARING = 2.0
"""Where the rival takes more times as long for the whole, it is not tried for parts."""

COMPARED_SECS = 5.0
"""For the comparison, where it does not become clear before."""


@dataclass(frozen=True, slots=True, eq=False)
class Rivalry:
    """How the comparison ended."""

    build: Build
    """The build to use."""
    decision: RuntimeDecision | None = None
    """None where there was nothing to compare."""
    shared: SplitModel | None = None
    """How the model is split where both run it."""
    left_out: str = ""
    """What there was no time for, in words."""


def against_rival(
    split: SplitModel,
    build: Build,
    target: Target,
    database: Database,
    is_tuned: bool = False,
    secs: float = math.inf,
    models: ModelRunner | None = None,
    interpreter: Interpreter | None = None,
) -> Rivalry:
    """Our build of a model, or the other runtime's, or one of both, where that is shown to be faster in these seconds.

    All are checked and timed by `models`, which may have our build open; by processes of this machine that
    `interpreter` forks where it is None. Ours stays without comparison where all must be ours, where the runtime is not
    installed or does not take the model, and where the model is not only about arrays of numbers, of which random ones
    could be compared. `is_tuned` says whether our build is as the records in the `database` say.
    """
    options, began = split.options, time.perf_counter()
    if options is None or not _is_comparable(split, build) or not is_there(options):
        return Rivalry(build)
    no_time = Rivalry(build, left_out=_NO_TIME.format(options.compiler))
    if secs <= 0:
        return no_time
    threads = build.executable.threads
    try:
        rival = other_runtime(split.model, target, options, threads)
    except (ModelError, BuildError):
        return Rivalry(build)
    if secs <= _OPENED_AGAIN * (time.perf_counter() - began):
        return no_time
    error = max(map(most_error, split.parts.own), default=MAX_RELATIVE_ERROR)
    own = (target, split.model, error, None, interpreter)
    with LocalModelRunner(*own) if models is None else nullcontext(models) as runner:
        contest = Contest(target, runner)
        ours, theirs = contest.admit("as built", build), contest.admit(options.compiler, rival)
        if ours is None or theirs is None:
            return Rivalry(build)
        match = _Match(split, contest, ours, theirs, began, began + secs)
        if match.left_secs <= 0:
            return no_time
        found = match.compared(ours, theirs)
        if found.is_cut:
            return no_time
        if not math.isfinite(found.secs[0]):
            return Rivalry(build)
        alone = Rivalry(rival if found.chosen else build, _decision(split, options, target, found))
        parts = PartBuilder(target, database, is_tuned, threads, runner)
        return match.both(alone, found, parts) or alone


@dataclass(frozen=True, slots=True, eq=False)
class _Match:
    """Builds of one model that take turns until a deadline."""

    split: SplitModel
    contest: Contest
    ours: Contender
    theirs: Contender
    began: float
    deadline: float

    @property
    def left_secs(self) -> float:
        return self.deadline - time.perf_counter()

    @property
    def may_go_on(self) -> bool:
        """Whether as much time is left as opening and comparing the two has taken: a build of both takes no less."""
        return self.left_secs >= time.perf_counter() - self.began

    def compared(self, first: Contender, other: Contender) -> ABTestResult:
        left = self.left_secs
        return compare([first, other], Limits(secs=min(left, COMPARED_SECS), most_secs=left))

    def both(self, alone: Rivalry, found: ABTestResult, parts: PartBuilder) -> Rivalry | None:
        """A build of both, where that is shown to be faster than the better one of them."""
        decision, options = alone.decision, self.split.options
        assert decision is not None  # they were compared
        assert options is not None
        if self.split.whole is None or not found.secs[1] <= _WORTH_SHARING * found.secs[0] or not self.may_go_on:
            return None
        asked = propose(self.split, self.ours, self.contest, parts, self.deadline)
        if asked is None:
            return None
        why = f"{options.compiler} takes {_ms(asked.there_secs)} for it, {OURS} {_ms(asked.here_secs)}"
        try:
            split, build = shared(self.split, asked.nodes, why, parts)
        except (ModelError, BuildError):
            return None
        entered = self.contest.admit("with both runtimes", build)
        if entered is None or self.left_secs <= 0:
            return None
        result = self.compared(self.theirs if found.chosen else self.ours, entered)
        if not math.isfinite(result.secs[1]):
            return None
        both = replace(decision, both_secs=decision.secs * result.secs[1] / result.secs[0])
        if not result.chosen:
            return replace(alone, decision=both)
        given = self.split.splitter.values(asked.nodes)
        reason = f"{why}; shown to be faster in {result.rounds} rounds in turns"
        return Rivalry(build, replace(both, chosen=BOTH, given=given, reason=reason), split)


def _decision(split: SplitModel, options: HybridOptions, target: Target, found: ABTestResult) -> RuntimeDecision:
    """Who runs all of the model, ours or theirs, which took turns in this order."""
    return RuntimeDecision(
        key=_key(split, options),
        target_key=target.key,
        model=split.model.name,
        reason=f"{'shown' if found.chosen else 'not shown'} to be faster in {found.rounds} rounds in turns",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        rival=options.compiler,
        chosen=options.compiler if found.chosen else OURS,
        own_secs=found.secs[0],
        rival_secs=found.secs[1] if math.isfinite(found.secs[1]) else None,
    )


def _ms(secs: float) -> str:
    return f"{1e3 * secs:.3g} ms"


def recorded_runtime(split: SplitModel, target: Target, database: Database) -> RuntimeDecision | None:
    """What a run found about who should run the model."""
    options = split.options
    if options is None or split.model.dims:
        return None
    return database.decision(RuntimeDecision, target.key, _key(split, options))


def recorded_rival(split: SplitModel, target: Target, found: RuntimeDecision | None) -> Build | None:
    """The model in the other runtime, where a run found that to be faster and it may be used here."""
    options = split.options
    if found is None or options is None or found.chosen != found.rival or not is_there(options):
        return None
    return other_runtime(split.model, target, options)


def recorded_nodes(split: SplitModel, found: RuntimeDecision | None) -> tuple[int, ...] | None:
    """The nodes that the other runtime gets, where a run found both to be faster together and it may be used here."""
    if found is None or found.chosen != BOTH or split.options is None or not is_there(split.options):
        return None
    return split.splitter.indices(found.given)


def as_recorded(split: SplitModel, target: Target, database: Database) -> SplitModel:
    """The model split as a run found to be faster; as it is where none has found anything."""
    found = recorded_runtime(split, target, database)
    nodes = recorded_nodes(split, found)
    if found is None or nodes is None:
        return split
    return replace(split, parts=split.splitter.give_away(nodes, found.reason))


def secs_for_rival(began: float, minutes: float | None, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that are left of a budget in minutes that counts from `began`, for opening the rival and comparing."""
    return math.inf if minutes is None else max(0.0, began + 60 * minutes - clock())


def _is_comparable(split: SplitModel, build: Build) -> bool:
    executable = build.executable
    is_split = split.whole is not None or any(part.is_own for part in split.parts.parts)
    return is_split and all(spec.is_numeric for spec in (*executable.inputs, *executable.outputs))


def _key(split: SplitModel, options: HybridOptions) -> str:
    """Equal for equal graphs, whatever their weights, in the same precisions and on the same devices."""
    precisions = sorted({str(partition.precision) for partition in split.parts.own})
    about = " ".join(["runtime", options.compiler, *options.providers, *precisions])
    return hashlib.sha256(about.encode() + _graph_bytes(split.model)).hexdigest()[:16]


def _graph_bytes(model: Model) -> bytes:
    return bytes(OnnxGraph.of(model.proto).skeleton().SerializeToString(deterministic=True))
