"""The live view of a tuning run in a notebook: one output that is replaced, without widgets."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from flextune.cli.live import LiveView
from flextune.errors import EnvironmentFault
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event, PhaseBegan

_REDRAWN_EVERY_SECS = 0.5
_WIDTH = 110
_FORMAT = '<pre style="line-height:normal;white-space:pre">{code}</pre>'


class NotebookView:
    """Shows in the output of a notebook's cell what a terminal would show; give it as `on_progress`.

    The output is HTML that is replaced twice a second, so it needs no extension and stays in the file as it was last.
    In a `with` statement the last state is shown when the block ends.

    >>> with flextune.NotebookView(flextune.Budget(minutes=2)) as view:                   # doctest: +SKIP
    ...     executable = flextune.optimize("model.onnx", minutes=2, on_progress=view)
    """

    def __init__(self, budget: Budget, title: str = "", clock: Callable[[], float] = time.perf_counter) -> None:
        """`budget` is that of the run, by which the time that is left is told. EnvironmentFault without IPython."""
        try:
            self._ipython: Any = import_module("IPython.display")
        except ModuleNotFoundError as error:
            raise EnvironmentFault(
                f"a view in a notebook needs {error.name}, which is not installed: pip install ipython"
            ) from None
        self._view = LiveView(budget, title, console=Console(file=io.StringIO()))
        self._clock = clock
        self._redrawn = -_REDRAWN_EVERY_SECS
        self._output: Any = None

    def __call__(self, event: Event) -> None:
        self._view.progress(event)
        now = self._clock()
        if isinstance(event, PhaseBegan) or now - self._redrawn >= _REDRAWN_EVERY_SECS:
            self._redrawn = now
            self.show()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.show()

    def show(self) -> None:
        """Replace the output by what there is to say now."""
        shown = self._ipython.HTML(self.html())
        if self._output is None:
            self._output = self._ipython.display(shown, display_id=True)
        else:
            self._output.update(shown)

    def html(self) -> str:
        """The output, with all texts escaped."""
        paper = Console(file=io.StringIO(), record=True, width=_WIDTH, force_terminal=False)
        paper.print(self._view.render())
        return paper.export_html(inline_styles=True, code_format=_FORMAT)
