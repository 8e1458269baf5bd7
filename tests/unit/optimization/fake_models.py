"""A runner of whole models that runs nothing: what comes of each build is told beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flextune.apply.executable import Executable
from flextune.apply.hybrid_code import HybridCode
from flextune.apply.model_runner import Failure
from flextune.trial.measurement import Status
from tests.kept_objects import KeptObjects

WRONG = Failure(Status.WRONG_OUTPUT, "an output is off by 3 of its largest value (made up)")
CRASHED = Failure(Status.RUN_ERROR, "worker killed by SIGSEGV")
HUNG = Failure(Status.RUN_TIMEOUT, "no end after 10 s")


@dataclass(frozen=True, slots=True)
class Fate:
    """What comes of a build: its seconds, or a failure at once, or after so many times were taken.

    Its kernels, or the parts of one that has none, take equally long, or these `shares` of it.
    """

    secs: float = 1.0
    failure: Failure | None = None
    after: int = 0
    shares: tuple[float, ...] = ()
    watts: float | None = None


class FakeModels(KeptObjects):
    """See `ModelRunner`. The n-th build that is opened has the n-th fate, and the last one all that follow."""

    reference = "made up"

    def __init__(self, *fates: Fate) -> None:
        self._fates = fates
        self.opened: list[FakeModel] = []

    def open(self, executable: Executable) -> FakeModel:
        for known in self.opened:
            if known.executable is executable:
                return known
        self.opened.append(FakeModel(executable, self._fates[min(len(self.opened), len(self._fates) - 1)]))
        return self.opened[-1]


class FakeModel:
    """See `OpenedModel`."""

    max_error = 0.0

    def __init__(self, executable: Executable, fate: Fate) -> None:
        self.executable = executable
        self.closed = False
        self._fate = fate
        self._times = 0

    @property
    def failure(self) -> Failure | None:
        return self._fate.failure if self._times >= self._fate.after else None

    def run_secs(self) -> float:
        self._times += 1
        return math.inf if self.failure else self._fate.secs

    def joules(self) -> float | None:
        return None if self.failure or self._fate.watts is None else self._fate.secs * self._fate.watts

    def kernel_secs(self, runs: int) -> Mapping[str, tuple[float, ...]]:
        self._times += 1
        if self.failure:
            return {}
        code, kernels = self.executable.code, [name for name in self.executable.signature.kernels if name]
        names = kernels or ([part.ports.name for part in code.parts] if isinstance(code, HybridCode) else [])
        shares = self._fate.shares or (1 / len(names),) * len(names)
        return {name: (self._fate.secs * share,) * runs for name, share in zip(names, shares, strict=True)}

    def close(self) -> None:
        self.closed = True
