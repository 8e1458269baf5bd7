"""A Python function as an objective, in a process of its own or in this one."""

from __future__ import annotations

import inspect
import math
import os
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Value
from flextune.errors import UsageError
from flextune.measure.ending import Ending, Outcome
from flextune.measure.fingerprint import Fingerprint, fingerprint_of
from flextune.measure.launcher import FunctionLauncher, can_fork
from flextune.measure.objective import identity_text, median_metrics, metric_fault
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.measure.outcome import cause_of_end
from flextune.measure.trial_steps import Call, Steps, cut, run_steps
from flextune.measure.watch import RunLimits
from flextune.measure.worker_process import Worker
from flextune.trial.measurement import Measurement, Status

Check = Callable[[Any], object]
_LONGEST_ERROR = 300
_WAITING = 0.02


class FunctionObjective:
    """Calls `function` with the values as keyword arguments, or as one dict if it takes one argument of another name.

    It returns a number, or a number and an output that `check` looks at: an output that is not accepted, or a check
    that raises, is a wrong answer. `repeats` calls make one trial. Isolated, every call has `limits`, and the function
    lives in a worker process that is kept from call to call: what it changes is not seen here.
    """

    def __init__(
        self,
        function: Callable[..., object],
        parameters: tuple[str, ...],
        *,
        name: str = "",
        version: str = "",
        check: Check | None = None,
        repeats: int = 1,
        limits: RunLimits | None = None,
        isolated: bool = True,
        protocol: ObjectiveProtocol | None = None,
        metrics: tuple[str, ...] = ("",),
        sign: int = 1,
    ) -> None:
        """A `name` promises that all that is measured under it is the same; else that is told from the function.

        `metrics` are what it must return, by name, the first of which counts; one empty name stands for a number alone.
        `sign` makes that a number to minimise.
        """
        self.name = name or _qualified(function)
        self.protocol = protocol or ObjectiveProtocol(repeats, isolated=isolated)
        self._fingerprint = Fingerprint("") if name else fingerprint_of(function)
        self._checked = Fingerprint("") if check is None else fingerprint_of(check)
        what = f"name:{name}" if name else f"python:{self.name}:{self._fingerprint.digest}"
        self.unknown = self._fingerprint.unknown or self._checked.unknown
        self.identity = identity_text(f"{what}:{uuid.uuid4()}" if self.unknown else what, version, self._checked.digest)
        self._function = function
        self._as_dict = _takes_a_dict(function, parameters)
        if not self._as_dict:
            _need_fitting(function, parameters)
        self._check = check
        self._metrics = metrics
        self._sign = sign
        self._limits = limits or RunLimits()
        self._threads = _threads_here()
        self._launcher = FunctionLauncher(self._answer) if isolated and can_fork() else None
        self._workers: list[Worker] = []

    def workers(self, count: int) -> Sequence[Worker]:
        if self._launcher is None:
            return ()
        while len(self._workers) < count:
            self._workers.append(Worker(self._launcher))
        return tuple(self._workers[:count])

    def measure(self, assignment: Assignment, values: Mapping[str, Value]) -> Measurement:
        """One trial, waited for."""
        return run_steps(self.steps(assignment, values), next(iter(self.workers(1)), None))

    def steps(self, assignment: Assignment, values: Mapping[str, Value], within_secs: float = math.inf) -> Steps:
        started = time.perf_counter()
        numbers: list[float] = []
        metrics: list[dict[str, float]] = []
        status, error = Status.OK, ""
        while len(numbers) < self.protocol.repeats and status is Status.OK:
            if self._launcher is None:
                reply = self._answer(dict(values))
            else:
                limits = cut(self._limits, within_secs - (time.perf_counter() - started))
                outcome = yield Call(dict(values), limits, keeps=True)
                self._warn_of_waiting(outcome)
                reply = dict(outcome.reply) if outcome.ending is Ending.REPLY else _failed(*cause_of_end(outcome))
            status, error = Status(reply["status"]), reply["error"]
            numbers.append(self._sign * reply["value"])
            metrics.append(reply["metrics"])
        return Measurement(
            assignment,
            status,
            run_secs=tuple(numbers) if status is Status.OK else (),
            error=error,
            elapsed_secs=time.perf_counter() - started,
            metrics=median_metrics(metrics) if status is Status.OK else (),
        )

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        if self._launcher is not None:
            self._launcher.close()

    def _warn_of_waiting(self, outcome: Outcome) -> None:
        """Once: a call that waited until its timeout may wait for a thread that was left behind in this process."""
        waited = outcome.ending is Ending.TIMEOUT and outcome.cpu_secs < _WAITING * outcome.elapsed_secs
        if waited and self._threads > 1:
            warnings.warn(
                f"{self.name} waited until its timeout and computed nothing. It runs in a copy of this process, which "
                f"had {self._threads} threads; the copy lacks them, and locks that they held stay held. If it waits "
                "for that: start threads (and sessions of onnxruntime and the like) inside the objective, or after "
                "`minimize`, or run it as a flextune.Command",
                stacklevel=2,
            )
            self._threads = 0

    def _answer(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """One call, in whichever process this is."""
        try:
            result = self._function(values) if self._as_dict else self._function(**values)
        except MemoryError as error:
            return _failed(Status.OUT_OF_MEMORY, _said(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's function may raise anything: that is its result
            return _failed(Status.RUN_ERROR, _said(error))
        value, output = result if isinstance(result, tuple) and len(result) == 2 else (result, result)
        found: Mapping[Any, Any] = (
            value if isinstance(value, Mapping) and self._metrics != ("",) else {self._metrics[0]: value}
        )
        for name in dict.fromkeys((*self._metrics, *found)):
            if fault := metric_fault(name, found):
                return _failed(Status.WRONG_OUTPUT, f"the objective returned no number: {fault}")
        if self._check is not None and (fault := check_fault(self._check, output)):
            return _failed(Status.WRONG_OUTPUT, fault)
        metrics = {str(name): float(each) for name, each in found.items() if name}
        return {"status": Status.OK, "error": "", "value": float(found[self._metrics[0]]), "metrics": metrics}


def check_fault(check: Check, output: Any) -> str:
    """Why the check does not accept this output; empty where it does."""
    try:
        accepted = bool(check(output))
    except Exception as error:  # noqa: BLE001 - a user's check may raise anything: then it does not accept
        return f"wrong answer: the check raised {_said(error)}"
    return "" if accepted else "wrong answer: the check does not accept the output"


def _threads_here() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _failed(status: Status, error: str) -> dict[str, Any]:
    return {"status": status, "error": error, "value": 0.0, "metrics": {}}


def _said(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
    except Exception:  # noqa: BLE001 - a user's exception may raise anything where it is to become a text
        text = f"{type(error).__name__}, whose text cannot be made"
    return text.encode(errors="replace").decode()


def _takes_a_dict(function: Callable[..., object], parameters: tuple[str, ...]) -> bool:
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    needed = [each for each in arguments if each.default is each.empty]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return len(needed) == 1 and needed[0].kind in positional and needed[0].name not in parameters


def _need_fitting(function: Callable[..., object], parameters: tuple[str, ...]) -> None:
    """`UsageError` for a function that no trial could call."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some built-in functions: the first trial will tell
        return
    try:
        signature.bind(**dict.fromkeys(parameters))
    except TypeError as error:
        shown = ", ".join(parameters)
        raise UsageError(f"the objective {_qualified(function)}{signature} cannot take {shown}: {error}") from None


def _qualified(function: Callable[..., object]) -> str:
    named = getattr(function, "func", function)
    return str(getattr(named, "__qualname__", type(named).__qualname__))
