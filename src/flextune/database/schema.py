"""The tables of a records database, and what makes two records the same.

One row of `records` is one trial: the full record as JSON text, and the columns that are searched, indexed.
A record is never changed or deleted, so writers never wait for more than one insert. The same holds for `decisions`.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Final

import sqlalchemy as sql

from flextune.trial.format_1 import values_of_format_1
from flextune.trial.record import TuningRecord

VERSION: Final = 2
"""Since 2 there may be records and decisions of format 2; the tables are those of 1, whose rows stay as they are."""

READABLE: Final = (1, 2)

metadata: Final = sql.MetaData()

about_table: Final = sql.Table(
    "about",
    metadata,
    sql.Column("name", sql.Text, primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)

records_table: Final = sql.Table(
    "records",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("identity", sql.Text, nullable=False, unique=True),
    sql.Column("candidate", sql.Text, nullable=False),
    sql.Column("workload_key", sql.Text, nullable=False),
    sql.Column("target_key", sql.Text, nullable=False),
    sql.Column("status", sql.Text, nullable=False),
    sql.Column("secs", sql.Float, nullable=True),
    sql.Column("record", sql.Text, nullable=False),
    sql.Index("records_by_task", "workload_key", "target_key", "status", "secs"),
    sql.Index("records_by_candidate", "candidate", "id"),
)


decisions_table: Final = sql.Table(
    "decisions",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("group_key", sql.Text, key="key", nullable=False),
    sql.Column("target_key", sql.Text, nullable=False),
    sql.Column("decision", sql.Text, nullable=False),
    sql.Index("decisions_by_group", "key", "target_key", "id"),
)
"""Decisions of all kinds, the latest one on a key last; the column `group_key` holds the key of any kind.

Databases made before this table get it when they are next written to."""


def record_identity(record: TuningRecord, text: str) -> str:
    """Hex digest of the whole record, `text`: two records are the same when every field is.

    A record that came from format 1 (only those lack options) keeps the digest it had there, so that it is the same as
    a row that was written then.
    """
    if record.strategy_options is None:
        old = values_of_format_1(record.json_values())
        text = json.dumps(old, allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def record_row(record: TuningRecord) -> dict[str, object]:
    """The row of table `records` for one record; `secs` is NULL for a failed trial."""
    text = record.to_json()
    return {
        "identity": record_identity(record, text),
        "candidate": record.key,
        "workload_key": record.workload_key,
        "target_key": record.target_key,
        "status": record.status.value,
        "secs": record.secs if math.isfinite(record.secs) else None,
        "record": text,
    }
