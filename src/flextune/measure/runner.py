"""The role that measures candidates: worker processes on this machine, later boards, fleets, and replayed records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from flextune.trial.measurement import Candidate, Measurement


class Runner(Protocol):
    """Builds, checks and times candidates.

    A candidate's failure is a `Measurement`; an exception means a broken environment.
    """

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        """One measurement per candidate, in order, each as soon as it is there.

        A candidate much slower than the best known (`incumbent_secs`, or a faster one of this call with the same
        workload) may get fewer repeats. Those that are not measured within `secs` are left out, from the first of them
        on: what a candidate does when its time is cut says nothing of it.
        """
        ...

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        """Times all candidates in turns (A B C A B C ...): what slows the machine down meets all of them alike.

        One measurement per candidate, in order; `run_secs` holds one value per round. After `secs` no other round
        begins, the first one excepted.
        """
        ...


@runtime_checkable
class RemoteRunner(Protocol):
    """What a runner has as well whose candidates run on other machines than this one."""

    @property
    def fingerprint(self) -> str:
        """Of those machines, for the records: `target.host.Host.fingerprint`, which is the same for all of them."""
        ...

    @property
    def width(self) -> int:
        """How many of them measure side by side just now: so many times as many candidates are worth asking for."""
        ...
