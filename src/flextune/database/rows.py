"""Records as rows: written in two parts, read from these and from the whole ones of older versions."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sql

from flextune.database.engine import insert_unless_there
from flextune.database.schema import (
    context_row,
    contexts_table,
    decisions_table,
    records_table,
    trial_row,
    trials_table,
)
from flextune.errors import DamagedError, DatabaseError, FlextuneError, UsageError
from flextune.trial.chronology import places_in_time
from flextune.trial.evidence import preferred_scale
from flextune.trial.record import TuningRecord
from flextune.trial.record_parts import CommonPart, parts_of

Parsed = TypeVar("Parsed")
Row = sql.Row[Any]

_ASKED_AT_ONCE = 500
_CREATED = re.compile(r'"created": ?"([^"]*)"')
"""Within a text of JSON nothing else reads like this: quotes are written \\" there."""


@dataclass(frozen=True, slots=True)
class RecordRows:
    """What is inserted for one record, unless there is a row of the same identity."""

    context: dict[str, object]
    trial: dict[str, object]
    """Without the context's number."""


def record_rows(record: TuningRecord) -> RecordRows:
    """The rows of one record."""
    parts = parts_of(record)
    return RecordRows(context_row(parts.common, record), trial_row(parts.own, record))


class RowWriter:
    """Inserts records, each once. It remembers the contexts that are stored, as what a run writes shares a few."""

    def __init__(self, engine: sql.Engine, has_whole: bool) -> None:
        self._insert_context = insert_unless_there(engine, contexts_table)
        self._insert_trial = insert_unless_there(engine, trials_table).execution_options(preserve_rowcount=True)
        self._has_whole = has_whole
        self._stored: dict[object, int] = {}
        self._inserted: dict[object, int] = {}

    def insert(self, connection: sql.Connection, rows: Sequence[RecordRows]) -> int:
        """Insert within a transaction what is not there; returns how many records were not. `committed` ends it."""
        known = self._whole(connection, [row.trial["identity"] for row in rows]) if self._has_whole else ()
        new = [row for row in rows if row.trial["identity"] not in known]
        trials = [{**row.trial, "context": self._context(connection, row.context)} for row in new]
        return connection.execute(self._insert_trial, trials).rowcount if trials else 0

    def begin(self) -> None:
        """What an earlier transaction that failed has inserted is not there."""
        self._inserted = {}

    def committed(self) -> None:
        """What was inserted since `begin` is stored."""
        self._stored |= self._inserted

    def forget(self) -> None:
        """What is stored is not sure any more: a server that took over for another may lack the last of it."""
        self._stored.clear()

    def _context(self, connection: sql.Connection, row: dict[str, object]) -> int:
        identity = row["identity"]
        found = self._stored.get(identity, self._inserted.get(identity))
        if found is None:
            connection.execute(self._insert_context, row)
            query = sql.select(contexts_table.c.id).where(contexts_table.c.identity == identity)
            found = self._inserted[identity] = int(connection.execute(query).scalar_one())
        return found

    def _whole(self, connection: sql.Connection, identities: Sequence[object]) -> set[object]:
        """Which of these an older version has written."""
        found: set[object] = set()
        for begin in range(0, len(identities), _ASKED_AT_ONCE):
            some = identities[begin : begin + _ASKED_AT_ONCE]
            query = sql.select(records_table.c.identity).where(records_table.c.identity.in_(some))
            found.update(connection.execute(query).scalars())
        return found


def insert_decisions_once(connection: sql.Connection, rows: Sequence[dict[str, object]]) -> None:
    """Insert those that are not there, letter by letter, within a transaction that nobody else writes beside."""
    table = decisions_table
    for row in rows:
        same = sql.select(table.c.id).where(*(table.c[name] == value for name, value in row.items()))
        values = sql.select(*(sql.literal(value, sql.Text) for value in row.values())).where(~same.exists())
        connection.execute(sql.insert(table).from_select(list(row), values))


class RowReader:
    """Reads records. One that is damaged is named in a warning, and is missed no more than one that was not made."""

    def __init__(self, name: str, has_whole: bool) -> None:
        self._name = name
        self._has_whole = has_whole

    def records(
        self,
        connection: sql.Connection,
        workload_key: str | None,
        target_key: str | None,
        has_trials: bool,
        only: range | None = None,
    ) -> list[TuningRecord]:
        """Those of this workload and target (None: any), in the order they arrived.

        `only` are rows in two parts after its start, its stop being the last one; whole ones come before row 0.
        """
        stored = self._stored(workload_key, target_key, has_trials, only)
        rows = connection.execute(sql.select(stored).order_by(stored.c.era, stored.c.id)).all()
        return list(self._readable(connection, rows))

    def best(
        self, connection: sql.Connection, workload_key: str, target_key: str, has_trials: bool
    ) -> TuningRecord | None:
        """The fastest of the latest ones of each candidate that can be read, of the preferred scale that any has."""
        stored = self._stored(workload_key, target_key, has_trials)
        times = sql.func.count().over(partition_by=stored.c.candidate).label("times")
        counted = sql.select(stored, times).subquery()
        ran = sql.and_(counted.c.status == "ok", counted.c.secs.is_not(None))
        query = sql.select(counted).where(sql.or_(counted.c.times > 1, ran))
        found = connection.execute(query.order_by(counted.c.era, counted.c.id)).all()
        latest = _latest_of_each([row for row in found if row.times > 1])
        rows = [
            row
            for row in (*latest, *(row for row in found if row.times == 1))
            if row.status == "ok" and row.secs is not None
            if self.has_columns(records_table if row.context is None else trials_table, row.id, row.candidate, row.secs)
        ]
        rows.sort(key=lambda row: (row.secs, row.era, row.id))
        scales = {row.candidate.partition("@")[2] for row in rows}
        if scales <= {""}:
            return next(self._readable(connection, rows), None)
        readable = list(self._readable(connection, rows))
        scale = preferred_scale(record.scale for record in readable)
        return next((record for record in readable if record.scale == scale), None)

    def parsed(self, parse: Callable[[str], Parsed], table: sql.Table, row_id: int, text: object) -> Parsed:
        """What a text in a row says. `DamagedError` naming the row."""
        return self._checked(parse, table, row_id, text, table, "id")

    def _stored(
        self, workload_key: str | None, target_key: str | None, has_trials: bool, only: range | None = None
    ) -> sql.Subquery:
        """All rows of a task in one form; `context` is NULL in a whole one, and those are of an earlier `era`."""
        forms: list[sql.Select[Any, Any]] = []
        if self._has_whole and (only is None or only.start < 0):
            whole = records_table.c
            columns = (whole.id, whole.candidate, whole.status, whole.secs, whole.record.label("text"))
            query = sql.select(sql.literal(0).label("era"), sql.null().label("context"), *columns)
            forms.append(query.where(*of_task(records_table, workload_key, target_key)))
        if has_trials:
            trial = trials_table.c
            columns = (trial.id, trial.candidate, trial.status, trial.secs, trial.own.label("text"))
            query = sql.select(sql.literal(1).label("era"), trial.context, *columns)
            asked = of_task(contexts_table, workload_key, target_key)
            contexts = sql.select(contexts_table.c.id).where(*asked)
            query = query.where(trial.context.in_(contexts)) if asked else query
            forms.append(query if only is None else query.where(trial.id > only.start, trial.id <= only.stop))
        return sql.union_all(*forms).subquery()

    def common(self, number: int, text: object) -> CommonPart | None:
        """The row of `contexts` of this number; None, and a warning, for one that is damaged."""
        return _unless_damaged(lambda: self._checked(CommonPart, contexts_table, number, text, trials_table, "context"))

    def record(self, common: CommonPart, number: int, text: object) -> TuningRecord | None:
        """The row of `trials` of this number; None, and a warning, for one that is damaged."""
        return _unless_damaged(lambda: self.parsed(common.record, trials_table, number, text))

    def has_columns(self, table: sql.Table, number: int, candidate: object, secs: object) -> bool:
        """Whether the columns by which a trial's row is ranked hold what they should; a warning where not."""

        wrong = ""
        if not isinstance(candidate, str):
            wrong = f"its candidate is {type(candidate).__name__} instead of text"
        elif not isinstance(secs, float | int | None):
            wrong = f"its secs are {type(secs).__name__} instead of a number"
        if wrong:
            warnings.warn(f"left out: {self._damage(table, number, wrong, table, 'id')}", stacklevel=5)
        return not wrong

    def _readable(self, connection: sql.Connection, rows: Iterable[Row]) -> Iterator[TuningRecord]:
        commons: dict[int, CommonPart | None] = {}
        for row in rows:
            if row.context is None:
                found = self._whole(row)
            else:
                if row.context not in commons:
                    commons[row.context] = self.common(row.context, _text_of(connection, row.context))
                common = commons[row.context]
                found = None if common is None else self.record(common, row.id, row.text)
            if found is not None:
                yield found

    def _whole(self, row: Row) -> TuningRecord | None:
        return _unless_damaged(lambda: self.parsed(TuningRecord.from_json, records_table, row.id, row.text))

    def _checked(
        self, parse: Callable[[str], Parsed], table: sql.Table, row_id: int, text: object, removed: sql.Table, by: str
    ) -> Parsed:
        """`removed` and `by` say what is lost with the row, and is to be removed."""
        try:
            return parse(_clean(text))
        except FlextuneError as error:
            raise DamagedError(self._damage(table, row_id, str(error), removed, by)) from error

    def _damage(self, table: sql.Table, row_id: int, reason: str, removed: sql.Table, by: str) -> str:
        return (
            f"records database {self._name}: row {row_id} of {table.name} is damaged: {reason}; remove it with "
            f"`sqlite3 {self._name} 'DELETE FROM {removed.name} WHERE {by} = {row_id}'`"
        )


def _latest_of_each(rows: Sequence[Row]) -> list[Row]:
    """Of rows in the order they arrived, the one of each candidate that was measured last."""
    order = places_in_time([created_of(row.text) for row in rows])
    return list({row.candidate: row for row in (rows[place] for place in order)}.values())


def created_of(text: object) -> str:
    """When the record in a row was made, without reading the rest of it; empty where that is damaged."""
    found = _CREATED.search(text) if isinstance(text, str) else None
    return "" if found is None else found[1]


def _unless_damaged(read: Callable[[], Parsed]) -> Parsed | None:
    try:
        return read()
    except DatabaseError as error:
        warnings.warn(f"left out: {error}", stacklevel=6)
        return None


def _text_of(connection: sql.Connection, context: int) -> object:
    return connection.execute(sql.select(contexts_table.c.common).where(contexts_table.c.id == context)).scalar()


def of_task(table: sql.Table, workload_key: str | None, target_key: str | None) -> list[sql.ColumnElement[bool]]:
    asked = ((table.c.workload_key, workload_key), (table.c.target_key, target_key))
    return [column == key for column, key in asked if key is not None]


def _clean(text: object) -> str:
    """The text of a row; `UsageError` for what is none."""
    if not isinstance(text, str):
        raise UsageError(f"it holds {type(text).__name__} instead of text")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError("its text is not UTF-8")
    return text
