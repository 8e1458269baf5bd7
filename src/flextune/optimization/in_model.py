"""Finalists measured inside the model: weights cold, threads as in production, all other kernels around them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flextune.apply.build import Schedule
from flextune.apply.profile import interleaved_profile
from flextune.optimization.contender import Contender, Contest
from flextune.plan.partition import Partition
from flextune.schedule.trace import Trace
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.tuning.switching import WORTH_TUNING, Switching
from flextune.tuning.task_search import TaskSearch

ROUNDS = 8
RUNS_PER_ROUND = 2


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate of one workload and its seconds per call inside the model."""

    candidate: Candidate
    secs: float


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One build of the model that is tried: what its groups are made of, and each workload's candidate."""

    choice: Mapping[str, str]
    candidates: Mapping[str, Candidate]

    @property
    def schedules(self) -> dict[str, Schedule]:
        return {key: (each.trace, each.assignment) for key, each in self.candidates.items()}


def variants(switching: Switching, searches: Sequence[TaskSearch], count: int) -> list[Variant]:
    """Builds that between them hold the best `count` candidates of every workload and options of every group.

    The first one is the best by the trials. Candidates and options that are clearly slower give way to the best one.
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
        found.append(Variant(_choice(switching, secs, place), candidates))
    return found


def _choice(switching: Switching, secs: Mapping[str, float], place: int) -> dict[str, str]:
    """The option of every group that is at this place by its time, as long as it is nearly as fast as the best."""
    chosen = {}
    for group in switching.groups:
        times = sorted((switching.option_secs(option, secs), option.name) for option in switching.measured[group.kind])
        near = [name for total, name in times if total <= WORTH_TUNING * times[0][0]]
        chosen[group.kind] = near[place] if place < len(near) else (near[0] if near else group.options[0].name)
    return chosen


def measure_in_model(
    partition: Partition, tried: Sequence[Variant], contest: Contest, deadline: float
) -> tuple[dict[int, Contender], dict[str, list[Finalist]]]:
    """The builds of the variants that there is time for (one at least), and every workload's finalists, fastest first.

    Builds are by their variant's place; those that failed are not there. `deadline` is a moment of `time.perf_counter`.
    """
    built: dict[int, Contender] = {}
    for place, variant in enumerate(tried):
        began = time.perf_counter()
        name = f"with finalists {place + 1} of every kernel"
        contender = contest.enter(name, partition.switched(variant.choice), variant.schedules)
        if contender is not None:
            built[place] = contender
        if 3 * time.perf_counter() - 2 * began > deadline:  # another one, and the last build
            break
    profiles = interleaved_profile([contender.opened for contender in built.values()], ROUNDS, RUNS_PER_ROUND)
    of_place = dict(zip(built, profiles, strict=True))
    sound = {place: contender for place, contender in built.items() if not contender.failed}
    finalists: dict[str, dict[tuple[Trace, str], Finalist]] = {}
    for place in sound:
        for key, secs in of_place[place].items():
            candidate = tried[place].candidates.get(key)
            if candidate is not None:
                known = finalists.setdefault(key, {})
                program = (candidate.trace, str(candidate.assignment))
                if program not in known or secs < known[program].secs:
                    known[program] = Finalist(candidate, secs)
    ranked = {key: sorted(known.values(), key=lambda each: each.secs) for key, known in finalists.items()}
    return sound, ranked


def measurement_of(finalist: Finalist) -> Measurement:
    """A finalist's time as a measurement, for the records."""
    return Measurement(finalist.candidate.assignment, Status.OK, (finalist.secs,))


def best_secs(finalists: Mapping[str, Sequence[Finalist]], secs: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each workload: inside the model where it was in one, else as its trials said."""
    inside = {key: ranked[0].secs for key, ranked in finalists.items() if ranked}
    return {**secs, **inside}


def winner(tried: Sequence[Variant], finalists: Mapping[str, Sequence[Finalist]], choice: Mapping[str, str]) -> Variant:
    """The best candidate of every workload, in groups made as chosen."""
    best = {key: ranked[0].candidate for key, ranked in finalists.items() if ranked}
    return replace(tried[0], choice=dict(choice), candidates={**tried[0].candidates, **best})
