"""The page: one file that asks nothing of anybody, with everything that it shows in it."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Final

from flextune.report import figures
from flextune.report.html import Html, element, joined, json_for_script
from flextune.report.limits import clipped
from flextune.report.sections.decisions import decisions
from flextune.report.sections.next_steps import next_steps, roofline_section
from flextune.report.sections.outcome import outcome
from flextune.report.sections.search import search
from flextune.report.sections.time import time_shares
from flextune.report.subject import Subject

_POLICY: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""What the browser may load for this page: nothing from anywhere, whatever a text in it says."""


_NOTHING: Final = Html()


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page shows; all but this stays as it is while the page is open."""

    title: str
    note: str
    """What it was made from."""
    links: Html
    """To its sections."""
    main: Html
    """The sections."""
    figures: Mapping[str, figures.Figure]
    """By name."""


def page_content(subject: Subject, made: datetime) -> PageContent:
    """All sections about a subject."""
    contents = subject.contents
    sections = [
        ("outcome", "How much faster", outcome(subject)),
        ("time", "Where the time goes", time_shares(subject)),
        ("decisions", "Why", decisions(subject)),
        ("search", "The search", search(subject)),
        ("roofline", "Roofline", roofline_section(subject)),
        ("next", "Next", next_steps(subject)),
    ]
    links = [element("li", element("a", text, href=f"#{name}")) for name, text, section in sections if section]
    count = f"{contents.trials} trials of {len(contents.tasks)} tasks, {len(contents.decisions)} decisions"
    return PageContent(
        title=f"flextune report: {clipped(contents.about or contents.database, 100)}",
        note=_about(subject, made, count),
        links=element("ul", *links),
        main=joined(*(section for _, _, section in sections)),
        figures=_figures(subject),
    )


def page(subject: Subject, made: datetime) -> str:
    """The whole file as text."""
    return page_of(page_content(subject, made))


def page_of(content: PageContent, live: str = "", other_pages: Html = _NOTHING) -> str:
    """The page with this content. With `live`, an address of the same server, it follows what that tells."""
    body = element(
        "body",
        element("a", "Skip to the content", href="#main", class_="skip"),
        element(
            "header",
            element("h1", content.title),
            element("p", "connecting", id="live") if live else _NOTHING,
            element("p", content.note, class_="note", id="note"),
            other_pages,
        ),
        element("nav", content.links, aria_label="Sections", id="sections"),
        element("main", content.main, id="main"),
        element("div", id="told", role="status", aria_live="polite"),
        element("script", json_for_script(content.figures), type="application/json", id="figures"),
        element("script", _packed_plotly(), type="text/plain", id="plotly"),
        element("script", _own("page.js")),
    )
    policy = f"{_POLICY}; connect-src 'self'" if live else _POLICY
    whole = element("html", _head(content.title, policy), body, lang="en", data_live=live or None)
    return f"<!DOCTYPE html>\n{whole}\n"


def _head(title: str, policy: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", _own("page.css")),
    )


def _about(subject: Subject, made: datetime, count: str) -> str:
    hosts = {record.host for task in subject.contents.tasks for record in task.records}
    targets = sorted({task.first.target for task in subject.contents.tasks})
    where = clipped("; ".join(targets[:4]), 400) + (f" and {len(targets) - 4} more" if len(targets) > 4 else "")
    machines = "1 machine" if len(hosts) == 1 else f"{len(hosts)} machines"
    return f"{count}, from {subject.contents.database}, measured on {machines} ({where}); made {made:%Y-%m-%d %H:%M %Z}"


def _figures(subject: Subject) -> dict[str, figures.Figure]:
    tasks, command = subject.contents.tasks, subject.command
    made = {
        "speedup": figures.speedup_figure(tasks, command),
        "time": figures.time_figure(subject.kernels(), command),
        "search": figures.search_figure(tasks, command),
        "roofline": figures.roofline_figure(subject.bounds.known[: figures.DRAWN_KERNELS], command),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def _own(name: str) -> Html:
    return Html(resources.files("flextune.report").joinpath(name).read_text(encoding="utf-8"))


@cache
def _packed_plotly() -> Html:
    """Plotly's own program, compressed: it is most of the file, and a browser unpacks it in a moment."""
    program = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return joined(Html(base64.b64encode(gzip.compress(program, 6, mtime=0)).decode("ascii")))
