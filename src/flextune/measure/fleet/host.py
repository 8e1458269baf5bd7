"""A host's side of a fleet: answers texts with texts, and measures as a run on this machine alone would."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

from flextune.errors import FlextuneError
from flextune.measure.builder import BuiltProgram
from flextune.measure.fleet.fleet import HostFacts
from flextune.measure.fleet.shares import Duty
from flextune.measure.local import local_runner
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.messages import measurement_text, read_candidate
from flextune.measure.wire import Message
from flextune.measure.worker_pool import WorkerPool
from flextune.platforms import platform_registry
from flextune.target import kinds
from flextune.target.detect import detect
from flextune.target.host import host
from flextune.target.kinds import scale_of, unmeasurable
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.measurement import Candidate, Measurement
from flextune.trial.record import installed_versions
from flextune.workload.parse import parse_workload

_REFERENCE = "gemm:m=256,n=256,k=256"
_REFERENCE_ROUNDS = 9


class FleetHost:
    """Measures candidates of one target on the machine it is on, or only builds them, until it is closed."""

    def __init__(self, name: str, duty: str, target: str, options: str) -> None:
        """`target` is the one to measure for, empty for what this machine is; `options` are `MeasureOptions`."""
        own = detect()
        self._target = Target.parse(target) if target else own
        self._own = own
        self._name, self._duty = name, Duty(duty)
        self._options = MeasureOptions.parse(options)
        self._ends = ExitStack()
        self._runner: WorkerPool | None = None

    def facts(self) -> str:
        """`HostFacts` as text. The reference kernel is timed: whoever is slower than others is told by it."""
        fault, secs = self._fault(), None
        if not fault and self._duty is Duty.TIMES:
            try:
                secs = self._reference_secs()
            except FlextuneError as error:
                fault = str(error)
        return HostFacts(
            name=self._name,
            target=str(self._own if self._own.kind == self._target.kind else self._target),
            fingerprint=host().fingerprint,
            cores=host().physical_cores,
            versions=installed_versions(),
            duty=self._duty,
            fault=fault,
            reference_secs=secs,
        ).to_json()

    def answer(self, request: str) -> str:
        """The reply to a request of `FleetRunner`; `broken` in it is why this host is of no use."""
        asked = json.loads(request)
        actions = {"measure": self._measure, "compare": self._compare, "build": self._build}
        began = time.perf_counter()
        try:
            reply = actions[asked["action"]](asked)
        except FlextuneError as error:
            reply = {"broken": str(error)}
        return json.dumps({**reply, "secs": time.perf_counter() - began})

    def close(self) -> None:
        """End the worker processes."""
        self._ends.close()
        self._runner = None

    def _measure(self, asked: Message) -> dict[str, Any]:
        candidates = _candidates(asked)
        programs = {
            candidate: BuiltProgram(Artifact.parse(each["artifact"]), each["build_secs"])
            for candidate, each in zip(candidates, asked["programs"], strict=True)
            if each is not None
        }
        if programs:
            self._pool.take_programs(programs)
        found = self._pool.measure(candidates, float(asked["incumbent_secs"]), float(asked["secs"]))
        return {"measurements": _texts(list(found))}

    def _compare(self, asked: Message) -> dict[str, Any]:
        found = self._pool.compare(_candidates(asked), asked["rounds"], float(asked["secs"]))
        return {"measurements": _texts(found)}

    def _build(self, asked: Message) -> dict[str, Any]:
        return {"programs": [_built_text(each) for each in self._pool.build(_candidates(asked))]}

    @property
    def _pool(self) -> WorkerPool:
        """The workers, which begin when they are first needed, and in the thread that needs them."""
        if self._runner is None:
            if self._duty is Duty.TIMES:
                self._runner = self._ends.enter_context(local_runner(self._options, self._target))
            else:
                self._runner = self._ends.enter_context(WorkerPool(self._options, host().physical_cores))
        return self._runner

    def _fault(self) -> str:
        if self._own.kind == self._target.kind and self._own.key != self._target.key and self._duty is Duty.TIMES:
            return f"it is {self._own}, and not {self._target}"
        if self._duty is Duty.TIMES:
            return unmeasurable(self._target)
        other = kinds.get(self._target.kind).host and self._own.kind != self._target.kind
        return f"it is {self._own}, where programs for {self._target} cannot be loaded" if other else ""

    def _reference_secs(self) -> float | None:
        """The least of several times: what disturbs a host for a moment says nothing of it."""
        if not scale_of(self._target).is_time:
            return None
        workload = parse_workload(_REFERENCE)
        space = platform_registry.get(self._target.kind).search_space(workload, self._target)
        candidate = Candidate(workload, self._target, space.trace, space.default)
        (measured,) = self._pool.compare([candidate], _REFERENCE_ROUNDS)
        if not measured.ok:
            raise FlextuneError(f"the reference kernel does not run: {measured.error}")
        return min(measured.run_secs)


def _candidates(asked: Message) -> list[Candidate]:
    return [read_candidate(text) for text in asked["candidates"]]


def _texts(found: list[Measurement]) -> list[Any]:
    return [measurement_text(each) for each in found]


def _built_text(built: BuiltProgram | Measurement) -> dict[str, Any]:
    if isinstance(built, Measurement):
        return {"failed": measurement_text(built)}
    return {"artifact": built.artifact.to_json(), "build_secs": built.build_secs}
