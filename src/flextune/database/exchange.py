"""Tuning records as Kernel Tuner caches and T4 files, and back.

One file holds one workload's records on one target. Each configuration is one entry with the latest record's outcome,
as other tools expect it, and carries all of its records in full, with their place in the order of commits. So what is
imported again is equal, field by field, and counts as it did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from flextune.csp.assignment import Assignment
from flextune.csp.parameter_space import parameters_from_json
from flextune.csp.parameters import Parameters, Value
from flextune.database.database import Database
from flextune.database.jsonl import ImportReport
from flextune.database.space_files import load_document, save_table
from flextune.database.table_entries import OWN_KEY, Json, Table, TableEntry
from flextune.database.table_objectives import VALUE
from flextune.database.tabular_file import Object, a_list, an_object, need
from flextune.errors import UsageError
from flextune.trial.record import TuningRecord

_FORMAT = 1
_Numbered = tuple[int, TuningRecord]


def export_table(records: Sequence[TuningRecord], path: Path | str, format: str) -> int:
    """Write the records of one workload and target, in the order of their commits; returns their number.

    `UsageError` for none and for those of several workloads, targets or units.
    """
    tasks = sorted({(record.workload, record.workload_key, record.target_key, str(record.scale)) for record in records})
    if len(tasks) != 1:
        shown = "; ".join(f"{work} ({key}) on {target} in {scale}" for work, key, target, scale in tasks[:5]) or "none"
        raise UsageError(
            f"a {format} file holds the records of one workload on one target in one unit, got {shown}:"
            " choose with --workload (a name or a key) and --target-key"
        )
    save_table(_table(records), path, format)
    return len(records)


def import_table(database: Database, path: Path | str) -> ImportReport:
    """Add the records that flextune wrote into a file of either format, all of them or, on an error, none.

    `UsageError` naming the file and the entry for a damaged one, and for a file of another tuner.
    """
    data = load_document(path)
    numbered = sorted(_carried(str(path), data), key=lambda pair: pair[0])
    records = [record for _, record in numbered]
    imported = database.commit_all(records)
    return ImportReport(imported, len(records) - imported, ())


def configuration(record: TuningRecord) -> dict[str, Value]:
    """The values that a record is about: those of its parameters, or of the variables of its schedule."""
    return _parameters_of(record.trace).decode(record.assigned) if record.of_objective else dict(record.assigned)


@lru_cache(maxsize=64)
def _parameters_of(trace: str) -> Parameters:
    return parameters_from_json(trace)


def _table(records: Sequence[TuningRecord]) -> Table:
    parameters = _parameters(records)
    rows: dict[Assignment, list[_Numbered]] = {}
    others: list[_Numbered] = []
    for numbered in enumerate(records):
        try:
            row = rows.setdefault(parameters.encode(configuration(numbered[1])), [])
        except UsageError:  # of an earlier form of the space
            others.append(numbered)
        else:
            row.append(numbered)
    own: dict[str, Json] = {"format": _FORMAT, "others": _listed(others)}
    entries = tuple(_entry(parameters.decode(assignment), group) for assignment, group in rows.items())
    objective = VALUE if records[-1].of_objective or not records[-1].scale.is_time else ""
    return Table(records[-1].workload, records[-1].target, parameters, entries, own, objective)


def _parameters(records: Sequence[TuningRecord]) -> Parameters:
    """Those of the latest record: as they were declared, or with the values that occur."""
    latest = records[-1]
    if latest.of_objective:
        return parameters_from_json(latest.trace)
    same = [configuration(record) for record in records if record.trace == latest.trace]
    return Parameters.of({name: sorted({values[name] for values in same}) for name in configuration(latest)})


def _entry(values: Mapping[str, Value], group: Sequence[_Numbered]) -> TableEntry:
    _, latest = group[-1]
    return TableEntry(
        values,
        latest.status,
        latest.run_secs if latest.measurement.ok else (),
        latest.error,
        latest.build_secs,
        max(0.0, latest.elapsed_secs - latest.build_secs),
        latest.created,
        _listed(group),
    )


def _listed(numbered: Sequence[_Numbered]) -> list[Json]:
    return [[number, json.loads(record.to_json())] for number, record in numbered]


def _carried(where: str, data: Object) -> Iterator[_Numbered]:
    """The numbered records in a file, in any order."""
    if "results" in data:
        own = an_object(f"{where}: metadata", data.get("metadata", {})).get(OWN_KEY)
        results = a_list(f"{where}: results", data["results"])
        entries = [(f"{where}: result {number}", result) for number, result in enumerate(results)]
    else:
        own = data.get(OWN_KEY)
        cache = an_object(f"{where}: cache", need(where, data, "cache"))
        entries = [(f"{where}: entry {key[:120]!r}", entry) for key, entry in cache.items()]
    if not isinstance(own, dict) or "format" not in own:
        raise UsageError(f"{where} holds no records of flextune; search it with `flextune minimize --replay {where}`")
    if own["format"] != _FORMAT:
        raise UsageError(f"{where}: records of format {own['format']!r:.40}; this flextune reads format {_FORMAT}")
    yield from _numbered(f"{where}: others", own.get("others", []))
    for place, entry in entries:
        yield from _numbered(place, need(place, an_object(place, entry), OWN_KEY))


def _numbered(where: str, listed: object) -> Iterator[_Numbered]:
    for pair in a_list(where, listed):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], int) or isinstance(pair[0], bool):
            raise UsageError(f"{where}: expected a number and a record, got {pair!r:.80}")
        try:
            yield pair[0], TuningRecord.from_json(json.dumps(pair[1]))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
