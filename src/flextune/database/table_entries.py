"""One configuration as the formats of other tuners write it, between our values and their JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flextune.csp.parameters import Parameters, Value
from flextune.errors import DatabaseError
from flextune.trial.measurement import Status
from flextune.trial.tabular import TabularSpace

Json = bool | int | float | str | None | Sequence["Json"] | Mapping[str, "Json"]

OWN_KEY = "flextune"
"""Under this key files carry what the format has no place for; other tools leave it alone."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A configuration and what came of it, in seconds. `own` is carried under `OWN_KEY`."""

    values: Mapping[str, Value]
    """By parameter."""
    status: Status
    """How it ended."""
    run_secs: tuple[float, ...]
    """Of every repeat."""
    error: str
    """What a failed one said."""
    build_secs: float
    """The build alone."""
    benchmark_secs: float
    """All runs together."""
    created: str = ""
    """When, as text."""
    own: Json = None

    @property
    def mean_ms(self) -> float:
        """What the configuration counts for, in milliseconds; only where it ran."""
        return sum(self.run_secs) / len(self.run_secs) * 1e3

    @property
    def mean(self) -> float:
        """The mean of the numbers as they are, for those that are no times."""
        return sum(self.run_secs) / len(self.run_secs)

    @property
    def runs_ms(self) -> list[float]:
        return [secs * 1e3 for secs in self.run_secs]


@dataclass(frozen=True, slots=True)
class Table:
    """All configurations of one program on one device; `own` is carried under `OWN_KEY`."""

    name: str
    """Of the program."""
    device: str
    """It was measured on."""
    parameters: Parameters
    """With the values each can have."""
    entries: tuple[TableEntry, ...]
    """One for each configuration."""
    own: Mapping[str, Json]
    objective: str = ""
    """What the numbers are, where they are no seconds."""

    @property
    def listed_parameters(self) -> dict[str, Json]:
        return {each.name: list(each.values) for each in self.parameters.parameters}


def table_of_space(space: TabularSpace) -> Table:
    """A measured space, to be written."""
    entries = tuple(
        TableEntry(
            space.parameters.decode(trial.assignment),
            trial.status,
            trial.run_secs,
            trial.error,
            trial.build_secs,
            trial.benchmark_secs,
        )
        for trial in space.trials
    )
    return Table(space.name, space.device, space.parameters, entries, {})


def write_document(path: Path, document: Mapping[str, Json]) -> None:
    """Write JSON, gzipped where the name ends in `.gz`; the file appears under its name when it is complete."""
    data = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DatabaseError(f"{path} cannot be written: {error.strerror}") from error
