"""A model shared between us and another runtime because that is faster: the other one gets what it is faster at.

The model is cut into sections, all of which run in the other runtime once: so each takes what it takes there, with what
handing over costs. What it takes here follows from the times of our kernels where they are in the model. Runs of
sections that the other runtime clearly wins are given to it, and that build is timed in turns with the best one so far.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flextune.apply.build import Build, compile_model
from flextune.apply.hybrid_build import SplitModel, assemble_parts, other_part_name
from flextune.apply.kernel_objects import ObjectWriter
from flextune.database.database import Database
from flextune.errors import BuildError, ModelError
from flextune.optimization.contender import Contender, Contest
from flextune.optimization.kernel_times import KernelTimes
from flextune.optimization.profile import interleaved_profile
from flextune.optimization.recorded import from_records
from flextune.plan.partition import Partition
from flextune.plan.parts.parts import ModelPart, ModelParts
from flextune.platforms.estimator import TargetEstimator
from flextune.target.target import Target

MOST_SECTIONS = 12
"""Each is a session of its own."""

LEAST_GAIN, LEAST_GAIN_SECS = 0.02, 30e-6
"""Of a run of sections, for it to be given away: a part of the model's time, and seconds."""

_RUNS = 6

_BUILDING = 2.0
"""Building a model over lowering it, where most of its kernels are compiled already."""


@dataclass(frozen=True, slots=True, eq=False)
class PartBuilder:
    """Builds parts of ours as the records of the whole model say, or by default where that was no faster."""

    target: Target
    database: Database
    is_tuned: bool
    threads: int
    writer: ObjectWriter | None = None
    """Compiles kernels; by default this process."""

    def decided(self, partition: Partition) -> Partition:
        """The part with what the records say its groups are compiled as."""
        return from_records(partition, self.database, self.target)[0] if self.is_tuned else partition

    def build(self, partition: Partition) -> Build:
        """BuildError where it does not compile."""
        if not self.is_tuned:
            return compile_model(partition, {}, self.target, self.threads, writer=self.writer)
        decided, schedules = from_records(partition, self.database, self.target)
        return compile_model(decided, schedules, self.target, self.threads, writer=self.writer)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Nodes for the other runtime, what they take there and here, and what building it so is going to take."""

    nodes: tuple[int, ...]
    there_secs: float
    here_secs: float
    build_secs: float = 0.0


def propose(
    split: SplitModel, ours: Contender, contest: Contest, parts: PartBuilder, deadline: float
) -> Proposal | None:
    """What the other runtime should get of a model that is wholly ours; None where nothing promises to be worth it.

    `ours` is our build of it. Nothing else is begun after `deadline`, a moment of `time.perf_counter`.
    """
    sections = split.splitter.sections(MOST_SECTIONS)
    if len(sections) < 2:
        return None
    there = _there_secs(split, sections, contest, parts.threads, deadline)
    if there is None or time.perf_counter() >= deadline:
        return None
    began = time.perf_counter()
    here = _here_secs(split, sections, ours, parts, deadline)
    if here is None:
        return None
    found = proposed([section.nodes for section in sections], there, here)
    build_secs = _BUILDING * (time.perf_counter() - began)
    return None if found is None or began + build_secs > deadline else replace(found, build_secs=build_secs)


def proposed(sections: Sequence[Sequence[int]], there: Sequence[float], here: Sequence[float]) -> Proposal | None:
    """The runs of sections that are worth giving away, by the seconds that each section takes there and here.

    None where none is, and where all are: that is the other runtime alone.

    >>> proposed([(0, 1), (2,), (3, 4)], [2e-3, 1e-3, 5e-3], [1e-3, 4e-3, 2e-3])
    Proposal(nodes=(2,), there_secs=0.001, here_secs=0.004, build_secs=0.0)
    """
    least = max(LEAST_GAIN_SECS, LEAST_GAIN * sum(here))
    given: list[int] = []
    run: list[int] = []
    for number in range(len(sections) + 1):
        if number < len(sections) and here[number] > there[number]:
            run.append(number)
            continue
        if sum(here[each] - there[each] for each in run) >= least:
            given += run
        run = []
    if not given or len(given) == len(sections):
        return None
    nodes = tuple(index for number in given for index in sections[number])
    return Proposal(nodes, sum(there[each] for each in given), sum(here[each] for each in given))


def shared(split: SplitModel, nodes: Sequence[int], why: str, parts: PartBuilder) -> tuple[SplitModel, Build]:
    """The model with these nodes in the other runtime. ModelError or BuildError where that does not work out."""
    assert split.options is not None  # the other runtime
    given = split.splitter.give_away(nodes, why)
    builds = [parts.build(partition) for partition in given.own]
    return replace(split, parts=given), assemble_parts(given, builds, parts.target, split.options, parts.threads)


def _there_secs(
    split: SplitModel, sections: Sequence[ModelPart], contest: Contest, threads: int, deadline: float
) -> list[float] | None:
    """What each section takes in the other runtime; None where it does not take them, or there is no time."""
    assert split.options is not None  # the other runtime
    if time.perf_counter() >= deadline:
        return None
    try:
        build = assemble_parts(ModelParts(split.model, tuple(sections)), [], contest.target, split.options, threads)
    except (ModelError, BuildError):
        return None
    if time.perf_counter() >= deadline:
        return None
    opened = contest.admit("in sections of another runtime", build)
    if opened is None:
        return None
    times = opened.opened.kernel_secs(_RUNS)
    contest.dismiss(opened)
    names = [other_part_name(split.options.compiler, section) for section in sections]
    return None if opened.failed else [statistics.median(times[name]) for name in names]


def _here_secs(
    split: SplitModel, sections: Sequence[ModelPart], ours: Contender, parts: PartBuilder, deadline: float
) -> list[float] | None:
    """What each section takes in our build; None where a section alone is not ours, or there is no time to know."""
    assert split.whole is not None  # else it is not wholly ours
    (profile,) = interleaved_profile([ours], 1, _RUNS)
    if not profile:
        return None
    known = KernelTimes.of(parts.decided(split.whole), profile, TargetEstimator(parts.target))
    found: list[float] = []
    for section in sections:
        if time.perf_counter() >= deadline:
            return None
        try:
            found.append(known.secs(parts.decided(split.splitter.lowered(section))))
        except ModelError:
            return None
    return found
