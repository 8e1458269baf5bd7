"""A build of a model that is in the running: compiled, checked and timed where it can hurt nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flextune.apply.build import Build, Schedule, compile_model
from flextune.apply.model_check import MAX_RELATIVE_ERROR
from flextune.apply.model_runner import Failure, LocalModelRunner, ModelLimits, ModelRunner, OpenedModel
from flextune.errors import BuildError
from flextune.measure.launcher import Interpreter
from flextune.optimization.ab_test import ABTestResult, Limits, interleaved_test
from flextune.plan.partition import Partition
from flextune.target.target import Target
from flextune.trial.measurement import Status

_BYTES = frozenset({"int8", "uint8"})
_MOST_ERROR_OF_FEW_BITS = 0.1
_REFERENCE_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A build, opened by a runner; `name` says in words what it is, for those who read of its failure."""

    name: str
    build: Build
    opened: OpenedModel

    @property
    def failed(self) -> bool:
        return self.opened.failure is not None


@dataclass(frozen=True, slots=True)
class FailedBuild:
    """A build that did not become one, crashed, hung, or computed something else."""

    name: str
    failure: Failure

    def __str__(self) -> str:
        return f"{self.name}: {self.failure}"


def compare(contenders: Sequence[Contender], limits: Limits) -> ABTestResult:
    """Which build of one model to use: the first one, unless another is shown to be faster."""
    if len(contenders) == 1:
        return ABTestResult(0, (contenders[0].opened.run_secs(),), 0)
    return interleaved_test([each.opened.run_secs for each in contenders], limits)


def local_models(
    partition: Partition, target: Target, minutes: float | None = None, interpreter: Interpreter | None = None
) -> LocalModelRunner:
    """Runs builds of this model on this machine; a reference may take a share of a budget in minutes."""
    limits = ModelLimits() if minutes is None else ModelLimits(reference_secs=_REFERENCE_SHARE * 60 * minutes)
    return LocalModelRunner(target, partition.model, most_error(partition), limits, interpreter)


def most_error(partition: Partition) -> float:
    """The largest difference between outputs and a reference that rounding explains, over the output's largest value.

    Float32 sums in another order stay far below the first. What is rounded to few bits on its way may be rounded to the
    neighbour, which later layers see: for bfloat16 and for bytes the bound only tells what is wrong from what is not.
    """
    kinds = {spec.dtype for task in partition.tasks for spec in task.workload.inputs}
    return MAX_RELATIVE_ERROR if partition.precision.is_float32 and not kinds & _BYTES else _MOST_ERROR_OF_FEW_BITS


class Contest:
    """All builds of one model that are made in a run, and those of them that failed."""

    def __init__(self, target: Target, models: ModelRunner) -> None:
        self.target = target
        self._models = models
        self._entered: list[Contender] = []
        self._not_built: list[FailedBuild] = []

    @property
    def reference(self) -> str:
        """What outputs are compared with, in words."""
        return self._models.reference

    @property
    def failures(self) -> tuple[FailedBuild, ...]:
        """Builds that failed so far, those that could not even be made first."""
        opened = [(each.name, each.opened.failure) for each in self._entered]
        return (*self._not_built, *(FailedBuild(name, failure) for name, failure in opened if failure is not None))

    def enter(self, name: str, partition: Partition, schedules: Mapping[str, Schedule]) -> Contender | None:
        """Build and check the model; None where that failed, which is among the `failures` then."""
        try:
            build = compile_model(partition, schedules, self.target, writer=self._models)
        except BuildError as error:
            self._not_built.append(FailedBuild(name, Failure(Status.BUILD_ERROR, str(error))))
            return None
        return self.admit(name, build)

    def admit(self, name: str, build: Build) -> Contender | None:
        """Check a model that has been built; None where it fails, which is among the `failures` then."""
        contender = Contender(name, build, self._models.open(build.executable))
        self._entered.append(contender)
        return None if contender.failed else contender

    def first(self, partition: Partition) -> Contender:
        """The build with default schedules, which all others must beat. BuildError where it fails."""
        contender = self.enter("with default schedules", partition, {})
        if contender is None:
            raise BuildError(f"the model {self.failures[0]}")
        return contender

    def dismiss(self, contender: Contender) -> None:
        """It is not going to be timed again: its memory can be used for others."""
        contender.opened.close()
