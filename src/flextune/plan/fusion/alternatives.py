"""What a group can be made of: one kernel, its parts, or another algorithm."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.lowering.emit import Emitter
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.fusion.merged import emit_merged
from flextune.plan.fusion.pattern import FUSED, PARTS
from flextune.plan.fusion.plan import FusionGroup, parts, preferred

MERGED = "merged"
SEPARATE = "separate"

Emit = Callable[[Emitter], None]
"""Writes the group's operators into a function; the values of its results must be known to the emitter then."""


@dataclass(frozen=True, slots=True, eq=False)
class Alternative:
    """One implementation of a group."""

    name: str
    emit: Emit


@dataclass(frozen=True, slots=True)
class AlternativeRule:
    """A source of alternatives: its name (for `--without NAME`), what it does in words, and whether it fits a group."""

    name: str
    description: str
    find: Callable[[OperatorGraph, FusionGroup], Iterator[Alternative]]


def fused(group: FusionGroup) -> Alternative:
    """The group as one kernel, which every group can be."""
    return Alternative(FUSED, lambda emitter: _ignore(emitter.group(group.operators)))


def in_parts(graph: OperatorGraph, group: FusionGroup) -> Iterator[Alternative]:
    """The group as several kernels, so that a fusion that does not pay is found out."""
    if len(group.operators) > 1:
        pieces = parts(graph, group)
        if len(pieces) > 1:
            yield Alternative(PARTS, lambda emitter: _each(emitter, pieces))


_RULES: list[AlternativeRule] = [
    AlternativeRule(PARTS, "a fused group as the kernels it was fused from, to see whether fusion pays", in_parts)
]


def register_rule(rule: AlternativeRule) -> None:
    """Add a source of alternatives. UsageError for a name that is taken."""
    if rule.name in {known.name for known in _RULES}:
        raise UsageError(f"an algorithm {rule.name!r} is registered already; choose another name")
    _RULES.append(rule)


def registered_rules() -> tuple[AlternativeRule, ...]:
    """All sources of alternatives, in the order of their registration."""
    return tuple(_RULES)


def alternatives(graph: OperatorGraph, group: FusionGroup, without: Collection[str] = ()) -> tuple[Alternative, ...]:
    """Every alternative of a group, the one predicted to be the fastest first: mostly one kernel."""
    if group.branches:
        return _of_branches(group)
    rules = [rule for rule in _RULES if rule.name not in without]
    found = (fused(group), *(alternative for rule in rules for alternative in rule.find(graph, group)))
    name = preferred(graph, group) or FUSED
    return tuple(sorted(found, key=lambda alternative: alternative.name != name))


def _of_branches(group: FusionGroup) -> tuple[Alternative, ...]:
    branches = [FusionGroup(group.pattern, branch) for branch in group.branches]
    return (
        Alternative(MERGED, lambda emitter: emit_merged(group.branches, emitter)),
        Alternative(SEPARATE, lambda emitter: _each(emitter, branches)),
    )


def _each(emitter: Emitter, pieces: Collection[FusionGroup]) -> None:
    for piece in pieces:
        emitter.group(piece.operators)


def _ignore(_: object) -> None:
    return None
