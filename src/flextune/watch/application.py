"""The web application: one page, what is new for it, and nothing that could be written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from flextune.errors import UsageError
from flextune.report.html import Html, element
from flextune.report.page import page_of
from flextune.watch.states import State, States

_POLL_SECS = 0.3
_SIGN_OF_LIFE_SECS = 10.0
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def application(states: States, hosts: Sequence[str]) -> Starlette:
    """Answers requests that name one of the `hosts`, so that no other site's page can ask in a browser's name."""

    async def show(request: Request) -> Response:
        about = _about(request)
        try:
            state = await run_in_threadpool(states.latest, about)
        except UsageError as error:
            return HTMLResponse(_missing(str(error)), 404, _HEADERS)
        address = "/events" if about is None else f"/events?{urlencode({'about': about})}"
        return HTMLResponse(page_of(state.content, address, states.pages(about)), headers=_HEADERS)

    async def events(request: Request) -> Response:
        about = _about(request)
        try:
            await run_in_threadpool(states.latest, about)
        except UsageError as error:
            return HTMLResponse(_missing(str(error)), 404, _HEADERS)
        return StreamingResponse(_told(states, about), media_type="text/event-stream", headers=_HEADERS)

    return Starlette(
        routes=[Route("/", show, methods=["GET"]), Route("/events", events, methods=["GET"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
    )


def _about(request: Request) -> str | None:
    return request.query_params.get("about") or None


async def _told(states: States, about: str | None) -> AsyncIterator[str]:
    """Server-sent events (WHATWG HTML, 9.2): `state` is the whole page anew, `lately` a line on what goes on."""
    sent: State | None = None
    line, quiet_secs = "", 0.0
    while True:
        try:
            state = await run_in_threadpool(states.latest, about)
        except UsageError:  # another database has taken its place, which does not know it
            yield _event("lately", "what this page was about is not there any more")
            return
        if state is not sent:
            sent, quiet_secs = state, 0.0
            yield _event("state", await run_in_threadpool(state.to_json))
        lately = await run_in_threadpool(states.lately)
        if lately != line:
            line, quiet_secs = lately, 0.0
            yield _event("lately", lately)
        if quiet_secs >= _SIGN_OF_LIFE_SECS:
            quiet_secs = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(_POLL_SECS)
        quiet_secs += _POLL_SECS


def _event(name: str, text: str) -> str:
    return f"event: {name}\ndata: {' '.join(text.splitlines())}\n\n"


def _missing(message: str) -> str:
    title = "flextune watch: not found"
    body = element("body", element("h1", title), element("p", message), element("p", element("a", "all", href="/")))
    head = element("head", element("meta", charset="utf-8"), element("title", title))
    return f"<!DOCTYPE html>\n{element('html', Html(head + body), lang='en')}\n"
