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

from flextune.cli.output import amount
from flextune.quantities import MEASURED_SECONDS, Scale
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event
from flextune.tuning.progress import Progress, TaskProgress

_LINE_EVERY_SECS = 5.0
_TASKS_SHOWN = 12
_CAUSES_SHOWN = 4
_TRIALS_FOR_ESTIMATE = 8
_NAME_WIDTH = 60


class LiveView:
    """A callback and context manager that shows a `Progress` on stderr while the block runs.

    On a terminal it redraws a small table twice a second; elsewhere it prints a line when a task opens, when five
    seconds have passed, and at the end.
    """

    def __init__(
        self, budget: Budget, title: str, console: Console | None = None, scale: Scale = MEASURED_SECONDS
    ) -> None:
        self.progress = Progress()
        self._scale = scale
        self._budget = budget
        self._title = title
        self._started = self._last_line = time.monotonic()
        self._console = console or Console(stderr=True)
        self._live = (
            Live(get_renderable=self.render, console=self._console, refresh_per_second=2, transient=True)
            if self._console.is_terminal
            else None
        )

    def __call__(self, event: Event) -> None:
        self.progress(event)
        if self._live is None and time.monotonic() - self._last_line > _LINE_EVERY_SECS:
            self._line()

    def __enter__(self) -> Self:
        if self._live is None:
            print(f"{self._title}: started", file=sys.stderr, flush=True)
        else:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if self.progress.tasks:
            self._line()

    def _line(self) -> None:
        self._last_line = time.monotonic()
        print(summary(self.progress, self._budget, self._elapsed_secs, self._scale), file=sys.stderr, flush=True)

    @property
    def _elapsed_secs(self) -> float:
        return time.monotonic() - self._started

    def render(self) -> RenderableType:
        """What a terminal shows at this moment."""
        parts: list[RenderableType] = [
            Text(self._title, style="bold"),
            Text(summary(self.progress, self._budget, self._elapsed_secs, self._scale)),
        ]
        if self.progress.tasks:
            parts.append(_task_table(self.progress, self._scale))
        parts.extend(Text(line, style="red") for line in failure_lines(self.progress))
        return Group(*parts)


def summary(progress: Progress, budget: Budget, elapsed_secs: float, scale: Scale = MEASURED_SECONDS) -> str:
    """One line: trials, failures, the best so far (or how many tasks), what is going on, and the time left."""
    trials = sum(task.trials for task in progress.tasks.values())
    of = f"/{budget.trials}" if budget.trials is not None else ""
    parts = [f"{trials}{of} trials" + (f" ({progress.recorded} recorded)" if progress.recorded else "")]
    parts.append(f"{progress.failed} failed")
    if len(progress.tasks) == 1:
        parts.append(f"best {amount(next(iter(progress.tasks.values())).best_secs, scale)}")
    else:
        parts.append(f"{len(progress.tasks)} tasks")
    if progress.comparing:
        parts.append("comparing the finalists")
    return ", ".join([*parts, _time(progress, budget, elapsed_secs)])


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
    return [f"  {count} x {text}" for text, count in progress.failures.most_common(_CAUSES_SHOWN)]


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
        first, best = amount(task.first_secs, scale), amount(task.best_secs, scale)
        table.add_row(mark, name, str(task.trials), first, best, _gain(task))
    return table


def _gain(task: TaskProgress) -> str:
    gain = task.first_secs / task.best_secs if task.best_secs > 0 else math.nan
    return f"{gain:.2f}x" if math.isfinite(gain) else "-"
