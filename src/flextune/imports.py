"""Importing a library without what it would import besides."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
