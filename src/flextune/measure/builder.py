"""The role that turns candidates into artifacts, and the folder in which processes of one machine pass them on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flextune.measure.wire import Message
from flextune.trial.artifact import Artifact
from flextune.trial.measurement import Candidate


class Builder(Protocol):
    """Makes artifacts that a runner loads, in this process or in another one; every `Platform` is one."""

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        """An artifact of each candidate, all of one target, in order. Raises when one of them cannot be built."""
        ...


@dataclass(frozen=True, slots=True)
class BuiltProgram:
    """A candidate's program, ready to be loaded."""

    artifact: Artifact
    """All that is needed to load it."""
    build_secs: float
    """What building it took."""


class ArtifactFolder:
    """Contents are files named by their digest, so what programs have in common is there once.

    A `ticket` is the rest of an artifact as JSON holds it, with the name of the content's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, artifact: Artifact) -> dict[str, Any]:
        """Keep an artifact; returns its ticket."""
        name = hashlib.sha256(artifact.content).hexdigest()
        file = self._path / name
        if not file.exists():
            file.write_bytes(artifact.content)
        return {**artifact.described(), "content": name}

    def get(self, ticket: Message) -> Artifact:
        """The artifact of a ticket."""
        return Artifact.restored(ticket, (self._path / ticket["content"]).read_bytes())

    def drop_others(self, tickets: Collection[Message]) -> None:
        """Remove all contents but those of these tickets."""
        kept = {ticket["content"] for ticket in tickets}
        for file in self._path.iterdir():
            if file.name not in kept:
                file.unlink(missing_ok=True)
