"""What the hosts of a fleet would do in a run, without one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from flextune.measure.fleet.fleet import Fleet, HostFacts, Joined
from flextune.measure.fleet.shares import Duty
from flextune.measure.fleet.speeds import roles_of

_WAIT_SECS = 60.0
_PAUSE_SECS = 1.0


@dataclass(frozen=True, slots=True)
class HostRole:
    """A host, and what it does."""

    name: str
    """For people."""
    does: str
    """`times`, `builds`, `left out`, or `busy` where it has not answered."""
    why: str = ""
    """It is left out."""
    target: str = ""
    """The text of what it is."""
    cores: int = 0
    """Physical ones."""
    reference_secs: float | None = None
    """What the reference kernel takes there."""


def roll_call(fleet: Fleet, names: Sequence[str], wait_secs: float = _WAIT_SECS) -> list[HostRole]:
    """All hosts of these names and others that come, by name; those that do not say what they are in time are busy."""
    facts: dict[str, HostFacts] = {}
    deadline = time.monotonic() + wait_secs
    while len(facts) < len(names) and time.monotonic() < deadline:
        for event in fleet.events(_PAUSE_SECS):
            if isinstance(event, Joined):
                facts[event.host] = event.facts
    why_not = roles_of(facts)
    found = [_role(each, why_not[host]) for host, each in facts.items()]
    answered = {each.name for each in found}
    busy = [HostRole(name, "busy", "other work of Ray has its processors") for name in names if name not in answered]
    return sorted([*found, *busy], key=lambda role: role.name)


def _role(facts: HostFacts, why: str) -> HostRole:
    does = "left out" if why else "times" if facts.duty is Duty.TIMES else "builds"
    return HostRole(facts.name, does, why, facts.target, facts.cores, facts.reference_secs)
