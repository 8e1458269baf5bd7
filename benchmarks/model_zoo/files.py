"""The models as ONNX files: made once per version of what makes them, kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.model_zoo.catalog import ZooModel
from benchmarks.peers.process import environment
from flextune.errors import EnvironmentFault, UsageError
from flextune.settings import cache_folder

ZOO_VERSION = 1
"""Raised when a model of the zoo changes."""

_BUILD_TIMEOUT_SECS = 900.0


def model_file(model: ZooModel) -> Path:
    """The model's file, made now where it is not there yet (in a process of its own).

    `UsageError` says which packages are missing for that.
    """
    path = model_path(model)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _build(model, path)
    return path


def model_path(model: ZooModel) -> Path:
    """Where the file is kept: in a folder named after the versions that its content depends on."""
    found = {name: _version(name) for name in model.packages}
    if missing := [name for name, number in found.items() if not number]:
        raise UsageError(f"{model.name} needs {', '.join(missing)}: pip install 'flextune[bench]'")
    text = "-".join([f"v{ZOO_VERSION}", *(f"{name}{number}" for name, number in found.items())])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return cache_folder() / "model-zoo" / digest / f"{model.name}.onnx"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _build(model: ZooModel, path: Path) -> None:
    """Appears all at once: a build that is stopped leaves nothing behind under the final name."""
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    command = [sys.executable, "-m", "benchmarks.model_zoo.build", model.name, str(unfinished)]
    try:
        done = subprocess.run(
            command,
            env=environment(os.cpu_count() or 1, without_torch=False),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_SECS,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            raise EnvironmentFault(f"the model {model.name} cannot be built: {lines[-1]}")
        unfinished.replace(path)
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"building {model.name} took longer than {_BUILD_TIMEOUT_SECS:g} s") from None
    finally:
        unfinished.unlink(missing_ok=True)
