"""A fleet of hosts that are simulated: they answer at once, and die and come when a test says so."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flextune.csp.assignment import Assignment
from flextune.measure.fleet.fleet import Answered, FleetEvent, HostFacts, Joined, Lost
from flextune.measure.fleet.shares import Duty
from flextune.measure.messages import MeasurementText, measurement_text, read_candidate
from flextune.trial.measurement import Candidate, Measurement, Status


def example_host(
    name: str,
    duty: Duty = Duty.TIMES,
    reference_secs: float | None = 1e-3,
    fingerprint: str = "same",
    versions: str = "flextune=1",
    fault: str = "",
) -> HostFacts:
    """A host like all others, but for what is given."""
    return HostFacts(name, "null:cpu=none,cores=2", fingerprint, 2, versions, duty, fault, reference_secs)


class SimulatedFleet:
    """A `Fleet` for candidates of the null platform: at each look at its events every host answers one request.

    `script` has what else happens, by the number of the look. What hosts did is counted by host and assignment.
    """

    def __init__(
        self,
        hosts: Sequence[HostFacts],
        secs_of: Callable[[Assignment], float],
        script: Mapping[int, Sequence[FleetEvent]] | None = None,
        broken: str = "",
        mixes_up: bool = False,
    ) -> None:
        """What a candidate takes says `secs_of`. The host `broken` can do nothing; those of a fleet that
        `mixes_up` answer about other candidates than they were asked."""
        self.hosts = hosts
        self._secs_of = secs_of
        self.script = dict(script or {})
        self.measured: Counter[tuple[str, str]] = Counter()
        self.built: Counter[tuple[str, str]] = Counter()
        self.loaded: set[tuple[str, str]] = set()
        self.compared: list[str] = []
        self.requests = 0
        self.looks = 0
        self._broken = broken
        self._mixes_up = mixes_up
        self._events: deque[FleetEvent] = deque(Joined(each.name, each) for each in hosts)
        self._asked: dict[str, deque[tuple[int, str]]] = {}
        self._dead: set[str] = set()

    def ask(self, host: str, number: int, request: str) -> None:
        """See `Fleet.ask`."""
        self.requests += 1
        if host not in self._dead:
            self._asked.setdefault(host, deque()).append((number, request))

    def events(self, secs: float) -> list[FleetEvent]:
        """See `Fleet.events`; it never waits."""
        del secs
        self.looks += 1
        for event in self.script.get(self.looks, ()):
            if isinstance(event, Lost):
                self._dead.add(event.host)
                self._asked.pop(event.host, None)
            self._events.append(event)
        for host, asked in self._asked.items():
            if asked:
                number, request = asked.popleft()
                self._events.append(Answered(host, number, json.dumps(self._answer(host, json.loads(request)))))
        found = list(self._events)
        self._events.clear()
        return found

    def close(self) -> None:
        """See `Fleet.close`."""

    def _answer(self, host: str, asked: Mapping[str, Any]) -> dict[str, object]:
        candidates = [read_candidate(text) for text in asked["candidates"]]
        secs = 1e-3 * len(candidates)
        places = [(host, str(each.assignment)) for each in candidates]
        if host == self._broken:
            return {"broken": "its disk is full", "secs": secs}
        if asked["action"] == "build":
            self.built.update(places)
            return {"programs": [{"artifact": "", "build_secs": 0.1} for _ in candidates], "secs": secs}
        rounds = asked.get("rounds", 1)
        if asked["action"] == "compare":
            self.compared.append(host)
        else:
            self.measured.update(places)
            self.loaded |= {place for place, built in zip(places, asked["programs"], strict=True) if built is not None}
        found = [self._measured(each, rounds) for each in candidates]
        return {"measurements": found[::-1] if self._mixes_up else found, "secs": secs}

    def _measured(self, candidate: Candidate, rounds: int) -> MeasurementText:
        if candidate.assignment.get("fault"):
            failed = Measurement(candidate.assignment, Status.BUILD_ERROR, error="no code for this candidate")
            return measurement_text(failed)
        secs = self._secs_of(candidate.assignment)
        return measurement_text(Measurement(candidate.assignment, Status.OK, (secs,) * rounds))
