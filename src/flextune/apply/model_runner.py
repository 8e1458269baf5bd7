"""Whole models as candidates: compiled, checked against reference outputs and timed in processes of their own.

A build that crashes, hangs or computes something else costs that build, never the run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import tvm
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from flextune.apply.executable import Executable
from flextune.apply.kernel_objects import PARTS, ObjectWriter
from flextune.apply.model_service import INPUTS, SERVICE, save_arrays
from flextune.errors import KernelError
from flextune.importing.model import Model
from flextune.measure.ending import Ending, Outcome
from flextune.measure.launcher import Interpreter, ServiceLauncher
from flextune.measure.outcome import cause_of_end, went_well
from flextune.measure.worker_process import Worker, WorkerProcess, wait_for
from flextune.target import energy
from flextune.target.target import Target
from flextune.temporary import PrivateFolder
from flextune.trial.measurement import Status

KernelSecs = Mapping[str, tuple[float, ...]]
_INPUT_SEED = 0
_TRIES = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a build of a model does not count: a status as trials have it, and a text."""

    status: Status
    error: str

    def __str__(self) -> str:
        return f"{self.status}: {self.error}"


class OpenedModel(Protocol):
    """A build that a runner has opened. Once it has failed, its times are infinite and it has no kernels."""

    @property
    def failure(self) -> Failure | None:
        """Why it does not count; None as long as all went well."""
        ...

    @property
    def max_error(self) -> float:
        """The largest relative error of any output; infinity where only one side is a number."""
        ...

    def run_secs(self) -> float:
        """Seconds of a run: the median of a few."""
        ...

    def joules(self) -> float | None:
        """Energy of a run above what the machine takes at rest; None where that cannot be told."""
        ...

    def kernel_secs(self, runs: int) -> KernelSecs:
        """Seconds of each call of every kernel, in this many runs, by the kernel's name."""
        ...

    def close(self) -> None:
        """Give back its memory where it runs; nobody asks it anything any more."""
        ...


class ModelRunner(ObjectWriter, Protocol):
    """Compiles kernels of whole models, and opens builds to time them."""

    @property
    def reference(self) -> str:
        """What outputs are compared with, in words; empty before a build was opened."""
        ...

    def open(self, executable: Executable) -> OpenedModel:
        """The build, checked against the reference; the same again when it is open already.

        A failure is in what is returned; an exception means a broken environment.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a build may take before it is killed."""

    compile_secs: float = 600.0
    """To be compiled."""
    reference_secs: float = 60.0
    """For the reference to be there; afterwards it is done without."""
    open_secs: float = 120.0
    """To be opened by the process that runs it."""
    first_run_secs: float = 300.0
    """For the first run of the first build."""
    slowest: float = 20.0
    """Later runs may take so many times as long as that one did,"""
    least_secs: float = 10.0
    """and so many seconds in any case."""


class LocalModelRunner:
    """Runs builds of one model on this machine; use it in a `with` statement.

    All builds that are timed live in one process, so that they meet the same memory. Outputs are compared with those of
    ONNX Runtime, or of ONNX's own evaluator where that is not installed, and may be off by `most_error`. The first
    build that is opened is the one without any choice: where it is further off, and where there is no reference, the
    others are compared with it, and `reference` says so.
    """

    def __init__(
        self,
        target: Target,
        model: Model,
        most_error: float,
        limits: ModelLimits | None = None,
        interpreter: Interpreter | None = None,
    ) -> None:
        """`interpreter` forks the processes; without one there is one for this runner, which ends with it."""
        self._limits = limits or ModelLimits()
        self._most_error = most_error
        self._run_timeout_secs = self._limits.first_run_secs
        self._opened: dict[int, _LocalModel] = {}
        self._compiled: set[Path] = set()
        self._numbers = count(1)
        self._data_in = -1
        self._reference = ""
        self._computing: WorkerProcess | None = None
        with ExitStack() as stack:
            self._folder = PrivateFolder()
            stack.callback(self._folder.close)
            self._objects = self._folder.path / "objects"
            self._objects.mkdir()
            own = interpreter is None
            interpreter = interpreter or Interpreter(target.cores, self._folder.path)
            launcher = ServiceLauncher(SERVICE, "", interpreter)
            self._workers = [Worker(launcher, self._folder.path / f"worker{n}.log", target.kind) for n in range(PARTS)]
            self._referee = Worker(launcher, self._folder.path / "reference.log", "")
            for worker in (*self._workers, self._referee):
                stack.callback(worker.close)
                worker.start()
            if own:
                stack.callback(interpreter.close)  # comes first: nobody waits for what it is still loading
            self._ask_for_reference(model, target.cores)
            self._ends = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        self._ends.close()

    @property
    def reference(self) -> str:
        """See `ModelRunner.reference`."""
        return self._reference

    @property
    def timing_pid(self) -> int | None:
        """Process number of the one that takes times, if it is there."""
        return self._workers[0].pid

    @property
    def reference_pid(self) -> int | None:
        """Process number of the one that computes the reference, if it is there."""
        return self._referee.pid

    def write(self, kernels: tvm.IRModule, target: Target, folder: Path, part: int = 0) -> Sequence[Path]:
        """See `ObjectWriter.write`. Builds of one model have most kernels in common: each is compiled once."""
        del folder  # objects outlive the build that they were first compiled for
        texts = {}
        for variable, function in kernels.functions_items():
            text = tvm.ir.save_json(tvm.IRModule({variable: function}))
            texts[self._objects / f"{sha256(f'{target} {text}'.encode()).hexdigest()}.o"] = text
        self._compile({path: text for path, text in texts.items() if path not in self._compiled}, target, part)
        self._compiled.update(texts)
        return list(texts)

    def _compile(self, texts: Mapping[Path, str], target: Target, part: int) -> None:
        """Write the object file of each kernel, which is given as TVM's JSON."""
        if not texts:
            return
        for path, text in texts.items():
            path.with_suffix(".json").write_text(text, encoding="utf-8")
        requested = {str(path): str(path.with_suffix(".json")) for path in texts}
        request = {"action": "objects", "kernels": requested, "target": str(target)}
        outcome = self._workers[part].call(request, self._limits.compile_secs)
        if not went_well(outcome):
            raise KernelError(failure_of(outcome, building=True).error)

    def open(self, executable: Executable) -> OpenedModel:
        """See `ModelRunner.open`."""
        if id(executable) not in self._opened:
            model = _LocalModel(self, executable, next(self._numbers))
            self._opened[id(executable)] = model
            if not self._reference:
                self._take_reference()
                self._open_first(model)
            else:
                model.check()
        return self._opened[id(executable)]

    def judge(self, error: float) -> Failure | None:
        """What the largest error of a build means for it."""
        if error <= self._most_error:
            return None
        return Failure(Status.WRONG_OUTPUT, f"an output is off by {error:.2g} of its largest value ({self._reference})")

    def asked(self, model: _LocalModel, action: str, **details: int | str) -> Outcome:
        """How a request about a model ended, which is opened before where it is not (any more)."""
        for _ in range(_TRIES):
            outcome = self._placed(model) or self._workers[0].call(
                {"action": action, "id": model.number, **details}, self._run_timeout_secs
            )
            if not outcome.killed_from_outside:  # else by the system for want of memory, or by somebody: once more
                break
        return outcome

    def forget(self, model: _LocalModel) -> None:
        """Close a model."""
        self._opened.pop(id(model.executable), None)
        if model.failure is None and model.generation == self._workers[0].generation:
            self._workers[0].call({"action": "close", "id": model.number}, self._run_timeout_secs)

    def _placed(self, model: _LocalModel) -> Outcome | None:
        """Have the model in the process that takes times; None when it is there, else how that went wrong."""
        worker = self._workers[0]
        worker.ready()
        if self._data_in != worker.generation:
            worker.call({"action": "data", "folder": str(self._folder.path)}, self._limits.open_secs)
            self._data_in = worker.generation
        if model.generation == worker.generation:
            return None
        with model.executable.handed_over(self._folder.path) as handed:
            request = {"action": "open", "id": model.number, "code": handed, "signature": model.signature}
            outcome = worker.call(request, self._limits.open_secs)
        model.generation = worker.generation
        return None if went_well(outcome) else outcome

    def _ask_for_reference(self, model: Model, cores: int) -> None:
        """Have the reference computed while the first build is made."""
        save_arrays(self._folder.path / INPUTS, model.random_inputs(_INPUT_SEED))
        stored = self._folder.path / "model.onnx"
        try:
            stored.write_bytes(model.proto.SerializeToString())
        except EncodeError:  # of 2 GiB or more: a file has no room for it, so there is no reference
            return
        request = {"action": "reference", "model": str(stored), "folder": str(self._folder.path), "threads": cores}
        self._computing = self._referee.ready()
        self._computing.send(request, self._limits.reference_secs)

    def _take_reference(self) -> None:
        """Wait for it, once; of a process that has died meanwhile there is none."""
        if self._computing is None:
            return
        outcome, self._computing = wait_for(self._computing), None
        self._referee.close()
        (self._folder.path / "model.onnx").unlink()
        self._reference = outcome.reply["source"] if went_well(outcome) else ""

    def _open_first(self, model: _LocalModel) -> None:
        """The first build sets the time that others may take, and stands in for a reference that does not hold."""
        outcome = self.asked(model, "check")
        if not went_well(outcome):
            model.failure = failure_of(outcome)
            return
        model.take_errors(outcome)
        self._run_timeout_secs = max(self._limits.least_secs, self._limits.slowest * outcome.elapsed_secs)
        if self._reference and model.max_error <= self._most_error:
            return
        off = f", which is off by {model.max_error:.2g} from {self._reference}" if self._reference else ""
        self._reference = f"the first build{off}"
        adopted = self.asked(model, "adopt", folder=str(self._folder.path))
        if not went_well(adopted):  # nothing would be compared with anything
            model.failure = failure_of(adopted)


@dataclass(slots=True, eq=False)
class _LocalModel:
    """See `OpenedModel`."""

    runner: LocalModelRunner
    """Whose processes run it."""
    executable: Executable
    """What is to be opened there."""
    number: int
    """By which the process that runs builds knows it."""
    generation: int = -1
    """The process, counted from the first, that has opened it."""
    failure: Failure | None = None
    """The first one; None as long as all went well."""
    max_error: float = math.inf
    """How far its outputs are off; infinite before they have been compared."""
    signature: Mapping[str, object] = field(init=False)
    """The executable's, as JSON values."""

    def __post_init__(self) -> None:
        self.signature = json.loads(self.executable.signature.to_json())

    def check(self) -> None:
        """Compare its outputs with the reference's."""
        outcome = self._asked("check")
        if outcome is not None:
            self.take_errors(outcome)
            self.failure = self.runner.judge(self.max_error)

    def take_errors(self, outcome: Outcome) -> None:
        """Take note of the errors of its outputs."""
        errors: Mapping[str, float | None] = outcome.reply["errors"]
        self.max_error = max((math.inf if error is None else error for error in errors.values()), default=0.0)

    def run_secs(self) -> float:
        outcome = self._asked("time")
        return math.inf if outcome is None else float(outcome.reply["secs"])

    def joules(self) -> float | None:
        if energy.meter() is None:
            return None
        outcome = self._asked("energy")
        return None if outcome is None else outcome.reply["joules"]

    def kernel_secs(self, runs: int) -> KernelSecs:
        outcome = self._asked("kernels", runs=runs, warmup=1)
        return {} if outcome is None else {name: tuple(secs) for name, secs in outcome.reply["secs"].items()}

    def close(self) -> None:
        self.runner.forget(self)

    def _asked(self, action: str, **details: int | str) -> Outcome | None:
        """The reply; None once the model has failed."""
        if self.failure is None:
            outcome = self.runner.asked(self, action, **details)
            if went_well(outcome):
                return outcome
            self.failure = failure_of(outcome)
        return None


def failure_of(outcome: Outcome, *, building: bool = False) -> Failure:
    """What a request that did not go well says about the build it was for."""
    if outcome.ending is Ending.REPLY:
        return Failure(Status(outcome.reply["status"]), str(outcome.reply["error"]))
    return Failure(*cause_of_end(outcome, building=building))
