"""Pages of hand-made records, and what a strict reader sees in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from flextune.report.bounds import task_bounds
from flextune.report.contents import Contents
from flextune.report.page import page
from flextune.report.subject import Subject
from flextune.report.task_history import task_histories
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

_EMPTY = {"meta", "input"}


class Reader(HTMLParser):
    """Fails on an element that is not closed where it should be; collects all that a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "script":
            self._script = dict(attrs).get("id") or "own"
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts["figures"])
        return found

    @property
    def visible(self) -> str:
        return " ".join(self.texts)


def subject_of(records: Sequence[TuningRecord], decisions: Sequence[Decision] = (), about: str = "") -> Subject:
    tasks = tuple(task_histories(records))
    return Subject(Contents("r.db", about, tasks, tuple(decisions)), task_bounds(tasks))


def page_of(records: Sequence[TuningRecord], decisions: Sequence[Decision] = (), about: str = "") -> str:
    return page(subject_of(records, decisions, about), datetime(2026, 1, 2, tzinfo=UTC))
