"""What a live page shows at a moment: made once for all who look, and no more often than it is worth."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from flextune.report.html import Html, element
from flextune.report.page import PageContent, page_content
from flextune.watch.follower import Follower, now

_LEAST_REST_SECS, _MOST_REST_SECS = 0.3, 1.0
_SHARE = 0.25
"""Of the time that making states may take, unless the longest rest is over: it is missing where kernels are timed."""


@dataclass(frozen=True, slots=True)
class State:
    """Of one page."""

    version: int
    """Of what was read."""
    content: PageContent

    def to_json(self) -> str:
        """One line, for the page's program."""
        content = self.content
        return json.dumps(
            {"note": content.note, "links": content.links, "main": content.main, "figures": content.figures},
            allow_nan=False,
        )


class States:
    """The latest state of each page that is looked at."""

    def __init__(self, follower: Follower, clock: Callable[[], float] = time.monotonic) -> None:
        self._follower = follower
        self._clock = clock
        self._states: dict[str | None, State] = {}
        self._rest_until = -1.0
        self._lock = threading.Lock()

    def latest(self, about: str | None) -> State:
        """Of the page about this. UsageError where nothing in the database is that."""
        with self._lock:
            began = self._clock()
            if began >= self._rest_until or about not in self._states:
                self._states[about] = self._made(about)
                ended = self._clock()
                rest = (ended - began) * (1 / _SHARE - 1)
                self._rest_until = ended + min(_MOST_REST_SECS, max(_LEAST_REST_SECS, rest))
            return self._states[about]

    def lately(self) -> str:
        """What is going on, in a line."""
        problem = self._follower.problem
        return problem or f"live: {self._follower.lately(now())}"

    def pages(self, about: str | None) -> Html:
        """Links to the pages of single models."""
        models = self._follower.models
        if not models:
            return Html()
        links = [element("li", _link(model, about)) for model in (None, *models)]
        return element("nav", element("ul", *links), aria_label="Models")

    def _made(self, about: str | None) -> State:
        self._follower.refresh()
        known = self._states.get(about)
        if known is not None and known.version == self._follower.version:
            return known
        content = page_content(self._follower.subject(about), now())
        return State(self._follower.version, content)


def _link(model: str | None, about: str | None) -> Html:
    address = "/" if model is None else f"/?{urlencode({'about': model})}"
    return element("a", model or "all", href=address, aria_current="page" if model == about else None)
