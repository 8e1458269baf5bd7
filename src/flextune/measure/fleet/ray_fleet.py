"""A fleet of the nodes of a Ray cluster: one actor on each, which has all cores of its node to itself."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flextune.errors import EnvironmentFault
from flextune.measure.fleet.fleet import Answered, FleetEvent, HostFacts, Joined, Lost
from flextune.measure.fleet.host import FleetHost
from flextune.measure.fleet.shares import Duty

BUILD_RESOURCE = "flextune_build"
"""A node that was started with this resource of Ray only builds."""

_POLL_SECS = 1.0
"""How often the cluster is asked what nodes it has."""

_CONNECT_SECS = 5.0
_CLOSES_WITHIN_SECS = 5.0
_FACTS = 0
"""In place of a request's number: the host says what it is."""


@dataclass(slots=True)
class _Node:
    """A node of the cluster, and what it was asked."""

    name: str
    """For people."""
    actor: Any
    """Ray's handle."""
    asked: dict[Any, int] = field(default_factory=dict)
    """Numbers of requests by Ray's references to their answers."""


class RayFleet:
    """See `Fleet`. Nodes join when their actor has started, which is when nobody else uses their processors."""

    def __init__(self, address: str, target: str, options: str) -> None:
        """`address` is HOST:PORT, or empty for the cluster that this machine is a node of.

        EnvironmentFault where Ray is not installed, or nothing answers.
        """
        self._ray = _connected(address)
        self._target, self._options = target, options
        self._nodes: dict[str, _Node] = {}
        self._events: deque[FleetEvent] = deque()
        self._next_poll = 0.0
        self._poll()

    @property
    def size(self) -> int:
        """Nodes that there are just now, whether they have joined or not."""
        return len(self._nodes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self._nodes.values())

    def ask(self, host: str, number: int, request: str) -> None:
        """See `Fleet.ask`."""
        node = self._nodes.get(host)
        if node is not None:  # else that it is lost is told next
            node.asked[node.actor.answer.remote(request)] = number

    def events(self, secs: float) -> list[FleetEvent]:
        """See `Fleet.events`."""
        deadline = time.monotonic() + secs
        while True:
            self._poll()
            if not self._events:
                self._collect(max(0.0, min(deadline, self._next_poll) - time.monotonic()))
            if self._events or time.monotonic() >= deadline:
                found = list(self._events)
                self._events.clear()
                return found

    def close(self) -> None:
        """End the actors, and with them all processes that they have started, and leave the cluster."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            ends = [node.actor.close.remote() for node in self._nodes.values()]
            self._ray.wait(ends, num_returns=len(ends), timeout=_CLOSES_WITHIN_SECS) if ends else None
        for node in self._nodes.values():
            self._ray.kill(node.actor)
        self._nodes = {}
        self._ray.shutdown()

    def _poll(self) -> None:
        """Notice nodes that have come or gone."""
        if time.monotonic() < self._next_poll:
            return
        self._next_poll = time.monotonic() + _POLL_SECS
        alive = {each["NodeID"]: each for each in self._ray.nodes() if each["Alive"]}
        for host in set(self._nodes).difference(alive):
            self._lose(host, "its node has left the cluster")
        for host, facts in alive.items():
            if host not in self._nodes and facts["Resources"].get("CPU", 0) >= 1:
                self._nodes[host] = self._begin(host, facts)

    def _begin(self, host: str, facts: dict[str, Any]) -> _Node:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        resources = facts["Resources"]
        duty = Duty.BUILDS if BUILD_RESOURCE in resources else Duty.TIMES
        name = f"{facts['NodeManagerHostname']} {facts['NodeManagerAddress']}:{facts['NodeManagerPort']}"
        actor = (
            self._ray.remote(FleetHost)
            .options(
                num_cpus=resources["CPU"],
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(host, soft=False),
            )
            .remote(name, duty.value, self._target, self._options)
        )
        return _Node(name, actor, {actor.facts.remote(): _FACTS})

    def _collect(self, secs: float) -> None:
        """Answers that have arrived; waits for the first of them."""
        asked = {reference: host for host, node in self._nodes.items() for reference in node.asked}
        if not asked:
            time.sleep(secs)
            return
        ready, _ = self._ray.wait(list(asked), num_returns=1, timeout=secs, fetch_local=True)
        if ready:  # whatever else is there
            ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0, fetch_local=True)
        for reference in ready:
            host = asked[reference]
            if host not in self._nodes:
                continue
            number = self._nodes[host].asked.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._failed(host, number, [*str(error).splitlines(), type(error).__name__])
                continue
            fact = number == _FACTS
            self._events.append(Joined(host, HostFacts.parse(answer)) if fact else Answered(host, number, answer))

    def _failed(self, host: str, number: int, lines: list[str]) -> None:
        """The last line says what was raised there. One that cannot even say what it is, is not begun again."""
        if number != _FACTS:
            self._lose(host, lines[-2] if len(lines) > 1 else lines[-1])
            return
        fault = f"flextune does not start there: {next(filter(str.strip, reversed(lines[:-1])), lines[-1]).strip()}"
        facts = HostFacts(self._nodes[host].name, "", "", 0, "", Duty.TIMES, fault)
        self._events.append(Joined(host, facts))

    def _lose(self, host: str, reason: str) -> None:
        """A node that is still there, or comes back, begins anew at the next look at the cluster."""
        node = self._nodes.pop(host)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(node.actor)
        self._events.append(Lost(host, reason))


def _connected(address: str) -> Any:
    """Ray, connected to a cluster."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise EnvironmentFault("a fleet needs Ray: pip install 'flextune[fleet]'") from error
    if address:
        _check_answers(address)
    try:
        with _signals_kept():
            ray.init(address=address or "auto", logging_level="ERROR", log_to_driver=False, namespace="flextune")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        where = f"at {address}" if address else "on this machine"
        raise EnvironmentFault(
            f"fleet ray{':' if address else ''}{address}: there is no Ray cluster {where} ({first}); "
            "`ray start --head` begins one, and prints the address of it"
        ) from None
    return ray


def _check_answers(address: str) -> None:
    """Ray itself waits for a minute, and ends the process."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise EnvironmentFault(f"fleet ray:{address}: expected ray:HOST:PORT, such as ray:10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECS).close()
    except OSError as error:
        raise EnvironmentFault(
            f"fleet ray:{address}: nothing answers there ({error.strerror or error}): check host and port, which "
            "`ray start --head` prints, and that no firewall is between"
        ) from None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ctrl-C and SIGTERM stay what they were: Ray takes them for itself."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread, which alone has handlers
            for number, handler in kept.items():
                signal.signal(number, handler)
