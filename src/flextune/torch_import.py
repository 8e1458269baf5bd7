"""Torch, which is optional, and slow to load where nobody needs it.

TVM loads torch whenever it is installed: 1.5 s and 200 MB. Processes that work with TVM hide torch from it; what needs
torch gets it all the same, from here, and only here.
"""

from __future__ import annotations

import sys

from flextune.errors import UsageError
from flextune.torch_types import Torch


def hide_torch() -> None:
    """From now on `import torch` fails as if it were not installed, unless it is loaded already."""
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # how Python spells it


def load_torch(purpose: str, extra: str = "rl") -> Torch:
    """The module, also where it was hidden. Where it is missing, `UsageError` says what needs it and what to install.

    What TVM has decided about torch while it was hidden stays as it is.
    """
    if "torch" in sys.modules and sys.modules["torch"] is None:
        del sys.modules["torch"]
    try:
        import torch
    except ImportError as error:
        raise UsageError(f"{purpose} needs torch ({error}): pip install 'flextune[{extra}]'") from None
    return torch
