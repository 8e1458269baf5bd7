"""All of a model in another runtime, against what was built of it: timed in turns, and kept as a decision.

A model whose parts are tuned may still be slower than somebody else's runtime makes the whole. So that it never is, the
last comparison of a run is with that: the same processes, inputs and threads, our build first, which stays unless the
other one is shown to be faster.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
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
from flextune.optimization.ab_test import Limits
from flextune.optimization.contender import Contest, compare, most_error
from flextune.target.target import Target
from flextune.trial.decision import OURS, RuntimeDecision

COMPARED_SECS = 5.0
"""For the comparison, where it does not become clear before."""


@dataclass(frozen=True, slots=True, eq=False)
class Rivalry:
    """How the comparison ended: the build to use, and the decision, None where there was nothing to compare."""

    build: Build
    decision: RuntimeDecision | None


def against_rival(
    split: SplitModel,
    build: Build,
    target: Target,
    secs: float = COMPARED_SECS,
    models: ModelRunner | None = None,
    interpreter: Interpreter | None = None,
) -> Rivalry:
    """Our build of a model, or the other runtime's where that is shown to be faster within these seconds or so.

    Both are checked and timed by `models`, which may have our build open; by processes of this machine that
    `interpreter` forks where it is None. Ours stays without comparison where all must be ours, where the runtime is not
    installed or does not take the model, and where the model is not only about arrays of numbers, of which random ones
    could be compared.
    """
    options = split.options
    if options is None or not _is_comparable(split, build) or not is_there(options):
        return Rivalry(build, None)
    try:
        rival = other_runtime(split.model, target, options, build.executable.threads)
    except (ModelError, BuildError):
        return Rivalry(build, None)
    error = max(map(most_error, split.parts.own), default=MAX_RELATIVE_ERROR)
    own = (target, split.model, error, None, interpreter)
    with LocalModelRunner(*own) if models is None else nullcontext(models) as runner:
        contest = Contest(target, runner)
        ours, theirs = contest.admit("as built", build), contest.admit(options.compiler, rival)
        if ours is None or theirs is None:
            return Rivalry(build, None)
        found = compare([ours, theirs], Limits(secs=secs))
    if not math.isfinite(found.secs[0]):
        return Rivalry(build, None)
    decision = RuntimeDecision(
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
    return Rivalry(rival if found.chosen else build, decision)


def recorded_runtime(split: SplitModel, target: Target, database: Database) -> RuntimeDecision | None:
    """What a run found about who should run the model."""
    options = split.options
    return None if options is None else database.decision(RuntimeDecision, target.key, _key(split, options))


def recorded_rival(split: SplitModel, target: Target, database: Database | None) -> Build | None:
    """The model in the other runtime, where a run found that to be faster and it may be used here."""
    options = split.options
    if database is None or options is None or split.model.dims or not is_there(options):
        return None
    found = recorded_runtime(split, target, database)
    return None if found is None or found.chosen == OURS else other_runtime(split.model, target, options)


def secs_for_rival(began: float, minutes: float | None, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that are left for the comparison of a budget in minutes that counts from `began`."""
    return COMPARED_SECS if minutes is None else min(COMPARED_SECS, max(0.0, began + 60 * minutes - clock()))


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
