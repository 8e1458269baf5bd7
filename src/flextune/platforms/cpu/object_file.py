"""Object files of TVM's machine code."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from flextune.errors import EnvironmentFault


def write_object(objects: Any, path: Path) -> None:
    """Write the machine code of a module as an object file; EnvironmentFault where there is no room for it.

    LLVM ends the process when it cannot write, so it writes to memory.
    """
    descriptor = os.memfd_create(path.name)
    try:
        objects.write_to_file(f"/proc/self/fd/{descriptor}", "o")
        with os.fdopen(os.dup(descriptor), "rb") as code, path.open("wb") as stream:
            code.seek(0)
            shutil.copyfileobj(code, stream)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
