"""`flextune watch`: the page of `flextune report`, live in a browser while runs go on."""

from __future__ import annotations

from typing import Annotated

import typer

from flextune.cli.arguments import DatabasePath
from flextune.errors import EnvironmentFault

_PORT = 8731


def watch(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any that is free.")] = _PORT,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; another than this machine's own lets others look.")
    ] = "127.0.0.1",
    db: DatabasePath = None,
) -> None:
    """Serve a page that shows how runs go on, and what came of them; it only reads. Ctrl-C ends it."""
    from flextune.cli.inputs import database_path

    try:
        from flextune.watch.server import listening, serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise EnvironmentFault(
            f"flextune watch needs {error.name}, which is not installed: pip install 'flextune[watch]'"
        ) from None
    path, source = database_path(db), listening(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{source.getsockname()[1]}/ shows {path}; Ctrl-C ends it", flush=True)
    serve(path, source, host)
