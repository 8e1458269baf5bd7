"""Importing a library without what it would import besides."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """In the block, these packages look as if they were not installed, unless they are loaded already.

    Some libraries import others for a convenience when they are there, which can cost seconds and hundreds of
    megabytes: TVM does so with torch, XGBoost with scikit-learn.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)


class Hiding(MetaPathFinder):
    """Loads packages, once it is in `sys.meta_path`, while what they would import besides is hidden from them."""

    def __init__(self, hidden_from: Mapping[str, str]) -> None:
        """`hidden_from` says for each package which one it is not to see."""
        self._hidden_from = hidden_from

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As every finder's; None, so that others look for it, for what is not one of these packages."""
        if fullname not in self._hidden_from:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            with hidden(self._hidden_from[fullname]):
                execute(module)

        vars(spec.loader)["exec_module"] = exec_module  # of this loader alone, which loads nothing else
        return spec
