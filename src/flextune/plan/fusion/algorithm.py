"""Another algorithm for an operator of a group, as a small value, and the registry of them.

With it the group is still one kernel, of which one operator or several are computed differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.lowering.emit import Emitter
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.alternative import Alternative
from flextune.plan.fusion.plan import FusionGroup
from flextune.tvm_types import RelaxExpr

Finder = Callable[[OperatorGraph, FusionGroup], Iterator[Alternative]]
"""The alternatives of a group by this algorithm (its name, and sizes that fit); none where it does not fit."""

Rewriter = Callable[[Emitter, FusionGroup, Alternative], Mapping[int, RelaxExpr]]
"""What computes operators of the group by this algorithm, by their indices; functions go to the emitter's builder."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Where an algorithm fits, and how it is put in place of what it computes."""

    name: str
    """For `--without NAME`, and in the alternatives it finds."""
    description: str
    """What it does, in words."""
    find: Finder
    """What it offers for a group."""
    rewrite: Rewriter
    """Puts one of these offers in place of the group's operators."""
    float32_only: bool = False
    """Whether it needs more digits than bfloat16 has."""


_REGISTERED: list[Algorithm] = []


def register_algorithm(algorithm: Algorithm) -> None:
    """Add an algorithm. UsageError for a name that is taken, or that no alternative can have."""
    Alternative(algorithm=algorithm.name)
    if algorithm.name in {known.name for known in _REGISTERED}:
        raise UsageError(f"an algorithm {algorithm.name!r} is registered already; choose another name")
    _REGISTERED.append(algorithm)


def registered_algorithms() -> tuple[Algorithm, ...]:
    """All algorithms, in the order of their registration."""
    return tuple(_REGISTERED)


def algorithm_of(alternative: Alternative) -> Algorithm:
    """The algorithm of an alternative that has one. UsageError where nobody registered it."""
    found = next((known for known in _REGISTERED if known.name == alternative.algorithm), None)
    if found is None:
        raise UsageError(f"no algorithm {alternative.algorithm!r} is registered")
    return found
