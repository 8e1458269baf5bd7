"""Published sets of records: a few files, with checksums, that say what is in them, whose it is, and where it was made.

| file | holds |
|---|---|
| `records.jsonl.gz` | records and decisions, as `flextune records export` writes them, packed |
| `manifest.json` | what is in it: licence, counts, and for each target its hosts, versions and when it was measured |
| `SHA256SUMS` | the checksums of both, as `sha256sum -c` reads them |

A fetched set is text that is parsed, each program in it checked as that of any record; nothing of it is run. It is
added all or not at all, and never changes what was measured here: records of candidates that are known here, and
decisions on what was decided here, are left out.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from flextune.database.database import Database
from flextune.database.jsonl import parsed_line
from flextune.database.merging import Added, subject
from flextune.database.set_storage import SetStorage
from flextune.errors import DamagedError, FlextuneError, UsageError
from flextune.printable import json_values
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

SUMS: Final = "SHA256SUMS"
_MANIFEST: Final = "manifest.json"
_RECORDS: Final = "records.jsonl.gz"
_FORMAT: Final = 1
_PART: Final = 1 << 20
_SUM_LINE: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._-]+)")


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What a set has of one target."""

    target: str
    """Its text, which says what the machine is."""
    records: int
    workloads: int
    hosts: tuple[str, ...]
    """Fingerprints of the machines that measured."""
    versions: tuple[str, ...]
    first: str
    """When the first of them was made, as ISO time."""
    last: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a set says of itself."""

    name: str
    licence: str
    records: int
    decisions: int
    record_bytes: int
    """Of the records before they were packed."""
    targets: Mapping[str, TargetFacts]
    """By the target's key."""

    def to_json(self) -> str:
        """Several lines, for people to read."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """UsageError for what is no manifest of this format."""
        try:
            values = json_values(text)
            version = values.pop("format")
            if version != _FORMAT:
                raise UsageError(f"it is of format {version!r}, this flextune reads format {_FORMAT}; use a newer one")
            facts = {key: TargetFacts(**_tuples(each)) for key, each in values.pop("targets").items()}
            manifest = cls(**values, targets=facts)
            whole = (manifest.records, manifest.decisions, manifest.record_bytes, *(f.records for f in facts.values()))
            dates = (text for each in facts.values() for text in (each.target, each.first, each.last))
            texts = (manifest.name, manifest.licence, *facts, *dates)
            if not all(type(each) is int and each >= 0 for each in whole) or not all(map(_is_text, texts)):
                raise UsageError("it has values of wrong types")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UsageError(f"it is no manifest of a set of records: {error}") from error
        return manifest


@dataclass(frozen=True, slots=True)
class RecordSet:
    """A set that is whole."""

    manifest: Manifest
    digest: str
    """Of its sums: it stands for all of the set."""
    records: tuple[TuningRecord, ...]
    decisions: tuple[Decision, ...]


def publish(
    storage: SetStorage, database: Database, name: str, licence: str, target_key: str | None = None
) -> RecordSet:
    """Write a new set of the database's records, of one target or all. UsageError where there is one, or no records."""
    if not licence.strip():
        raise UsageError("a set of records needs a licence, so that others know what they may do with it: CC0-1.0, ...")
    if storage.holds(SUMS):
        raise UsageError(f"set of records {storage.name}: there is one already; sets do not change: name a new folder")
    records, decisions = database.records(target_key=target_key), database.decisions(Decision, target_key)
    if not records:
        raise UsageError(f"{database.name} holds no records" + (f" of target {target_key}" if target_key else ""))
    lines = [*(each.to_json() for each in records), *(each.to_json() for each in decisions)]
    text = "".join(line + "\n" for line in lines).encode()
    manifest = Manifest(name, licence, len(records), len(decisions), len(text), _facts(records))
    files = {_RECORDS: gzip.compress(text, mtime=0), _MANIFEST: manifest.to_json().encode()}
    sums = "".join(f"{_digest(content)}  {file}\n" for file, content in files.items()).encode()
    for file, content in {**files, SUMS: sums}.items():  # the sums last: without them there is no set
        storage.write(file, content)
    return RecordSet(manifest, _digest(sums), tuple(records), tuple(decisions))


def read_set(storage: SetStorage, digest: str | None = None) -> RecordSet:
    """A published set. DamagedError naming a file that is not as it was published.

    With `digest`, as `publish` returned it, it has to be that very set, whoever may have changed its sums since.
    """
    sums = storage.read(SUMS)
    if digest is not None and _digest(sums) != digest:
        raise DamagedError(
            f"set of records {storage.name}: {SUMS} has digest {_digest(sums)}, and not {digest}: it is another set, "
            "or was changed; nothing was imported"
        )
    files = {file: _checked(storage, file, expected) for file, expected in _sums_of(storage, sums).items()}
    manifest, entries = _read(storage, files)
    records = tuple(each for each in entries if isinstance(each, TuningRecord))
    decisions = tuple(each for each in entries if isinstance(each, Decision))
    if (len(records), len(decisions)) != (manifest.records, manifest.decisions):
        raise _damaged(storage, _RECORDS, "it does not hold as many records as its manifest says")
    return RecordSet(manifest, _digest(sums), records, decisions)


def add_set(database: Database, found: RecordSet) -> Added:
    """Add what is new here, and about candidates and decisions of which nothing is known here."""
    here = {record.key for record in database.records()}
    decided = {subject(each) for each in database.decisions(Decision)}
    new = [each for each in found.decisions if subject(each) not in decided]
    added = database.commit_all([record for record in found.records if record.key not in here])
    database.decide(new)
    return Added(added, len(new))


def _read(storage: SetStorage, files: Mapping[str, bytes]) -> tuple[Manifest, list[TuningRecord | Decision]]:
    try:
        manifest = Manifest.from_json(files[_MANIFEST].decode())
    except (UsageError, UnicodeDecodeError) as error:
        raise _damaged(storage, _MANIFEST, str(error)) from error
    try:
        text = _unpacked(files[_RECORDS], manifest.record_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(storage, _RECORDS, str(error)) from error
    if len(text) != manifest.record_bytes:
        raise _damaged(storage, _RECORDS, f"it does not hold the {manifest.record_bytes} bytes of its manifest")
    entries: list[TuningRecord | Decision] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entries.append(parsed_line(line))
        except FlextuneError as error:
            raise _damaged(storage, _RECORDS, f"line {number}: {error}") from error
    return manifest, entries


def _unpacked(content: bytes, most: int) -> bytes:
    """As much of it as `most`: a small file can hold more than fits in memory."""
    parts: list[bytes] = []
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
        while most and (part := packed.read(min(most, _PART))):
            parts.append(part)
            most -= len(part)
    return b"".join(parts)


def _sums_of(storage: SetStorage, sums: bytes) -> dict[str, str]:
    """The checksum of each file, of which there have to be these two; no other name is looked at."""
    found = [_SUM_LINE.fullmatch(line) for line in sums.decode("ascii", "replace").splitlines()]
    known = {match[2]: match[1] for match in found if match is not None}
    if None in found or known.keys() != {_RECORDS, _MANIFEST}:
        raise _damaged(storage, SUMS, f"expected the checksums of {_RECORDS} and {_MANIFEST}")
    return known


def _checked(storage: SetStorage, file: str, expected: str) -> bytes:
    content = storage.read(file)
    if _digest(content) != expected:
        raise _damaged(storage, file, f"its checksum is {_digest(content)}, and not {expected}")
    return content


def _damaged(storage: SetStorage, file: str, why: str) -> DamagedError:
    return DamagedError(
        f"set of records {storage.name}: file {file} is damaged: {why}; nothing was imported, get it again"
    )


def _facts(records: Iterable[TuningRecord]) -> dict[str, TargetFacts]:
    groups: dict[str, list[TuningRecord]] = {}
    for record in records:
        groups.setdefault(record.target_key, []).append(record)
    return {key: _facts_of(group) for key, group in groups.items()}


def _facts_of(records: Sequence[TuningRecord]) -> TargetFacts:
    moments = sorted(record.created for record in records)
    return TargetFacts(
        target=records[-1].target,
        records=len(records),
        workloads=len({record.workload_key for record in records}),
        hosts=tuple(sorted({record.host for record in records})),
        versions=tuple(sorted({record.versions for record in records})),
        first=moments[0],
        last=moments[-1],
    )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(each) if isinstance(each, list) else each for name, each in values.items()}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
