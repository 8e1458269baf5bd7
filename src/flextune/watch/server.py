"""Serves the application until Ctrl-C."""

from __future__ import annotations

import ipaddress
import socket
import threading
from contextlib import suppress

import uvicorn

from flextune.errors import UsageError
from flextune.watch.application import application
from flextune.watch.follower import Follower
from flextune.watch.states import States


def listening(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0 is any that is free. UsageError where that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen at {host} port {port}: {error}; choose another with --port") from None


def serve(database: str, source: socket.socket, host: str) -> None:
    """Answers until the process is interrupted."""
    follower = Follower(database)
    states = States(follower)
    threading.Thread(target=states.latest, args=(None,), daemon=True).start()  # so that the first view is quick
    config = uvicorn.Config(
        application(states, _hosts(source, host)), log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[source])
    follower.close()


def _hosts(source: socket.socket, host: str) -> tuple[str, ...]:
    """The names by which a browser may ask: any, where others than this machine are let in."""
    address = source.getsockname()[0]
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return ("*",)
    return "localhost", host, f"[{address}]" if ":" in address else address
