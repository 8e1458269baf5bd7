"""Kinds of targets by name.

Those that ship are named in `platforms/builtin.py`, and lie in their platform's folder.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from flextune.errors import UsageError
from flextune.quantities import MEASURED_SECONDS, Scale
from flextune.registry import Registry, nearest
from flextune.target.board import EXAMPLE, PREFIX, Board
from flextune.target.kind import LOCAL, BoardSupport, HostSupport, TargetKind

if TYPE_CHECKING:
    from flextune.target.target import Target

_BUILTIN = "flextune.platforms.builtin"
"""By name, because `target` lies below `platforms`."""

ENTRY_POINTS = "flextune.platforms"
"""Group of entry points in which an installed package names its platforms: `kind = "module:function"`, a function that
registers the platform. So every process finds it, those that measure too."""


@cache
def _kinds() -> Registry[TargetKind]:
    builtin: dict[str, TargetKind | str] = dict(import_module(_BUILTIN).KINDS)
    return Registry("target kind", builtin)


def register(name: str, kind: TargetKind | str) -> None:
    """Add a kind, or where it is (`module:attribute`). Raises `UsageError` when the name is taken."""
    _kinds().register(name, kind)


def names() -> tuple[str, ...]:
    """All names that are known in this process, those that ship first."""
    return _kinds().names


def known() -> tuple[TargetKind, ...]:
    return tuple(map(_kinds().get, names()))


def find(name: str) -> TargetKind | None:
    """The kind of this name, if there is one; a package that is installed for it is asked to register it."""
    if name not in names():
        load_installed(name)
    return _kinds().get(name) if name in names() else None


def get(name: str) -> TargetKind:
    """The kind of this name. Raises `UsageError` with the nearest name when there is none."""
    return find(name) or _kinds().get(name)


def load_installed(name: str) -> None:
    """Let an installed package register the platform of this name; does nothing where no package has one."""
    from importlib.metadata import entry_points  # as slow to load as all else that reads a target

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        entry.load()()


def host_support(kind: TargetKind) -> HostSupport:
    """What the family knows of this machine. Raises `UsageError` where this machine never is one of its targets."""
    if not kind.host:
        raise UsageError(f"targets of kind {kind.name} are never the machine that flextune runs on")
    module, _, attribute = kind.host.partition(":")
    return cast(HostSupport, getattr(import_module(module), attribute)())


def runner_of(target: Target, name: str | None = None) -> str:
    """What measures programs for a target: the runner of this name, or the usual one where none is named.

    Raises `UsageError` with those that there are for any other name.
    """
    kind = get(target.kind)
    known = tuple(kind.runners)
    if name is None or name in known:
        return name or known[0]
    if kind.boards and name.startswith(PREFIX):
        return str(Board.parse(name))
    there = (*known, EXAMPLE) if kind.boards else known
    raise UsageError(f"unknown runner {name!r} for targets of kind {target.kind}: {nearest(name, there)}")


def scale_of(target: Target, runner: str | None = None) -> Scale:
    """What the numbers are that programs for a target get from a runner, the usual one where none is named."""
    return get(target.kind).runners.get(runner_of(target, runner), MEASURED_SECONDS)


def runs_here(target: Target) -> bool:
    """Whether programs for targets of its kind run in processes of this machine, as far as the kind says."""
    return LOCAL in get(target.kind).runners


def check_models_run(target: Target) -> None:
    """Raises `UsageError` where what is to be timed here is for targets that are never this machine."""
    if not runs_here(target):
        raise UsageError(
            f"whole models and ranges of sizes are timed on the machine itself, which {target} is not: tune its "
            f"workloads (--runner {runner_of(target)}), then compile the model for it with their records"
        )


def board_of(target: Target, runner: str | None) -> Board | None:
    """The board that this runner is; None for all other runners."""
    name = runner_of(target, runner)
    return Board.parse(name) if name.startswith(PREFIX) else None


def unmeasurable(target: Target, runner: str | None = None) -> str:
    """Why a runner can measure nothing for a target, and what to do; empty where it is not known to be so."""
    kind = get(target.kind)
    if board := board_of(target, runner):
        return cast(BoardSupport, host_support(kind)).unreachable(target, board)
    return host_support(kind).unmeasurable(target) if kind.host else ""
