"""The live view of a tuning run on stderr: redrawn in place on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flextune.cli.output import amount, seconds
from flextune.cli.working import Ticker
from flextune.printable import printable
from flextune.quantities import MEASURED_SECONDS, Scale
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event, Phase, PhaseBegan
from flextune.tuning.progress import Progress, TaskProgress

LINE_EVERY_SECS = 10.0
_TASKS_SHOWN = 12
_CAUSES_SHOWN = 4
_TRIALS_FOR_ESTIMATE = 8
_NAME_WIDTH = 60
_BAR_WIDTH = 40
_OF_WORKLOAD = (Phase.TRIALS, Phase.FINALISTS)


class LiveView:
    """A callback and context manager that shows a `Progress` on stderr while the block runs.

    On a terminal it redraws what is going on twice a second; elsewhere it prints a line for every phase, every ten
    seconds, and at the end.
    """

    def __init__(
        self,
        budget: Budget,
        title: str,
        console: Console | None = None,
        began: float | None = None,
        scale: Scale = MEASURED_SECONDS,
        phases: tuple[Phase, ...] = _OF_WORKLOAD,
    ) -> None:
        self.progress = Progress()
        self._scale = scale
        self._budget = budget
        self._title = printable(title)
        self._phases = phases
        self._began = time.perf_counter() if began is None else began
        self._console = console or Console(stderr=True)
        self._live = (
            Live(get_renderable=self.render, console=self._console, refresh_per_second=2, transient=True)
            if self._console.is_terminal
            else None
        )
        self._ticker = Ticker(LINE_EVERY_SECS, self._line)

    def __call__(self, event: Event) -> None:
        before = self.progress.phase
        self.progress(event)
        if self._live is None and isinstance(event, PhaseBegan) and event.phase is not before:
            self._line()

    def __enter__(self) -> Self:
        if self._live is None:
            print(f"{self._title}: started", file=sys.stderr, flush=True)
            self._ticker.start()
        else:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.stop()
        if self._live is not None:
            self._live.stop()
        if self.progress.tasks:
            self._line()

    def _line(self) -> None:
        phase = "" if self.progress.phase is None else f"{self.progress.phase}: "
        text = f"{phase}{summary(self.progress, self._budget, self._elapsed_secs, self._scale)}"
        print(text, file=sys.stderr, flush=True)

    @property
    def _elapsed_secs(self) -> float:
        return time.perf_counter() - self._began

    def render(self) -> RenderableType:
        """What a terminal shows at this moment."""
        elapsed = self._elapsed_secs
        parts: list[RenderableType] = [
            Text(self._title, style="bold"),
            _phase_line(self.progress.phase, self._phases),
            _bar(share_done(self.progress, self._budget, elapsed)),
            Text(summary(self.progress, self._budget, elapsed, self._scale)),
        ]
        if self.progress.tasks:
            parts.append(_task_table(self.progress, self._scale))
        parts.extend(Text(line, style="red") for line in failure_lines(self.progress))
        return Group(*parts)


def _phase_line(current: Phase | None, phases: tuple[Phase, ...]) -> Text:
    """`import > default build > [trials] > ...`, what is over dimmed."""
    text = Text()
    at = phases.index(current) if current in phases else -1
    for number, phase in enumerate(phases):
        text.append(" > " if number else "", style="dim")
        text.append(f"[{phase}]" if number == at else str(phase), style="bold" if number == at else "dim")
    return text


def _bar(share: float | None) -> Text:
    """Of what is done; empty where that is not known."""
    if share is None:
        return Text("")
    filled = round(_BAR_WIDTH * share)
    return Text(f"{'█' * filled}{'░' * (_BAR_WIDTH - filled)} {share:4.0%}")


def share_done(progress: Progress, budget: Budget, elapsed_secs: float) -> float | None:
    """The part of the budget that is used up, 0..1: of its trials or minutes, whichever ends the run first."""
    shares = []
    if budget.minutes is not None:
        shares.append(elapsed_secs / (60 * budget.minutes))
    if budget.trials is not None:
        shares.append(sum(task.trials for task in progress.tasks.values()) / budget.trials)
    return min(1.0, max(shares)) if shares else None


def summary(progress: Progress, budget: Budget, elapsed_secs: float, scale: Scale = MEASURED_SECONDS) -> str:
    """One line: trials, failures, the best so far, what it is worth for the model, and the time left."""
    trials = sum(task.trials for task in progress.tasks.values())
    of = f"/{budget.trials}" if budget.trials is not None else ""
    parts = [f"{trials}{of} trials" + (f" ({progress.recorded} recorded)" if progress.recorded else "")]
    parts.append(f"{progress.failed} failed")
    if len(progress.tasks) == 1:
        parts.append(f"best {amount(next(iter(progress.tasks.values())).best_secs, scale)}")
    else:
        parts.append(f"{len(progress.tasks)} tasks")
    parts += _worth(progress)
    return ", ".join([*parts, _time(progress, budget, elapsed_secs)])


def _worth(progress: Progress) -> list[str]:
    """What the best so far is expected to make of the whole model."""
    timed, expected = progress.timed, progress.expected_secs
    if timed is None:
        return []
    before = f"model {seconds(timed.default_secs)} by default"
    if not expected:
        return [before]
    return [f"{before}, about {seconds(expected)} with the best ({timed.default_secs / expected:.2f}x)"]


def _time(progress: Progress, budget: Budget, elapsed_secs: float) -> str:
    """The time left: by the budget's minutes, or estimated from the trials so far; else the time that has passed."""
    left = budget.secs_left(elapsed_secs)
    if math.isfinite(left):
        return f"{max(0.0, left):.0f} s left"
    trials = budget.trials_left(sum(task.trials for task in progress.tasks.values()))
    if progress.measured >= _TRIALS_FOR_ESTIMATE and trials > 0:
        return f"{elapsed_secs:.0f} s, about {trials * elapsed_secs / progress.measured:.0f} s left"
    return f"{elapsed_secs:.0f} s"


def failure_lines(progress: Progress) -> list[str]:
    """The most frequent causes of failure with their counts."""
    return [f"  {count} x {printable(text)}" for text, count in progress.failures.most_common(_CAUSES_SHOWN)]


def _task_table(progress: Progress, scale: Scale) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("task", no_wrap=True)
    for column in ("trials", "default", "best", "faster"):
        table.add_column(column, justify="right", no_wrap=True)
    latest = sorted(progress.tasks.values(), key=lambda task: task.name != progress.current)
    shown = [task for task in progress.tasks.values() if task in latest[:_TASKS_SHOWN]]
    for task in shown:
        mark = ">" if task.name == progress.current else " "
        name = task.name if len(task.name) <= _NAME_WIDTH else task.name[: _NAME_WIDTH - 2] + ".."
        times = amount(task.first_secs, scale), amount(task.best_secs, scale)
        table.add_row(mark, Text(printable(name)), str(task.trials), *times, _gain(task))
    return table


def _gain(task: TaskProgress) -> str:
    gain = task.first_secs / task.best_secs if task.best_secs > 0 else math.nan
    return f"{gain:.2f}x" if math.isfinite(gain) else "-"
