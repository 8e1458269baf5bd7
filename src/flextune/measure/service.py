"""The worker's side of measuring: builds candidates, keeps the kernels, checks and times them."""

from __future__ import annotations

import statistics
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flextune.measure.builder import ArtifactFolder, Builder
from flextune.measure.data import KernelData, load_data
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.messages import read_candidate
from flextune.measure.output_check import OutputCheck, check_inputs, check_outputs
from flextune.measure.process_limits import ThreadPlaces, memory_limit
from flextune.measure.services import guarded
from flextune.measure.timing import calls_per_repeat, timed_secs
from flextune.measure.wire import Message
from flextune.native.thread_pool import use_own_pool
from flextune.platforms import platform_registry
from flextune.platforms.base import BoardPlatform, CountedKernel, DevicePlatform, Kernel
from flextune.quantities import JOULES_PER_CALL, CostOrigin, Scale
from flextune.target import energy
from flextune.target.kinds import board_of, scale_of
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.measurement import Candidate, Status
from flextune.workload.workload import Workload

DATA_KEPT = 2
BIND_EARLY_BYTES = 16 << 20
ENERGY_SECS = 0.06
"""A kernel is called for so long for its energy to be read: the counters change every millisecond."""


@dataclass(slots=True)
class _Built:
    """A kernel that is loaded."""

    kernel: Kernel
    """The kernel."""
    workload: Workload
    """What it computes."""
    folder: str
    """Where the inputs and references of the workload are."""
    scale: Scale
    """What its costs are."""
    on_device: bool = False
    """Whether it runs on another device than the processors."""
    bound: KernelData | None = None
    """What its arguments were last bound to."""
    number: int = 0
    """Calls per repeat, once known."""
    check: OutputCheck = field(default_factory=lambda: OutputCheck(0.0))
    """The outcome of its checked call."""


class KernelService:
    """Answers requests one at a time; every failure of a candidate becomes a status and a text."""

    @staticmethod
    def preload(what: str) -> None:
        """Load the platform of this name, if one is named."""
        if what:
            platform_registry.get(what)

    def __init__(self, options: str, cores: int) -> None:
        self._options = MeasureOptions.parse(options)
        self._cores = cores
        self._places = ThreadPlaces(cores)  # before the pool: it gives places to threads that are not there yet
        if "tvm" in sys.modules:
            use_own_pool(cores)
        self._idle_watts: float | None = None
        self._built: dict[int, _Built] = {}
        self._data: OrderedDict[str, KernelData] = OrderedDict()
        self._actions: dict[str, Callable[[Message], dict[str, Any]]] = {
            "load": self._load,
            "build": self._build,
            "open": self._open,
            "run": self._run,
            "time": self._time,
            "energy": self._energy,
            "drop": self._drop,
        }

    def answer(self, request: Message) -> dict[str, Any]:
        """The reply: `status` and `error`, and what the action adds."""
        failure = Status.BUILD_ERROR if request["action"] in ("build", "open") else Status.RUN_ERROR
        return guarded(self._actions[request["action"]], request, failure)

    def _load(self, request: Message) -> dict[str, Any]:
        """Get all that is the same for the candidates of a workload; what fails here is no candidate's fault."""
        candidate = read_candidate(request["candidate"])
        platform = platform_registry.get(candidate.target.kind)
        if isinstance(platform, DevicePlatform):
            platform.open_device()
        self._place_data(candidate.workload, request["folder"])
        return {}

    def _build(self, request: Message) -> dict[str, Any]:
        """Build candidates of one workload together, and load them: all of them, or none.

        `build_secs` is the mean of a candidate; `artifacts` are tickets with which other workers can load them.
        """
        start = time.perf_counter()
        candidates = [read_candidate(text) for text in request["candidates"]]
        with self._memory_limit():
            builder: Builder = platform_registry.get(candidates[0].target.kind)
            artifacts = builder.build(candidates)
            self._add(request["ids"], artifacts, candidates[0], request["folder"])
        tickets = [ArtifactFolder(Path(request["artifacts"])).put(artifact) for artifact in artifacts]
        return {"build_secs": (time.perf_counter() - start) / len(candidates), "artifacts": tickets}

    def _open(self, request: Message) -> dict[str, Any]:
        """Load what another worker has built, or one that is no more."""
        candidate = read_candidate(request["candidate"])
        artifact = ArtifactFolder(Path(request["artifacts"])).get(request["artifact"])
        with self._memory_limit():
            self._add([request["id"]], [artifact], candidate, request["folder"])
        return {}

    def _add(self, ids: Sequence[int], artifacts: Sequence[Artifact], candidate: Candidate, folder: str) -> None:
        platform = platform_registry.get(candidate.target.kind)
        scale = scale_of(candidate.target, self._options.runner or None)
        on_device = isinstance(platform, DevicePlatform)
        loaded = [self._loaded(artifact, candidate.target) for artifact in artifacts]
        built = [_Built(kernel, candidate.workload, folder, scale, on_device) for kernel in loaded]
        if sum(array.nbytes for array in self._data_of(built[0]).inputs) <= BIND_EARLY_BYTES:
            for each in built:
                self._bind(each)
        self._built.update(zip(ids, built, strict=True))

    def _loaded(self, artifact: Artifact, target: Target) -> Kernel:
        platform = platform_registry.get(target.kind)
        board = board_of(target, self._options.runner or None)
        if board is None:
            return platform.load(artifact)
        assert isinstance(platform, BoardPlatform)  # its kind has boards
        return platform.load_on(board, artifact, target, self._options.run_timeout_secs)

    def _run(self, request: Message) -> dict[str, Any]:
        """Check and time. The kernel is kept, as after `_time`, until it is dropped."""
        built = self._built[request["id"]]
        incumbent_secs = float(request["incumbent_secs"])
        with self._places.caller_pinned(), self._memory_limit():
            check = self._checked(built)
            times = () if check.error else self._costs(built, incumbent_secs)
        return {**_verdict(check), "run_secs": times, "metrics": _parts(built.kernel)}

    def _costs(self, built: _Built, incumbent_secs: float) -> tuple[float, ...]:
        """What is not measured comes out the same every time: once is enough."""
        if built.scale.origin is not CostOrigin.MEASURED:
            return built.kernel.time(1, 1)
        return timed_secs(built.kernel.time, self._options, incumbent_secs)

    def _time(self, request: Message) -> dict[str, Any]:
        """One repeat; the first time for a kernel it is checked before."""
        built = self._built[request["id"]]
        with self._places.caller_pinned(), self._memory_limit():
            if not built.number:
                built.check = self._checked(built)
                built.number = self._options.number or self._calls(built)
            times = () if built.check.error else _warm_repeat(built)
        return {**_verdict(built.check), "run_secs": times}

    def _energy(self, request: Message) -> dict[str, Any]:
        """What a call of a kernel takes that was timed before; nothing is said where that cannot be told."""
        built, meter = self._built[request["id"]], energy.meter()
        if meter is None or built.on_device or not built.number:
            return {}
        if self._idle_watts is None:
            self._idle_watts = meter.idle_watts()
        with self._places.caller_pinned(), self._memory_limit():
            built.kernel.run()
            joules = meter.joules_per_call(lambda: _called_for(built, ENERGY_SECS), self._idle_watts)
        return {} if joules is None else {"metrics": {JOULES_PER_CALL: joules}}

    def _calls(self, built: _Built) -> int:
        return calls_per_repeat(built.kernel.time(1, 1)[0], self._options.min_repeat_secs)

    def _drop(self, request: Message) -> dict[str, Any]:
        """Drop all kernels but those to `keep`."""
        kept = set(request["keep"])
        self._built = {number: built for number, built in self._built.items() if number in kept}
        return {}

    def _checked(self, built: _Built) -> OutputCheck:
        data = self._data_of(built)
        if built.bound is not data:  # new, or the data were loaded again since, after those of other workloads
            self._bind(built)
        data.poison_outputs()
        built.kernel.run()
        self._places.place_new_threads()
        check = check_inputs(built.workload, data.inputs, data.originals)
        if check.error:
            data.restore_inputs()
            return check
        return check_outputs(built.workload, data.outputs, data.references)

    def _bind(self, built: _Built) -> None:
        data = self._data_of(built)
        built.kernel.bind(data.inputs, data.outputs)
        built.bound = data

    def _memory_limit(self) -> AbstractContextManager[None]:
        return memory_limit(self._options.memory_bytes, self._cores)

    def _data_of(self, built: _Built) -> KernelData:
        return self._place_data(built.workload, built.folder)

    def _place_data(self, workload: Workload, folder: str) -> KernelData:
        if folder not in self._data:
            self._data[folder] = load_data(workload, Path(folder))
            while len(self._data) > DATA_KEPT:
                self._data.popitem(last=False)
        self._data.move_to_end(folder)
        return self._data[folder]


def _warm_repeat(built: _Built) -> tuple[float, ...]:
    """One repeat after a call that brings the caches back from the other finalists."""
    built.kernel.run()
    return built.kernel.time(built.number, 1)


def _called_for(built: _Built, secs: float) -> float:
    """Call a kernel for so long; the median seconds of a call."""
    ends, times = time.perf_counter() + secs, list[float]()
    while time.perf_counter() < ends:
        times += built.kernel.time(built.number, 1)
    return statistics.median(times)


def _parts(kernel: Kernel) -> dict[str, float]:
    return dict(kernel.parts()) if isinstance(kernel, CountedKernel) else {}


def _verdict(check: OutputCheck) -> dict[str, Any]:
    max_error = check.max_error if check.max_error < float("inf") else None
    if check.error:
        return {"status": Status.WRONG_OUTPUT, "error": check.error, "max_error": max_error}
    return {"max_error": max_error}
