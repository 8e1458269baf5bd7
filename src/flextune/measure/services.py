"""What a worker process can serve, by name: `kernels` are built, checked and timed, `references` are what they must
compute, `commands` are run, `models` are built whole, `variants` are schedules of a program with symbolic sizes; others
are registered.

A service is named, not imported: its process imports it, and what starts the process need not know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flextune.errors import DeviceLostError, UsageError
from flextune.measure.text import lacks_memory, one_line
from flextune.measure.wire import Message
from flextune.platforms import platform_registry as platforms
from flextune.registry import nearest
from flextune.trial.measurement import Status


class Service(Protocol):
    """Answers requests, one at a time, in a process of its own.

    What it raises ends its worker, so what may go wrong with a request belongs into the reply: by convention
    `status`, a value of `trial.measurement.Status`, and `error`, a text.
    """

    def answer(self, request: Message) -> dict[str, Any]: ...


class ServiceFactory(Protocol):
    """What a registered name leads to, as a class: `Factory(options, cores)` makes the service in a new worker.

    `options` is whatever text the worker was asked for with, `cores` how many physical cores its programs may use.
    """

    @staticmethod
    def preload(what: str) -> None:
        """Load what workers need: in the process that forks them, then again in each of them."""
        ...

    def __call__(self, options: str, cores: int) -> Service: ...


_SERVICES = {
    "kernels": "flextune.measure.service:KernelService",
    "references": "flextune.measure.references:ReferenceService",
    "commands": "flextune.measure.command_service:CommandService",
    "models": "flextune.apply.model_service:ModelService",
    "variants": "flextune.measure.variant_service:VariantService",
}


def register(name: str, path: str) -> None:
    """Add a service: `path` is `module:class`, imported by its processes. Raises `UsageError` if the name is taken."""
    if name in _SERVICES:
        raise UsageError(f"service {name!r} is registered already; choose another name")
    _SERVICES[name] = path


def path_of(name: str) -> str:
    """The `module:class` of a service. Raises `UsageError` with the nearest name when there is none."""
    if name not in _SERVICES:
        raise UsageError(f"unknown service {name!r}: {nearest(name, tuple(_SERVICES))}")
    return _SERVICES[name]


def libraries(kind: str) -> tuple[str, ...]:
    """Modules that all processes of a run may have, whatever they serve: none of them loads the platform `kind`."""
    return ("flextune.measure.service", *platforms.libraries(kind))


def guarded(action: Callable[[Message], Mapping[str, Any]], request: Message, failure: Status) -> dict[str, Any]:
    """The reply of an action: what it returns, with `status` ok; or why it raised, with `failure` or out of memory.

    Raises `DeviceLostError` where no other request can be answered in this process.
    """
    try:
        return {"status": Status.OK, "error": "", **action(request)}
    except DeviceLostError:  # the process ends, and the next one has the device again
        raise
    except MemoryError:
        return {"status": Status.OUT_OF_MEMORY, "error": "MemoryError"}
    except Exception as error:  # noqa: BLE001 the one place where any failure of what is served becomes data
        text = f"{type(error).__name__}: {error}".strip()
        return {"status": Status.OUT_OF_MEMORY if lacks_memory(text) else failure, "error": one_line(text)}
