"""The tables of a records database, and what makes two records the same.

One row of `trials` is one record: what it has of its own as JSON text, and the row of `contexts` with what it shares
with the others of its task and run. A record is never changed or deleted, so writers never wait for more than one
insert. The same holds for `decisions`. Databases of version 1 and 2 have whole records in `records`, and keep them.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Final

import sqlalchemy as sql

from flextune.quantities import Scale
from flextune.trial.format_1 import values_of_format_1
from flextune.trial.record import TuningRecord

VERSION: Final = 3
"""Since 3 new records are in two parts, since 2 there may be records and decisions of format 2. What older versions
wrote stays as it is."""

READABLE: Final = (1, 2, 3)

metadata: Final = sql.MetaData()

about_table: Final = sql.Table(
    "about",
    metadata,
    sql.Column("name", sql.Text, primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)

contexts_table: Final = sql.Table(
    "contexts",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("identity", sql.Text, nullable=False, unique=True),
    sql.Column("workload_key", sql.Text, nullable=False),
    sql.Column("target_key", sql.Text, nullable=False),
    sql.Column("common", sql.Text, nullable=False),
    sql.Index("contexts_by_task", "workload_key", "target_key"),
    sqlite_autoincrement=True,
)
"""What records share: `common` of `RecordParts`. No number comes twice, even after one was deleted by hand."""

trials_table: Final = sql.Table(
    "trials",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("identity", sql.Text, nullable=False, unique=True),
    sql.Column("context", sql.Integer, nullable=False),
    sql.Column("candidate", sql.Text, nullable=False),
    sql.Column("status", sql.Text, nullable=False),
    sql.Column("secs", sql.Float, nullable=True),
    sql.Column("own", sql.Text, nullable=False),
    sql.Index("trials_by_context", "context"),
)
"""One record each: `own` of `RecordParts`. `secs` is in the record's unit; see `scale_suffix`."""

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


old_metadata: Final = sql.MetaData()

records_table: Final = sql.Table(
    "records",
    old_metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("identity", sql.Text, nullable=False, unique=True),
    sql.Column("candidate", sql.Text, nullable=False),
    sql.Column("workload_key", sql.Text, nullable=False),
    sql.Column("target_key", sql.Text, nullable=False),
    sql.Column("status", sql.Text, nullable=False),
    sql.Column("secs", sql.Float, nullable=True),
    sql.Column("record", sql.Text, nullable=False),
)
"""The whole records of versions 1 and 2. Nothing is added to them, and they come before those in `trials`."""


def record_identity(record: TuningRecord) -> str:
    """Hex digest of the whole record: two records are the same when every field is.

    A record that came from format 1 (only those lack options) keeps the digest it had there, so that it is the same as
    a row that was written then.
    """
    if record.strategy_options is None:
        old = values_of_format_1(record.json_values())
        return _digest(json.dumps(old, allow_nan=False, ensure_ascii=False))
    return _digest(record.to_json())


def context_row(common: str, record: TuningRecord) -> dict[str, object]:
    """The row of table `contexts` for the common part of a record."""
    return {
        "identity": _digest(common),
        "workload_key": record.workload_key,
        "target_key": record.target_key,
        "common": common,
    }


def trial_row(own: str, record: TuningRecord) -> dict[str, object]:
    """The row of table `trials` for one record, without its context; `secs` is NULL for a failed trial."""
    return {
        "identity": record_identity(record),
        "candidate": f"{record.key}{scale_suffix(record.scale)}",
        "status": record.status.value,
        "secs": record.secs if math.isfinite(record.secs) else None,
        "own": own,
    }


def scale_suffix(scale: Scale) -> str:
    """What follows a candidate's key in rows of other numbers than measured seconds, never to be ranked with those."""
    return "" if scale.is_time else f"@{scale.unit}-{scale.origin}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
