"""Which hosts of a fleet may measure together: those whose times say the same."""

from __future__ import annotations

from collections.abc import Mapping

from flextune.measure.fleet.fleet import HostFacts
from flextune.measure.fleet.shares import Duty

SAME_SPEED = 1.1
"""Hosts whose reference kernels differ by no more than this factor are taken for equal."""


def equal_speed(facts: Mapping[str, HostFacts]) -> frozenset[str]:
    """Of hosts that time, the largest set whose reference kernels take the same; of several the fastest.

    Times of others are left out, and not scaled: another machine is slower by another factor for each kernel.
    """
    timed = sorted((each.reference_secs or 0.0, name) for name, each in facts.items())
    best: tuple[str, ...] = ()
    begin = 0
    for end, (secs, _) in enumerate(timed):
        while secs > SAME_SPEED * timed[begin][0]:
            begin += 1
        if end + 1 - begin > len(best):
            best = tuple(name for _, name in timed[begin : end + 1])
    return frozenset(best)


def unequal(facts: HostFacts, standard: HostFacts) -> str:
    """Why a host may not measure beside one that is the standard; empty where it may."""
    if why := different_versions(facts, standard):
        return why
    if facts.duty is Duty.BUILDS:
        return ""
    if facts.fingerprint != standard.fingerprint:
        return f"its processor, cores or memory are others than those of {standard.name}"
    own, other = facts.reference_secs, standard.reference_secs
    if own is None or other is None or max(own, other) <= SAME_SPEED * min(own, other):
        return ""
    how = f"{own / other:.2f} x slower" if own > other else f"{other / own:.2f} x faster"
    return f"its reference kernel is {how} than that of {standard.name}, though both are {facts.target}"


def different_versions(facts: HostFacts, standard: HostFacts) -> str:
    """Why programs of one host are not those of the other; empty where they are."""
    if facts.versions == standard.versions:
        return ""
    return f"it has {facts.versions}, {standard.name} has {standard.versions}: install the same"


def standard_of(facts: Mapping[str, HostFacts]) -> HostFacts | None:
    """The host that others are compared with: one of those that most are like; None where none times."""
    timing = {name: each for name, each in facts.items() if each.duty is Duty.TIMES and not each.fault}
    return timing[min(equal_speed(timing))] if timing else None


def roles_of(facts: Mapping[str, HostFacts]) -> dict[str, str]:
    """Why each host is left out of a run; empty for those that are not."""
    standard = standard_of(facts)
    return {name: each.fault or ("" if standard is None else unequal(each, standard)) for name, each in facts.items()}
