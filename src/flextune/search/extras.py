"""Strategies that need what flextune does not install by itself."""

from __future__ import annotations

from importlib.machinery import PathFinder

EXTRAS = {"rl": "torch", "optuna": "optuna"}
"""From an extra of flextune, as in `pip install 'flextune[rl]'`, to the module that it brings."""


def is_installed(extra: str) -> bool:
    """Whether what the extra brings is there; nothing is imported. The empty extra is."""
    return not extra or PathFinder.find_spec(EXTRAS[extra]) is not None


def install_command(extra: str) -> str:
    return f"pip install 'flextune[{extra}]'"
