"""Worker processes that build candidates in parallel and time them one at a time, alone on the machine."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from flextune.errors import WorkerError
from flextune.measure.builder import ArtifactFolder, BuiltProgram
from flextune.measure.ending import Ending
from flextune.measure.job import Job
from flextune.measure.launcher import Interpreter, ServiceLauncher
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.messages import candidate_text
from flextune.measure.process_limits import available_processors
from flextune.measure.services import libraries
from flextune.measure.slot import Slot
from flextune.measure.wire import Message
from flextune.measure.worker_process import WorkerProcess, wait_any
from flextune.measure.workload_data import WorkloadData
from flextune.target import energy
from flextune.target.kinds import scale_of
from flextune.temporary import PrivateFolder
from flextune.trial.measurement import Candidate, Measurement
from flextune.workload.workload import Workload

MOST_WORKERS = 8
BATCH_PER_WORKER = 8
BUILT_TOGETHER = 4
"""Candidates in one module at most: they share what LLVM takes for any module, and are built again when one fails."""
_KEPT = 4
"""Kernels that stay built after they were measured, the fastest of a workload: a comparison will want them."""
_ARTIFACTS = "artifacts"
_SETTLES = 6
_LEAST_SECS = 0.01
"""A timeout must be positive."""


class WorkerPool:
    """Measures candidates on this machine; use it in a `with` statement.

    `cores` is the number of physical cores that programs run on. Workers start at `start` or at the first use,
    and are killed by the system when the thread that started them ends: start them in a thread that stays.
    """

    def __init__(
        self, options: MeasureOptions, cores: int, service: str = "kernels", interpreter: Interpreter | None = None
    ) -> None:
        """`service` names what workers serve (`measure.services`): the one here, or one that does more.

        `interpreter` forks them; without one the pool has its own.
        """
        self._options = options
        self._service = service
        self._cores = cores
        self._folder: PrivateFolder | None = None
        self._given = interpreter
        self._interpreter: Interpreter | None = None
        self._data: WorkloadData | None = None
        self._slots: list[Slot] = []
        self._numbers = 0
        self._kept: dict[Candidate, Job] = {}
        self._deadline = math.inf
        self._programs: dict[Candidate, BuiltProgram] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, kind: str = "") -> None:
        """Start all workers; they get ready in the background, with the platform `kind` loaded if one is named."""
        if self._folder is None:
            self._folder = PrivateFolder()
            self._artifacts_path.mkdir()
            count = self._options.workers or min(MOST_WORKERS, len(available_processors()))
            path = self._folder.path
            self._interpreter = self._given or Interpreter(self._cores, path, libraries(kind))
            kernels = ServiceLauncher(self._service, str(self._options), self._interpreter)
            self._slots = [Slot(self._options, kernels, path, index) for index in range(count)]
            self._data = WorkloadData(path, self._interpreter, count)
        for slot in self._slots:
            slot.preload = kind or slot.preload
            slot.start()

    def close(self) -> None:
        """End all workers and remove the temporary folder. The pool can be started again."""
        if self._interpreter is not None and self._given is None:
            self._interpreter.close()
        for slot in self._slots:
            slot.stop()
        if self._data is not None:
            self._data.close()
        if self._folder is not None:
            self._folder.close()
        self._folder, self._interpreter, self._data = None, None, None
        self._slots, self._kept = [], {}

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process numbers of the workers that are there."""
        return tuple(slot.pid for slot in self._slots if slot.pid is not None)

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        """See `Runner.measure`. Candidates are built in batches, in parallel, and timed while other workers rest."""
        self._start_for(candidates)
        best: dict[str, float] = {}
        waiting = iter(candidates)
        self._deadline = time.perf_counter() + secs
        try:
            while taken := list(islice(waiting, BATCH_PER_WORKER * len(self._slots))):
                self._make_data(taken)
                batch = deque(map(self._job, taken))
                while batch:
                    self._build(batch, self._slots)
                    job = batch.popleft()
                    key = job.candidate.workload.key
                    measurement = self._measured(job, min(incumbent_secs, best.get(key, math.inf)))
                    if not measurement.ok and time.perf_counter() >= self._deadline:
                        return
                    best[key] = min(measurement.secs, best.get(key, math.inf))
                    self._keep(job)
                    yield measurement
        finally:
            self._deadline = math.inf
            self._programs = {}
            self._rest()

    def build(self, candidates: Sequence[Candidate]) -> list[BuiltProgram | Measurement]:
        """For another machine to measure: each candidate's program, or what came of it where it cannot be built."""
        self._start_for(candidates)
        self._make_data(candidates)
        jobs = [self._job(candidate) for candidate in candidates]
        try:
            self._build(jobs, self._slots)
            return [job.failed or self._program(job) for job in jobs]
        finally:
            self._rest()

    def _program(self, job: Job) -> BuiltProgram:
        assert job.artifact is not None  # it was built
        return BuiltProgram(ArtifactFolder(self._artifacts_path).get(job.artifact), job.build_secs)

    def take_programs(self, programs: Mapping[Candidate, BuiltProgram]) -> None:
        """What other machines have built for the next call of `measure`: these candidates are only loaded here."""
        self._start_for(list(programs))
        self._programs = dict(programs)

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        """See `Runner.compare`. All are built and timed in one worker, so that they meet the same memory.

        Their kernels are kept for a next comparison of the same workload.
        """
        self._start_for(candidates)
        if not candidates:
            return []
        self._forget_others({candidate.workload for candidate in candidates})
        slot = max(self._slots, key=lambda slot: sum(self._kernel(each, slot) is not None for each in candidates))
        jobs = [self._kernel(candidate, slot) or self._again(candidate) for candidate in candidates]
        times: dict[int, tuple[float, ...]] = {job.number: () for job in jobs}
        deadline = time.perf_counter() + secs
        try:
            for number in range(rounds):
                if number and time.perf_counter() >= deadline:
                    break
                for job in jobs:
                    self._build(jobs, [slot])
                    if job.failed is None and self._run(job, {"action": "time", "id": job.number}, [slot]):
                        times[job.number] += job.run_secs
            self._read_energy([job for job in jobs if job.failed is None], slot, deadline)
        except BaseException:
            self._kept = {}
            self._rest()
            raise
        self._kept |= {job.candidate: job for job in jobs if job.failed is None}
        return [job.failed or job.measurement(times[job.number]) for job in jobs]

    def _read_energy(self, jobs: Sequence[Job], slot: Slot, deadline: float) -> None:
        """What a call of each takes, where this machine can tell, and as long as there is time."""
        if energy.meter() is None or not jobs or not scale_of(jobs[0].candidate.target).is_time:
            return
        for job in jobs:
            if job.lives_in(slot) and time.perf_counter() < deadline:
                job.take_energy(slot.call({"action": "energy", "id": job.number}, self._options.run_timeout_secs))

    def _kernel(self, candidate: Candidate, slot: Slot) -> Job | None:
        """The job whose kernel of this candidate has been kept in a slot."""
        job = self._kept.get(candidate)
        return job if job is not None and job.lives_in(slot) else None

    def _again(self, candidate: Candidate) -> Job:
        """A job whose kernel is to come into another slot than the one that has it, if any has."""
        kept = self._kept.get(candidate)
        return self._job(candidate) if kept is None else replace(kept, number=self._number(), slot=None, failed=None)

    def _forget_others(self, workloads: Set[Workload]) -> None:
        kept = {candidate: job for candidate, job in self._kept.items() if candidate.workload in workloads}
        if len(kept) < len(self._kept):
            self._kept = kept
            self._rest()

    def _keep(self, job: Job) -> None:
        """Keep the kernel while it is among the fastest that are left of its workload, and none of other workloads."""
        kernels = {**self._kept, job.candidate: job}.values()
        workload = job.candidate.workload
        built = (each for each in kernels if each.failed is None and each.kernel_lives)
        left = (each for each in built if each.candidate.workload == workload)
        fastest = sorted(left, key=lambda each: statistics.median(each.run_secs))[:_KEPT]
        self._kept = {each.candidate: each for each in fastest}

    def _start_for(self, candidates: Sequence[Candidate]) -> None:
        self.start(candidates[0].target.kind if candidates else "")

    def _measured(self, job: Job, incumbent_secs: float) -> Measurement:
        if job.failed is None:
            request = {"action": "run", "id": job.number, "incumbent_secs": incumbent_secs}
            self._run(job, request, self._slots[:1])
        return job.failed or job.measurement(job.run_secs)

    def _job(self, candidate: Candidate) -> Job:
        job = Job(self._number(), candidate, self._data_folder(candidate.workload))
        if built := self._programs.get(candidate):
            job.artifact = ArtifactFolder(self._artifacts_path).put(built.artifact)
            job.build_secs = built.build_secs
        return job

    def _make_data(self, candidates: Sequence[Candidate]) -> None:
        assert self._data is not None  # made by `start`
        self._data.make(candidate.workload for candidate in candidates)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _data_folder(self, workload: Workload) -> str:
        assert self._data is not None  # made by `start`
        return self._data.folder(workload)

    def _build(self, jobs: Iterable[Job], slots: Sequence[Slot]) -> None:
        """Build what is not built yet, and load again what was lost with its worker or is in another one than `slots`.

        A job ends with its kernel in a slot, or failed.
        """
        waiting = deque(job for job in jobs if job.failed is None and not job.kernel_lives)
        if waiting:
            _load_all(waiting[0], slots[: len(waiting)])
        running: dict[WorkerProcess, tuple[Slot, list[Job]]] = {}
        idle = list(slots)
        while waiting or running:
            while waiting and idle:
                together = _next_group(waiting, math.ceil(len(waiting) / len(idle)))
                slot = idle.pop()
                running[self._send_build(slot, together)] = slot, together
            for worker, outcome in wait_any(running):
                slot, together = running.pop(worker)
                idle.append(slot)
                ended = slot.ended(outcome)
                done = [job.take_build(slot, ended, len(together), place) for place, job in enumerate(together)]
                waiting.extendleft(job for job, is_done in reversed([*zip(together, done, strict=True)]) if not is_done)

    def _send_build(self, slot: Slot, together: Sequence[Job]) -> WorkerProcess:
        slot.load(together[0].candidate, together[0].folder)
        worker = slot.ready()
        request = {**_build_request(together), "folder": together[0].folder, "artifacts": str(self._artifacts_path)}
        worker.send(request, self._at_most(self._options.build_timeout_secs), self._options.memory_bytes)
        return worker

    def _at_most(self, timeout_secs: float) -> float:
        """A timeout, cut to what is left."""
        return max(_LEAST_SECS, min(timeout_secs, self._deadline - time.perf_counter()))

    def _run(self, job: Job, request: Message, slots: Sequence[Slot]) -> bool:
        """Run a request about a kernel, built anew in `slots` if lost, while no other worker does anything.

        Returns whether it went well.
        """
        for _ in range(_SETTLES):
            for slot in self._slots:
                slot.ready()
            if not job.kernel_lives:
                self._build([job], slots)
                if job.failed is not None:
                    return False
                continue
            assert job.slot is not None  # its kernel lives
            outcome = job.slot.call(request, self._at_most(self._options.run_timeout_secs), self._options.memory_bytes)
            if outcome.ending is Ending.REPLY and not job.kernel_lives:  # another worker answered
                continue
            if outcome.killed_from_outside and not job.killed:  # by the system for want of memory, or by somebody
                job.killed = True
                continue
            return job.take_run(outcome)
        raise WorkerError("measuring workers are killed from outside, again and again: start once more without that")

    @property
    def _artifacts_path(self) -> Path:
        assert self._folder is not None  # made by `start`
        return self._folder.path / _ARTIFACTS

    def _rest(self) -> None:
        ArtifactFolder(self._artifacts_path).drop_others([job.artifact for job in self._kept.values() if job.artifact])
        for slot in self._slots:
            slot.rest([job.number for job in self._kept.values() if job.lives_in(slot)])


def _load_all(job: Job, slots: Sequence[Slot]) -> None:
    for slot in slots:
        slot.begin_load(job.candidate, job.folder)
    for slot in slots:
        slot.end_load(job.candidate, job.folder)


def _build_request(together: Sequence[Job]) -> Message:
    """To build these, or to load the only one, which has been built before."""
    first = together[0]
    if first.artifact is not None:
        text = candidate_text(first.candidate)
        return {"action": "open", "id": first.number, "candidate": text, "artifact": first.artifact}
    candidates = [candidate_text(job.candidate) for job in together]
    return {"action": "build", "ids": [job.number for job in together], "candidates": candidates}


def _next_group(waiting: deque[Job], most: int) -> list[Job]:
    """Takes the next jobs to be built in one go: of one workload and target, and none that has to be alone."""
    group = [waiting.popleft()]
    while waiting and len(group) < min(most, BUILT_TOGETHER) and _may_join(group[0], waiting[0]):
        group.append(waiting.popleft())
    return group


def _may_join(first: Job, other: Job) -> bool:
    same = first.folder == other.folder and first.candidate.target == other.candidate.target
    return same and not any(job.alone or job.artifact is not None for job in (first, other))
