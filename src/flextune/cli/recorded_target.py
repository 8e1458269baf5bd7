"""`--for-target`: a target that the records hold, by its text, its device's name, or its key."""

from __future__ import annotations

from collections import Counter

from flextune.database.database import Database
from flextune.errors import UsageError
from flextune.target import kinds
from flextune.target.target import Target

_SHOWN = 8


def recorded_target(text: str, database: Database, where: str) -> Target:
    """The target of records that `text` names. UsageError, with those that there are records of, when it is none."""
    counts = Counter(record.target for record in database.records() if not record.of_objective)
    targets = {Target.parse(name): count for name, count in counts.items()}
    by_key = {target.key: target for target in targets}
    if ":" not in text:
        if text in by_key:
            return by_key[text]
        raise UsageError(f"no target with the key {text!r} in {where}; {_held(targets)}")
    wanted = Target.parse(text)
    if wanted.key in by_key:
        return by_key[wanted.key]
    alike = [each for each in targets if _processor(each) == _processor(wanted)]
    if len(alike) == 1 and "l1=" not in text:
        return alike[0]
    raise UsageError(f"{where} holds no records of {text}; {_held(targets)}")


def _processor(target: Target) -> tuple[object, ...]:
    """What a target's text must say, and its features; the rest has values that are taken where it says nothing."""
    must = [attribute.key for attribute in kinds.get(target.kind).attributes if attribute.default is None]
    return target.kind, target.features, *(value for key, value in target.attributes if key in must)


def _held(targets: dict[Target, int]) -> str:
    if not targets:
        return (
            "it holds no records of any target: tune the model there, and `flextune records import` what was recorded"
        )
    listed = [f"{target} ({count} records)" for target, count in list(targets.items())[:_SHOWN]]
    more = f" and {len(targets) - _SHOWN} more" if len(targets) > _SHOWN else ""
    return f"it holds records of {'; '.join(listed)}{more}"
