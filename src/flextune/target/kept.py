"""What was found out about this host, kept in the cache folder as one JSON file each."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path


def read_kept(path: Path) -> Mapping[str, object]:
    """What was kept; nothing where there is no such file, or a damaged one."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def keep(path: Path, content: Mapping[str, object]) -> None:
    """Write it, as a whole or not at all. Raises `OSError` where the folder cannot be written."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(content, indent=1))
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
