"""Saving an executable as one shared library, and reading what such a file says of itself."""

from __future__ import annotations

from flextune.apply.executable import save_executable
from flextune.apply.model_file import read_signature

__all__ = ["read_signature", "save_executable"]
