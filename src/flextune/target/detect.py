"""`detect()`: the `Target` of the machine this process runs on."""

from __future__ import annotations

import platform
from functools import lru_cache

from flextune.errors import EnvironmentFault
from flextune.target import kinds
from flextune.target.target import Target, example_device


@lru_cache(maxsize=1)
def detect() -> Target:
    """The host as a target, read once per process: of the first kind that knows it.

    Raises `EnvironmentFault` where none does.
    """
    for kind in kinds.known():
        target = kinds.host_support(kind).detect() if kind.host else None
        if target is not None:
            return target
    names = [kind.name for kind in kinds.known() if kind.host]
    raise EnvironmentFault(
        f"expected a Linux host of kind {' or '.join(names)} with /proc/cpuinfo, got {platform.system()} "
        f"{platform.machine()}; name the target instead, for example --target {example_device()}"
    )
