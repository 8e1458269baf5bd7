"""What a fleet is: hosts that are asked with texts, answer with texts, come, and go."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias

from flextune.measure.fleet.shares import Duty


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host says of itself when it joins."""

    name: str
    """For people: its name or address, the same for as long as it lives."""
    target: str
    """The text of the target that it is."""
    fingerprint: str
    """Equal on hosts with the same processor, cores and memory."""
    cores: int
    """Physical ones, on which it times or builds."""
    versions: str
    """Of what builds programs there."""
    duty: Duty
    """What it is there for."""
    fault: str = ""
    """Why it cannot measure for the target that was asked for; empty where it can."""
    reference_secs: float | None = None
    """What the reference kernel takes there; None where nothing is timed."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> HostFacts:
        """Inverse of `to_json`."""
        values = json.loads(text)
        return cls(**{**values, "duty": Duty(values["duty"])})


@dataclass(frozen=True, slots=True)
class Joined:
    """A host is there."""

    host: str
    """By which the fleet knows it."""
    facts: HostFacts


@dataclass(frozen=True, slots=True)
class Answered:
    """A host has answered a request."""

    host: str
    number: int
    """Of the request."""
    reply: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A host is gone, with all that it was asked."""

    host: str
    reason: str


FleetEvent: TypeAlias = Joined | Answered | Lost


class Fleet(Protocol):
    """The hosts of a fleet, however they are reached."""

    def ask(self, host: str, number: int, request: str) -> None:
        """Have a host answer a request (`FleetHost.answer`); it answers them one after the other."""
        ...

    def events(self, secs: float) -> list[FleetEvent]:
        """What has happened, in order; waits for so long at most when nothing has."""
        ...

    def close(self) -> None:
        """Give the hosts back."""
        ...
