"""Overviews of records in two parts, without reading the part that each has of its own where that is not needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import sqlalchemy as sql

from flextune.database.overview import RecordColumns, TaskOverview, compared_in, readable
from flextune.database.rows import RowReader, of_task
from flextune.database.schema import contexts_table, trials_table
from flextune.trial.cause import failure_of
from flextune.trial.chronology import moment_of, places_in_time
from flextune.trial.record import TuningRecord
from flextune.trial.record_parts import CommonPart

_ASKED_AT_ONCE = 500
_NUMBERS = frozenset({float, int, type(None)})
"""Types of `secs` in a row that is not damaged: of a hundred thousand rows none is looked at more closely."""
_CREATED = '"created":"'
"""Nothing else in an own part reads like this: a text's quotes are written \\" there."""
_LONGEST_TIME = 40

_Begin: TypeAlias = tuple[datetime, int]
"""Of a task: when its first record was made, and that record's place, for those of one moment."""


class OverviewReader:
    """Reads within one connection; of what is damaged it says what `RowReader` says."""

    def __init__(self, reader: RowReader, connection: sql.Connection) -> None:
        self._reader = reader
        self._connection = connection

    def overviews(self, workload_key: str | None, target_key: str | None, causes: bool) -> list[TaskOverview]:
        """Of all workloads, targets and units, or those with these keys, in the order of their first record."""
        tasks: dict[tuple[object, ...], dict[int, CommonPart]] = {}
        asked = of_task(contexts_table, workload_key, target_key)
        rows = self._connection.execute(sql.select(contexts_table.c.id, contexts_table.c.common).where(*asked)).all()
        for row in rows:
            common = self._reader.common(row.id, row.common)
            if common is not None:
                tasks.setdefault(common.task, {})[row.id] = common
        found = [self._overview(contexts, causes) for contexts in tasks.values()]
        return [each for _, each in sorted((each for each in found if each is not None), key=lambda each: each[0])]

    def _overview(self, contexts: Mapping[int, CommonPart], causes: bool) -> tuple[_Begin, TaskOverview] | None:
        """With when the task began; None where it has no record that can be read."""
        trial = trials_table.c
        query = sql.select(trial.id, trial.candidate, trial.secs, trial.context, self._created)
        rows = self._connection.execute(query.where(trial.context.in_(contexts)).order_by(trial.id)).all()
        if not all(type(candidate) is str and type(secs) in _NUMBERS for _, candidate, secs, *_ in rows):
            rows = [row for row in rows if self._reader.has_columns(trials_table, row.id, row.candidate, row.secs)]
        if not rows:
            return None
        times = [each.partition('"')[0] if isinstance(each, str) else "" for *_, each in rows]
        order = places_in_time(times)
        places, candidates, secs, context_of, _ = zip(*(rows[place] for place in order), strict=True)
        marks = {number: compared_in(each.evidence, each.model) for number, each in contexts.items()}
        commons = dict(zip(places, context_of, strict=True))
        columns, deciding = readable(
            RecordColumns(candidates, secs, [marks[number] for number in context_of], places),
            lambda place: self._record(contexts[commons[place]], place),
        )
        if not deciding:
            return None
        failed = columns.failed
        texts = self._failures(failed) if causes else []
        return (moment_of(times[order[0]]), places[0]), TaskOverview(
            deciding=deciding,
            candidates=len(columns.latest),
            failed=len(failed),
            failures=tuple(Counter(texts).most_common()),
            models=frozenset(each.model for each in contexts.values() if each.model),
        )

    @property
    def _created(self) -> sql.ColumnElement[str]:
        """When a trial was made, as its own part says, and what follows there: the part itself is not read."""
        find = sql.func.strpos if self._connection.dialect.name == "postgresql" else sql.func.instr
        begin = find(trials_table.c.own, _CREATED) + len(_CREATED)
        return sql.func.substr(trials_table.c.own, begin, _LONGEST_TIME)

    def _record(self, common: CommonPart, place: int) -> TuningRecord | None:
        query = sql.select(trials_table.c.own).where(trials_table.c.id == place)
        return self._reader.record(common, place, self._connection.execute(query).scalar())

    def _failures(self, places: Sequence[int]) -> list[str]:
        """Why these failed."""
        found: dict[int, str] = {}
        trial = trials_table.c
        for begin in range(0, len(places), _ASKED_AT_ONCE):
            some = places[begin : begin + _ASKED_AT_ONCE]
            query = sql.select(trial.id, trial.status, trial.own).where(trial.id.in_(some))
            found |= {row.id: failure_of(row.status, _error(row.own)) for row in self._connection.execute(query)}
        return [found[place] for place in places]


def _error(own: object) -> str:
    """What a trial's own part says went wrong; empty where that is damaged."""
    try:
        values = json.loads(own) if isinstance(own, str) else None
    except (ValueError, RecursionError):
        return ""
    return str(values.get("error", "")) if isinstance(values, dict) else ""
