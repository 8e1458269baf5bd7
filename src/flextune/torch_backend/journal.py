"""What became of each captured graph: a list to ask, warnings, a log (`TORCH_LOGS=flextune.torch_backend`)."""

from __future__ import annotations

import logging
import threading
import warnings
from collections import deque
from dataclasses import dataclass

from flextune.errors import FlextuneError, UsageError

LOGGER = logging.getLogger("flextune.torch_backend")

KEPT_ENTRIES = 4096
"""The latest graphs that `graphs()` tells of."""


@dataclass(frozen=True, slots=True)
class GraphEntry:
    """One event in the life of a captured graph.

    `graph` counts the graphs of the process from 0, `operators` says what it computes, `is_built` whether flextune
    runs it from now on, and `reason` why it does not.
    """

    graph: int
    operators: str
    is_built: bool
    reason: str = ""

    def __str__(self) -> str:
        what = "built" if self.is_built else f"left to PyTorch: {self.reason}"
        return f"graph {self.graph} ({self.operators}) {what}"


_ENTRIES: deque[GraphEntry] = deque(maxlen=KEPT_ENTRIES)
_LOCK = threading.Lock()
_COUNT = 0


def graphs() -> tuple[GraphEntry, ...]:
    """What became of the graphs that `torch.compile` has handed over in this process, oldest first."""
    return tuple(_ENTRIES)


def reason_of(error: BaseException) -> str:
    """What an error says, with its kind where that is not one of ours; in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, FlextuneError) else f"{type(error).__name__}: {text}"


class Journal:
    """Tells of one graph. The first reason of each kind is warned of; where it `is_strict`, every one is raised."""

    def __init__(self, operators: str, is_strict: bool = False) -> None:
        global _COUNT
        with _LOCK:
            self._graph, _COUNT = _COUNT, _COUNT + 1
        self._operators = operators
        self.is_strict = is_strict
        self._warned: set[str] = set()

    def built(self, secs: float) -> None:
        self._add(GraphEntry(self._graph, self._operators, True))
        LOGGER.info("graph %d took %.2f s to build", self._graph, secs)

    def left(self, kind: str, reason: str) -> None:
        """PyTorch runs the graph for this reason; UsageError where that is not wanted."""
        if self.is_strict:
            raise UsageError(f"flextune cannot run a graph: {reason}")
        if kind in self._warned:
            return
        self._warned.add(kind)
        self._add(GraphEntry(self._graph, self._operators, False, reason))
        warnings.warn(f"flextune leaves a graph to PyTorch: {reason}", stacklevel=2)

    def each_size(self, reason: str) -> None:
        """The graph is built for single sizes, because it cannot be for ranges of them; UsageError as for `left`."""
        if self.is_strict:
            raise UsageError(f"flextune cannot build a graph for ranges of sizes: {reason}")
        LOGGER.info("graph %d is built for each size: %s", self._graph, reason)
        warnings.warn(f"flextune builds a graph anew for each of its sizes: {reason}", stacklevel=2)

    def _add(self, entry: GraphEntry) -> None:
        _ENTRIES.append(entry)
        LOGGER.info("%s", entry)
