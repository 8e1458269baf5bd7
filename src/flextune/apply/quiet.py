"""Keeping TVM's debugging lines off the user's terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

NOISE = (b"Scope Saving:", b"Scope Loaded:")
"""Printed once per constant, as a warning, when TVM 0.27 saves or loads a module (src/runtime/vm/executable.cc)."""


@contextmanager
def without_noise() -> Iterator[None]:
    """Inside, what native code writes to standard error is held back; all but known noise follows afterwards."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            held.seek(0)
            kept = b"".join(line for line in held if not any(text in line for text in NOISE))
            if kept:
                os.write(original, kept)
            os.close(original)
