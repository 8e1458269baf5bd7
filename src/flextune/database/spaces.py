"""Measured spaces in files, whichever of the formats they are in."""

from __future__ import annotations

from pathlib import Path

from flextune.database.kernel_tuner import closed, kernel_tuner_space
from flextune.database.t4 import t4_space
from flextune.database.tabular_file import parsed, text_of
from flextune.errors import UsageError
from flextune.trial.tabular import TabularSpace


def load_space(path: Path | str) -> TabularSpace:
    """A Kernel Tuner cache or a T4 file, `.json` or `.json.gz`; which of them it is, its contents say.

    `UsageError` naming the file, and the entry in it, for a file that is damaged, of another version, too large, or at
    odds with itself. Nothing in it is executed.
    """
    path = Path(path)
    data = parsed(path, closed(text_of(path)))
    if "results" in data:
        return t4_space(path, data)
    if "cache" in data or "tune_params" in data:
        return kernel_tuner_space(path, data)
    raise UsageError(f"{path} is neither a Kernel Tuner cache (it lacks 'cache') nor a T4 file (it lacks 'results')")
