"""What CINN's scripts take from `cinn.common`."""

from __future__ import annotations

from flextune.target.detect import detect
from flextune.target.target import Target


def DefaultTarget() -> Target:  # noqa: N802  CINN's name
    """This machine."""
    return detect()


def DefaultHostTarget() -> Target:  # noqa: N802  CINN's name
    """This machine."""
    return detect()
