"""A candidate on its way through a pool of workers: where its kernel is, and what came of it so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flextune.measure.ending import Ending, Outcome
from flextune.measure.outcome import failure, max_error, went_well
from flextune.measure.slot import Slot
from flextune.measure.wire import Message
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.measurement import Candidate, Measurement, Status

_BUILD_DEATHS = 2


@dataclass(slots=True)
class Job:
    """A candidate on its way through the pool."""

    number: int
    """By which workers know it."""
    candidate: Candidate
    """What is measured."""
    folder: str
    """Where its workload's inputs and references are."""
    artifact: Message | None = None
    """The ticket of its artifact, once it is built."""
    slot: Slot | None = None
    """Where its kernel was loaded last."""
    generation: int = -1
    """Of the worker in the slot, which is gone when the slot has another."""
    build_secs: float = 0.0
    """Of building it."""
    elapsed_secs: float = 0.0
    """Of all its requests."""
    max_error: float = 0.0
    """The largest difference from the reference so far."""
    run_secs: tuple[float, ...] = ()
    """The repeats so far."""
    parts: tuple[tuple[str, float], ...] = ()
    """What the cost is made of, by name, where the kernel says it."""
    deaths: int = 0
    """Workers that died while they built it."""
    killed: bool = False
    """Whether a worker was once killed from outside meanwhile."""
    alone: bool = False
    """Whether it must be built by itself, after a build together with others failed."""
    failed: Measurement | None = None
    """What came of it, once it has failed."""

    @property
    def kernel_lives(self) -> bool:
        return self.slot is not None and self.slot.generation == self.generation

    def lives_in(self, slot: Slot) -> bool:
        return self.slot is slot and self.kernel_lives

    def take_build(self, slot: Slot, outcome: Outcome, together: int, place: int) -> bool:
        """Whether that was the end of it, for the one at `place` of `together` candidates that were built in one go.

        Not so when they were several, of which one has failed; nor when a worker died for the first time: an earlier
        candidate may have damaged it.
        """
        self.elapsed_secs += outcome.elapsed_secs / together
        if not went_well(outcome) and together > 1:
            self.alone = True
            return False
        if went_well(outcome):
            self.slot, self.generation = slot, slot.generation
            slot.built += 1
            if self.artifact is None:
                self.build_secs = outcome.reply["build_secs"]
                self.artifact = outcome.reply["artifacts"][place]
            return True
        self.deaths += outcome.ending is Ending.DIED
        if outcome.ending is Ending.DIED and self.deaths < _BUILD_DEATHS:
            return False
        self.failed = failure(self.candidate.assignment, outcome, building=True, elapsed_secs=self.elapsed_secs)
        return True

    def take_run(self, outcome: Outcome) -> bool:
        """Whether the run went well."""
        self.elapsed_secs += outcome.elapsed_secs
        if went_well(outcome):
            self.run_secs = tuple(outcome.reply["run_secs"])
            self.parts = tuple(outcome.reply.get("metrics", {}).items()) or self.parts
            self.max_error = max(self.max_error, max_error(outcome.reply))
            return True
        failed = failure(self.candidate.assignment, outcome, building=False, elapsed_secs=self.elapsed_secs)
        self.failed = replace(failed, build_secs=self.build_secs, report=self._report)
        return False

    def take_energy(self, outcome: Outcome) -> None:
        """What a call takes beside its time. The kernel has run rightly before: nothing comes of it where it fails."""
        self.elapsed_secs += outcome.elapsed_secs
        if went_well(outcome):
            self.parts = tuple({**dict(self.parts), **outcome.reply.get("metrics", {})}.items())

    def measurement(self, run_secs: tuple[float, ...]) -> Measurement:
        return Measurement(
            self.candidate.assignment,
            Status.OK,
            run_secs,
            build_secs=self.build_secs,
            elapsed_secs=self.elapsed_secs,
            max_error=self.max_error,
            metrics=self.parts,
            report=self._report,
        )

    @property
    def _report(self) -> CompilerReport:
        return CompilerReport() if self.artifact is None else Artifact.restored(self.artifact, b"").report
