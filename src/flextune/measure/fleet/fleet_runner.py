"""A `Runner` whose candidates are measured by the hosts of a fleet, side by side."""

from __future__ import annotations

import itertools
import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from flextune.errors import EnvironmentFault, WorkerError
from flextune.measure.fleet.fleet import Answered, Fleet, FleetEvent, HostFacts, Joined, Lost
from flextune.measure.fleet.shares import LOSSES, Duty, Share, Shares
from flextune.measure.fleet.speeds import standard_of, unequal
from flextune.measure.messages import candidate_text, read_measurement
from flextune.measure.wire import Message
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status

GATHER_SECS = 120.0
"""How long a run waits for the first host that can measure, and for another one once all are gone."""

_PAUSE_SECS = 1.0
_TRIES = 3
_LATECOMER_SECS = 15.0
"""How long hosts are waited for that have not said what they are, after one has."""

Work: TypeAlias = Shares[Measurement, Message]


class FleetRunner:
    """See `Runner`. Hosts that join are used, those that die lose nothing: what they had is measured by others.

    All hosts that measure are of one target, one kind of machine, and equally fast by a reference kernel; others only
    build, and of those that do neither a warning says why. A comparison happens on one host, the same for as long as
    it lives.
    """

    def __init__(self, fleet: Fleet, target: Target, expected: int = 1, gather_secs: float = GATHER_SECS) -> None:
        """Waits for the first of the `expected` hosts, and a little longer for the others."""
        self._fleet = fleet
        self._target = target
        self._gather_secs = gather_secs
        self._facts: dict[str, HostFacts] = {}
        self._standard: HostFacts | None = None
        self._excluded: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._compares_on = ""
        self._gather(expected)
        self._choose_standard()

    @property
    def fingerprint(self) -> str:
        """See `RemoteRunner`."""
        assert self._standard is not None  # made by `_gather`
        return self._standard.fingerprint

    @property
    def width(self) -> int:
        """See `RemoteRunner`."""
        return len(self._timing)

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        """See `Runner.measure`."""
        work: Work = Shares(len(candidates), self._numbers)
        for host, facts in self._useful.items():
            work.join(host, facts.duty)
        call = _Call(candidates, incumbent_secs, time.perf_counter() + secs)
        hungry = set(work.hosts)
        while not work.done and call.secs_left > 0:
            hungry = self._feed(work, call, hungry)
            for event in self._fleet.events(min(_PAUSE_SECS, call.secs_left)):
                hungry |= self._take(event, work, call)
            yield from call.told(work)
            if not self._timing:
                self._gather()
                hungry |= _joined(work, self._useful)

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        """See `Runner.compare`. Once more from the beginning on another host, should the first one die."""
        if not candidates:
            return []
        deadline = time.perf_counter() + secs
        texts = [candidate_text(each) for each in candidates]
        for _ in range(_TRIES):
            if not self._timing:
                self._gather()
            self._compares_on = self._compares_on if self._compares_on in self._timing else self._timing[0]
            left = max(0.0, deadline - time.perf_counter())
            number = next(self._numbers)
            request = {"action": "compare", "candidates": texts, "rounds": rounds, "secs": left}
            self._fleet.ask(self._compares_on, number, json.dumps(request))
            if reply := self._reply(self._compares_on, number):
                return [
                    read_measurement(text, each.assignment)
                    for text, each in zip(reply["measurements"], candidates, strict=True)
                ]
        raise WorkerError("hosts of the fleet are lost again and again while they compare candidates")

    @property
    def _useful(self) -> dict[str, HostFacts]:
        """Hosts that are there and not left out."""
        return {host: facts for host, facts in self._facts.items() if host not in self._excluded}

    @property
    def _timing(self) -> list[str]:
        return [host for host, facts in self._useful.items() if facts.duty is Duty.TIMES]

    def _reply(self, host: str, number: int) -> Message | None:
        """The answer to one request; None where its host is lost."""
        while host in self._useful:
            for event in self._fleet.events(_PAUSE_SECS):
                if isinstance(event, Answered) and event.number == number:
                    reply: Message = json.loads(event.reply)
                    return None if self._is_broken(event.host, reply) else reply
                self._note(event)
        return None

    def _feed(self, work: Work, call: _Call, hungry: set[str]) -> set[str]:
        """Give hosts what they have room for; returns those that would take more."""
        left = set()
        for host in hungry.intersection(work.hosts):
            while share := work.next_share(host):
                self._fleet.ask(host, share.number, json.dumps(call.request(share, work)))
            if work.has_room(host):
                left.add(host)
        return left

    def _take(self, event: FleetEvent, work: Work, call: _Call) -> set[str]:
        """Returns the hosts that may have room now."""
        if not isinstance(event, Answered):
            self._note(event)
            if event.host not in self._useful:
                call.fail_lost(work, event.host)
                return set(work.hosts)
            return _joined(work, self._useful)
        reply = json.loads(event.reply)
        if self._is_broken(event.host, reply):
            call.fail_lost(work, event.host)
            return set(work.hosts)
        call.answered(work, event.number, reply)
        return {event.host}

    def _is_broken(self, host: str, reply: Message) -> bool:
        if "broken" in reply and host in self._facts:
            self._exclude(host, str(reply["broken"]))
        return "broken" in reply

    def _note(self, event: FleetEvent) -> None:
        """A host that has come or gone."""
        if isinstance(event, Lost):
            facts = self._facts.pop(event.host, None)
            if facts is not None and event.host not in self._excluded:
                warnings.warn(f"host {facts.name} of the fleet is lost: {event.reason}", stacklevel=2)
        elif isinstance(event, Joined):
            self._facts[event.host] = event.facts
            if event.facts.fault:
                self._exclude(event.host, event.facts.fault)
            elif self._standard is not None and (why := unequal(event.facts, self._standard)):
                self._exclude(event.host, why)

    def _exclude(self, host: str, why: str) -> None:
        self._excluded[host] = why
        warnings.warn(f"host {self._facts[host].name} of the fleet is left out: {why}", stacklevel=2)

    def _gather(self, expected: int = 0) -> None:
        """Wait for so many hosts to say what they are, or for any that measures; EnvironmentFault where none does."""
        deadline = time.perf_counter() + self._gather_secs
        while time.perf_counter() < deadline and not (len(self._facts) >= expected if expected else self._timing):
            for event in self._fleet.events(_PAUSE_SECS):
                if isinstance(event, Joined) and self._standard is None:
                    deadline = min(deadline, time.perf_counter() + _LATECOMER_SECS)
                self._note(event)
        if not self._timing:
            raise EnvironmentFault(f"no host of the fleet measures for {self._target}: {self._reasons()}")

    def _choose_standard(self) -> None:
        """The hosts that are there may not be equal: most of them decide."""
        self._standard = standard_of(self._useful)
        for host, facts in self._useful.items():
            if self._standard is not None and (why := unequal(facts, self._standard)):
                self._exclude(host, why)

    def _reasons(self) -> str:
        left = [f"{self._facts[host].name}: {why}" for host, why in self._excluded.items() if host in self._facts]
        return "; ".join(left) or "none has answered; hosts that are busy with other work of Ray are not used"


class _Call:
    """One call of `measure`: its candidates, and what is known of their times so far."""

    def __init__(self, candidates: Sequence[Candidate], incumbent_secs: float, deadline: float) -> None:
        self._candidates = candidates
        self._incumbent_secs = incumbent_secs
        self._deadline = deadline
        self._best: dict[str, float] = {}

    @property
    def secs_left(self) -> float:
        return max(0.0, self._deadline - time.perf_counter())

    def request(self, share: Share, work: Work) -> Message:
        candidates = [self._candidates[place] for place in share.places]
        texts = [candidate_text(each) for each in candidates]
        if share.duty is Duty.BUILDS:
            return {"action": "build", "candidates": texts}
        return {
            "action": "measure",
            "candidates": texts,
            "programs": [work.program(place) for place in share.places],
            "incumbent_secs": self._incumbent(candidates),
            "secs": self.secs_left,
        }

    def answered(self, work: Work, number: int, reply: Message) -> None:
        share = work.share(number)
        if share is None:  # of a call that was given up
            return
        if share.duty is Duty.BUILDS:
            outcomes = reply["programs"]
            failed = [
                read_measurement(each["failed"], self._candidates[place].assignment) if "failed" in each else None
                for place, each in zip(share.places, outcomes, strict=True)
            ]
            work.built(number, outcomes, failed)
            return
        found = [
            read_measurement(text, self._candidates[place].assignment)
            for place, text in zip(share.places, reply["measurements"], strict=False)
        ]
        for place, each in zip(share.places, found, strict=False):
            key = self._candidates[place].workload.key
            self._best[key] = min(each.secs, self._best.get(key, math.inf))
        work.measured(number, found, reply["secs"])

    def fail_lost(self, work: Work, host: str) -> None:
        """The host is gone; what hosts are lost with again and again has failed."""
        for place in work.lost(host):
            error = f"{LOSSES} hosts of the fleet were lost while they measured it"
            work.fail(place, Measurement(self._candidates[place].assignment, Status.RUN_ERROR, error=error))

    def told(self, work: Work) -> Iterator[Measurement]:
        return (measurement for _, measurement in work.results())

    def _incumbent(self, candidates: Sequence[Candidate]) -> float:
        """The best time that all of these may be compared with; a host knows those of its own share."""
        keys = {each.workload.key for each in candidates}
        known = self._best.get(next(iter(keys)), math.inf) if len(keys) == 1 else math.inf
        return min(self._incumbent_secs, known)


def _joined(work: Work, useful: Mapping[str, HostFacts]) -> set[str]:
    """Hosts that were not there when the work began."""
    new = set(useful).difference(work.hosts)
    for host in new:
        work.join(host, useful[host].duty)
    return new
