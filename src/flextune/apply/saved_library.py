"""Saving an executable as one shared library, and reading what such a file says of itself."""

from __future__ import annotations

from flextune.apply.compiled_file import read_signature
from flextune.apply.executable import save_executable

__all__ = ["read_signature", "save_executable"]
