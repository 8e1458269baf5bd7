"""The one place that reads environment variables."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from flextune.errors import EnvironmentFault


def cache_folder() -> Path:
    """Where facts about the host are kept: `$FLEXTUNE_CACHE`, else `$XDG_CACHE_HOME/flextune`, `~/.cache/flextune`."""
    if own := os.environ.get("FLEXTUNE_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "flextune"


def made_cache_folder(name: str) -> Path:
    """A folder of this name in the cache folder, made if it is not there. Raises `EnvironmentFault` if it cannot be."""
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot make {folder}: {error.strerror}; set FLEXTUNE_CACHE to a writable folder"
        ) from error
    return folder


def ssh_command() -> tuple[str, ...]:
    """What reaches boards: `$FLEXTUNE_SSH`, a command as a shell reads it (`ssh -F FILE`), else `ssh`."""
    return tuple(shlex.split(os.environ.get("FLEXTUNE_SSH", ""))) or ("ssh",)


def default_database() -> str:
    """The records used when `--db` is not given: `$FLEXTUNE_DB`, else `flextune.db` in the current folder."""
    return os.environ.get("FLEXTUNE_DB") or "flextune.db"


def journal_folder() -> Path:
    """Where records wait for a server: `$FLEXTUNE_JOURNAL`, else `flextune/journal` in `$XDG_STATE_HOME` or
    `~/.local/state`, which nobody clears as they do a cache."""
    if own := os.environ.get("FLEXTUNE_JOURNAL"):
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "flextune" / "journal"


def powercap_folder() -> Path:
    """Where the system shows what energy processors have taken: `$FLEXTUNE_POWERCAP`, else `/sys/class/powercap`."""
    return Path(os.environ.get("FLEXTUNE_POWERCAP") or "/sys/class/powercap")
