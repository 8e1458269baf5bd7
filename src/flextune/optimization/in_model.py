"""Finalists measured inside the model: weights cold, threads as in production, all other kernels around them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flextune.apply.build import Schedule
from flextune.optimization.contender import Contender, Contest
from flextune.optimization.profile import interleaved_profile
from flextune.plan.alternative import Alternative, Choice
from flextune.plan.partition import Partition
from flextune.schedule.trace import Trace
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.tuning.selection import WORTH_TUNING, Selection
from flextune.tuning.task_search import TaskSearch

ROUNDS = 8
RUNS_PER_ROUND = 2


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate of one workload and its seconds per call inside the model."""

    candidate: Candidate
    secs: float


@dataclass(frozen=True, slots=True, eq=False)
class ModelCandidate:
    """A build of the model to try: what its groups are compiled as, and each workload's candidate."""

    choice: Choice
    candidates: Mapping[str, Candidate]

    @property
    def schedules(self) -> dict[str, Schedule]:
        return {key: (each.trace, each.assignment) for key, each in self.candidates.items()}


def model_candidates(selection: Selection, searches: Sequence[TaskSearch], count: int) -> list[ModelCandidate]:
    """Builds that between them hold the best `count` candidates of every workload and alternatives of every group.

    The first one is the best by the trials. Candidates and alternatives that are clearly slower give way to the best.
    """
    secs = {search.task.workload.key: search.best_secs for search in searches}
    found = []
    for place in range(count):
        candidates = {}
        for search in searches:
            close = [m for m in search.ranking() if m.secs <= WORTH_TUNING * search.best_secs][:count]
            if close:
                chosen = close[place] if place < len(close) else close[0]
                candidates[search.task.workload.key] = search.candidate(chosen.assignment)
        found.append(ModelCandidate(_choice(selection, secs, place), candidates))
    return found


def _choice(selection: Selection, secs: Mapping[str, float], place: int) -> dict[str, Alternative]:
    """The alternative of every group that is at this place by its time, as long as it is nearly as fast as the best."""
    chosen = {}
    for group in selection.groups:
        totals = selection.measured_secs(group, secs)
        ranked = sorted(totals, key=lambda alternative: (totals[alternative], str(alternative)))
        near = [each for each in ranked if totals[each] <= WORTH_TUNING * totals[ranked[0]]]
        chosen[group.kind] = near[place] if place < len(near) else near[0]
    return chosen


def measure_in_model(
    partition: Partition, tried: Sequence[ModelCandidate], contest: Contest, deadline: float, build_secs: float
) -> tuple[dict[int, Contender], dict[str, list[Finalist]]]:
    """The builds of the candidates that there is time for, and each workload's finalists, fastest first.

    Builds are by their candidate's place; those that failed are not there. `deadline` is of `time.perf_counter`,
    `build_secs` is what a build takes.
    """
    built: dict[int, Contender] = {}
    for place, candidate in enumerate(tried):
        if not place and time.perf_counter() + build_secs > deadline:
            break
        began = time.perf_counter()
        name = f"with finalists {place + 1} of every kernel"
        contender = contest.enter(name, partition.switched(candidate.choice), candidate.schedules)
        if contender is not None:
            built[place] = contender
        if 3 * time.perf_counter() - 2 * began > deadline:  # another one, and the last build
            break
    profiles = interleaved_profile(list(built.values()), ROUNDS, RUNS_PER_ROUND, deadline)
    of_place = dict(zip(built, profiles, strict=True))
    sound = {place: contender for place, contender in built.items() if not contender.failed}
    finalists: dict[str, dict[tuple[Trace, str], Finalist]] = {}
    for place in sound:
        for key, secs in of_place[place].items():
            kernel = tried[place].candidates.get(key)
            if kernel is not None:
                known = finalists.setdefault(key, {})
                program = (kernel.trace, str(kernel.assignment))
                if program not in known or secs < known[program].secs:
                    known[program] = Finalist(kernel, secs)
    ranked = {key: sorted(known.values(), key=lambda each: each.secs) for key, known in finalists.items()}
    return sound, ranked


def measurement_of(finalist: Finalist) -> Measurement:
    """A finalist's time as a measurement, for the records."""
    return Measurement(finalist.candidate.assignment, Status.OK, (finalist.secs,))


def best_secs(finalists: Mapping[str, Sequence[Finalist]], secs: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each workload: inside the model where it was in one, else as its trials said."""
    inside = {key: ranked[0].secs for key, ranked in finalists.items() if ranked}
    return {**secs, **inside}


def winner(
    tried: Sequence[ModelCandidate], finalists: Mapping[str, Sequence[Finalist]], choice: Choice
) -> ModelCandidate:
    """The best candidate of every workload, in groups compiled as chosen."""
    best = {key: ranked[0].candidate for key, ranked in finalists.items() if ranked}
    return replace(tried[0], choice=dict(choice), candidates={**tried[0].candidates, **best})
