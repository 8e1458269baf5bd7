"""Every exception flextune raises on purpose.

A message says what was expected, what came, where, and what to do. A candidate that
fails is data (a `Status` of a `Measurement`), never one of these.
"""

from __future__ import annotations


class FlextuneError(Exception):
    """Base of all flextune errors; the command line prints it without a traceback.

    `exit_code` is what the command line ends with: 2 when the caller gave bad input, 1 otherwise.
    """

    exit_code = 1


class UsageError(FlextuneError):
    """The caller's input cannot be used: unknown operator, bad shape, misspelt key, unreadable file."""

    exit_code = 2


class ModelError(UsageError):
    """A model file cannot be read, or holds operators that cannot be imported."""


class InfeasibleError(UsageError):
    """A constraint problem has no solution; `conflict` names a minimal set of constraints."""

    def __init__(self, message: str, conflict: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.conflict = conflict


class ScheduleError(FlextuneError):
    """A step is illegal: it cannot be applied to the program without changing what it computes."""


class BuildError(FlextuneError):
    """Code generation or linking failed for something that is not a candidate."""


class KernelError(BuildError):
    """A compiler cannot make machine code of a kernel, or has crashed over it."""


class EnvironmentFault(FlextuneError):  # noqa: N818 (EnvironmentError is a name of Python for OSError)
    """The machine lacks what is needed (compiler, memory, disk space, library)."""


class DeviceLostError(FlextuneError):
    """A device is of no use to this process any more, as after an illegal access; a new process may use it."""


class DatabaseError(FlextuneError):
    """A records file is damaged, locked, full, or of another version."""


class NoDatabaseError(DatabaseError):
    """There is no records file where one was named, and none can be made there."""

    exit_code = 2


class DamagedError(DatabaseError):
    """What a records file holds cannot be used: another one is to be given."""

    exit_code = 2


class UnreachableError(DatabaseError):
    """The server that holds the records does not answer, or takes nothing just now: later it may."""


class WorkerError(FlextuneError):
    """A measuring worker could not be started or keeps dying before it takes any work."""
